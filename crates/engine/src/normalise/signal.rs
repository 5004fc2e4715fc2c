//! The last step, the same for alerts and events: identity, fingerprint, classification.

use std::sync::Arc;

use compact_str::CompactString;
use seawall_model::{
    Context, Detail, Field, Fingerprint, Identity, Payload, Severity, Signal, SignalType, Timestamp,
    priority_of, remediation_path_of,
};

use super::{MAX_PART, Normaliser, Rejection, is_environment};

/// A signal before its identity is fixed. Texts that are not known are empty.
pub(super) struct Draft<'a> {
    pub(super) signal_type: SignalType,
    pub(super) cluster: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) kind: &'a str,
    pub(super) resource: &'a str,
    pub(super) api_version: &'a str,
    pub(super) severity: Severity,
    pub(super) resolved: bool,
    pub(super) firing_time: Timestamp,
    pub(super) grouping: Vec<(Field, CompactString)>,
}

impl Normaliser {
    pub(super) fn signal<'e>(
        &self,
        draft: Draft<'_>,
        extra: impl Iterator<Item = (&'e str, &'e str)> + Clone,
        payload: Payload,
        source: CompactString,
        context: Arc<Context>,
    ) -> Result<Signal, Rejection> {
        let Draft { cluster, name, namespace, kind, resource, .. } = draft;
        let present = extra.filter(|(_, value)| !value.is_empty());
        let parts = [
            ("name", name),
            ("namespace", namespace),
            ("resource's name", resource),
            ("resource's kind", kind),
            ("cluster's name", cluster),
        ];
        let extra_parts = present.clone().map(|(_, value)| ("identity label", value));
        for (part, text) in parts.into_iter().chain(extra_parts) {
            if text.len() > MAX_PART {
                return Err(Rejection::TooLong { part, bytes: text.len() });
            }
        }
        let environment = self.environment(namespace);
        let priority = priority_of(draft.severity, &environment);
        let mut signal = Signal {
            fingerprint: Fingerprint::of(
                (!cluster.is_empty()).then_some(cluster),
                [name, namespace, kind, resource],
                present,
            ),
            identity: Identity {
                cluster: shown(cluster),
                namespace: shown(namespace),
                name: shown(name),
                kind: shown(kind),
                resource: shown(resource),
            },
            api_version: (!draft.api_version.is_empty()).then(|| shown(draft.api_version)),
            severity: draft.severity,
            priority,
            path: remediation_path_of(&environment, priority),
            environment,
            resolved: draft.resolved,
            firing_time: draft.firing_time,
            grouping: draft.grouping,
            detail: Detail { signal_type: draft.signal_type, source, payload, context },
        };
        if let Some(classify) = &self.classify {
            classify.refine(&mut signal);
        }
        Ok(signal)
    }

    fn environment(&self, namespace: &str) -> CompactString {
        let set_down = self.classify.as_ref().and_then(|classify| classify.environment(namespace));
        let usable = set_down.filter(|environment| is_environment(environment));
        usable.unwrap_or_else(|| self.environments.of(namespace))
    }
}

/// A text as people and terminals may see it. Labels may hold anything, and what holds control characters is still a
/// problem that must not be lost; the fingerprint is over the text as it was received.
pub(super) fn shown(text: &str) -> CompactString {
    let plain = |byte: u8| matches!(byte, b' '..=b'~');
    if text.bytes().all(plain) || !text.chars().any(char::is_control) {
        return text.into();
    }
    text.chars()
        .map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}
