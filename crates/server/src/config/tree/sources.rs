//! The section `sources`.

use schemars::JsonSchema;
use seawall_ingest::EventSettings;
use serde::{Deserialize, Serialize};

use crate::config::units::Period;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SignalSources {
    /// Events of a Kubernetes cluster: of the pod's, else of the current context of `KUBECONFIG`.
    pub kubernetes_events: KubernetesEvents,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KubernetesEvents {
    /// Whether the warnings of all namespaces are watched and taken like alerts. One replica does it at a time.
    pub enabled: bool,
    /// How long a replica that is not heard of any more keeps another one from taking over, in whole seconds. The lease is
    /// `seawall-kubernetes-events` in our own namespace.
    pub lease: Period,
}

impl Default for KubernetesEvents {
    fn default() -> Self {
        Self { enabled: false, lease: EventSettings::default().lease.into() }
    }
}
