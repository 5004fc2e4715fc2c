//! The sections `sink` and `publish`.

use schemars::JsonSchema;
use seawall_model::Policy;
use seawall_sink::{KubernetesSettings, PublishSettings};
use serde::{Deserialize, Serialize};

use crate::config::units::Period;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Sink {
    /// Which sink: `store`, the state store itself, where requests are listed and watched over HTTP; or `kubernetes`, where
    /// each is a resource. Without it `kubernetes` in a pod with a service account, and `store` elsewhere. Read at start
    /// only.
    pub kind: Option<SinkKind>,
    /// The store as a sink.
    pub store: StoreSink,
    /// The Kubernetes API as a sink: of the pod's cluster, else of the current context of `KUBECONFIG`. Read at start only.
    pub kubernetes: KubernetesSink,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SinkKind {
    Store,
    Kubernetes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StoreSink {
    /// How long a finished request is kept after its last change. Open ones stay.
    pub retention: Period,
}

impl Default for StoreSink {
    fn default() -> Self {
        Self { retention: Period::from_millis(Policy::default().retention) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KubernetesSink {
    /// Where requests are: `signal`, in the namespace of the alert, or in the fallback namespace when that does not exist;
    /// or `fallback`, all there.
    pub namespace_policy: NamespacePolicy,
    /// Namespace for requests about what has none. Without it the namespace that Seawall itself runs in, or that of the
    /// kubeconfig's context.
    pub fallback_namespace: Option<String>,
    /// Calls to the API server a second, on average.
    pub qps: u32,
    /// Calls at once, after a while without any.
    pub burst: u32,
    /// Whether phases that workers set, and deletions, are noticed. Without it silence alone ends an incident.
    pub watch: bool,
}

impl Default for KubernetesSink {
    fn default() -> Self {
        let settings = KubernetesSettings::default();
        Self {
            namespace_policy: NamespacePolicy::default(),
            fallback_namespace: settings.fallback_namespace.map(Into::into),
            qps: settings.qps.get(),
            burst: settings.burst.get(),
            watch: settings.watch,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NamespacePolicy {
    #[default]
    Signal,
    Fallback,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Publish {
    /// How long the answer to an alert waits for its new request to exist: 201 when it does, else 202 with the name it will
    /// have. `0s`: always 202.
    pub respond_within: Period,
    /// After a failed write.
    pub retry: PublishRetry,
    /// While the other side is down.
    pub breaker: PublishBreaker,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            respond_within: PublishSettings::default().respond_within.into(),
            retry: PublishRetry::default(),
            breaker: PublishBreaker::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PublishRetry {
    /// The first wait before a write is tried again. Every further one is twice as long, and up to as much again is added at
    /// random.
    pub initial: Period,
    /// The longest wait, before what is added at random.
    pub max: Period,
}

impl Default for PublishRetry {
    fn default() -> Self {
        let settings = PublishSettings::default();
        Self { initial: settings.retry_initial.into(), max: settings.retry_max.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PublishBreaker {
    /// Outages in a row after which the other side is left alone.
    pub failures: u32,
    /// For how long; then one write finds out. A question a second, or the watch, may find out earlier.
    pub open: Period,
}

impl Default for PublishBreaker {
    fn default() -> Self {
        let settings = PublishSettings::default();
        Self { failures: settings.breaker_failures, open: settings.breaker_open.into() }
    }
}
