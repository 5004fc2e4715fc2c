//! Kubernetes Events.

use std::sync::Arc;

use compact_str::CompactString;
use seawall_model::{Context, Field, Payload, Severity, Signal, SignalType, Timestamp, cut};

use super::signal::Draft;
use super::subject::is_cluster_scoped;
use super::{MAX_PART, Normaliser, NotTaken, Rejection, Suppressed, signal, time};

/// One event of core/v1 or events.k8s.io/v1. Texts that were not given are empty.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    pub event_type: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
    /// The involved object.
    pub kind: &'a str,
    pub name: &'a str,
    pub namespace: &'a str,
    pub api_version: &'a str,
    /// The node whose kubelet reports it, where one does.
    pub host: &'a str,
    /// All times that it carries, in any order.
    pub times: [&'a str; 6],
}

/// Reasons that cannot wait.
const CRITICAL: [&str; 6] =
    ["OOMKilled", "NodeNotReady", "FailedScheduling", "Evicted", "FailedMount", "NetworkNotReady"];
/// Kinds that own what runs.
const OWNERS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job"];
/// Bytes of an unknown type that are repeated in the answer.
const SHOWN_TYPE: usize = 63;

impl Normaliser {
    /// The signal of one event; events that report no problem are suppressed. `payload` is what a request shows, see
    /// [`super::bounded_event`].
    pub fn event(
        &self,
        event: &Event<'_>,
        payload: Payload,
        context: &Arc<Context>,
        source: &str,
        received: Timestamp,
    ) -> Result<Signal, NotTaken> {
        let is_error = event.event_type.eq_ignore_ascii_case("Error");
        if !is_error && !event.event_type.eq_ignore_ascii_case("Warning") {
            let event_type = signal::shown(cut(event.event_type, SHOWN_TYPE));
            return Err(Suppressed { event_type }.into());
        }
        if event.reason.is_empty() {
            return Err(Rejection::NoReason.into());
        }
        if event.kind.is_empty() || event.name.is_empty() {
            return Err(Rejection::NoObject.into());
        }
        let critical = is_error || CRITICAL.contains(&event.reason);
        let draft = Draft {
            signal_type: SignalType::KubernetesEvent,
            cluster: "",
            name: event.reason,
            namespace: if is_cluster_scoped(event.kind) { "" } else { event.namespace },
            kind: event.kind,
            resource: event.name,
            api_version: event.api_version,
            severity: if critical { Severity::Critical } else { Severity::Warning },
            resolved: false,
            firing_time: event.times.into_iter().filter_map(time).max().unwrap_or(received),
            grouping: self.event_grouping(event),
        };
        Ok(self.signal(draft, std::iter::empty(), payload, source.into(), context.clone())?)
    }

    /// Events carry no labels; what they say about node and owner stands for the labels of these names.
    fn event_grouping(&self, event: &Event<'_>) -> Vec<(Field, CompactString)> {
        let value = |field: &Field| match field {
            Field::Owner if OWNERS.contains(&event.kind) => event.name,
            Field::Node if event.kind == "Node" => event.name,
            Field::Node => event.host,
            _ => "",
        };
        let values = self.grouping.iter().map(|(field, _)| (field, value(field)));
        let present = values.filter(|(_, value)| !value.is_empty() && value.len() <= MAX_PART);
        present.map(|(field, value)| (field.clone(), signal::shown(value))).collect()
    }
}
