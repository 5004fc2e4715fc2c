//! A line of the audit log.

use std::borrow::Cow;

use seawall_model::{Decision, DecisionKind, Fingerprint, Identity, Severity, Signal, Timestamp};
use serde::Serialize;

use crate::rate::Sender;
use crate::signals::Source;

/// What all alerts of a body have in common.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) time: Timestamp,
    pub(crate) source: Source,
    /// Nothing where nobody sent them, as with watched events.
    pub(crate) request_id: Option<&'a str>,
    pub(crate) sender: Option<&'a Sender>,
}

/// The parts of a signal that are recorded; the signal itself goes to the store.
pub(crate) struct Subject {
    fingerprint: Fingerprint,
    identity: Identity,
    severity: Severity,
    resolved: bool,
}

impl Subject {
    pub(crate) fn of(signal: &Signal) -> Self {
        Self {
            fingerprint: signal.fingerprint,
            identity: signal.identity.clone(),
            severity: signal.severity,
            resolved: signal.resolved,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry<'a> {
    time: Timestamp,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    alert: Option<Alert<'a>>,
    decision: &'static str,
    reason: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    /// Of alerts that are in no line of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    alertname: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cluster: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    kind: &'a str,
    resource: &'a str,
    severity: &'static str,
    fingerprint: String,
}

impl Entry<'_> {
    pub(super) fn write(&self, lines: &mut Vec<u8>) {
        let before = lines.len();
        if let Err(error) = serde_json::to_writer(&mut *lines, self) {
            // Texts and numbers into memory: there is nothing that can fail.
            tracing::error!(%error, "a line of the audit log could not be made");
            lines.truncate(before);
            return;
        }
        lines.push(b'\n');
    }
}

impl<'a> Context<'a> {
    fn entry(&self, decision: &'static str, reason: Cow<'a, str>) -> Entry<'a> {
        Entry {
            time: self.time,
            source: self.source.as_str(),
            request_id: self.request_id,
            sender: self.sender.map(ToString::to_string),
            alert: None,
            decision,
            reason,
            request: None,
            rule: None,
            count: None,
        }
    }
}

/// About alerts that were decided; both in the same order.
pub(crate) fn decided<'a>(
    context: Context<'a>,
    subjects: &'a [Subject],
    decisions: &'a [Decision],
) -> impl Iterator<Item = Entry<'a>> {
    subjects.iter().zip(decisions).map(move |(subject, decision)| {
        let Subject { fingerprint, identity, severity, resolved } = subject;
        Entry {
            alert: Some(Alert {
                status: if *resolved { "resolved" } else { "firing" },
                alertname: &identity.name,
                cluster: &identity.cluster,
                namespace: &identity.namespace,
                kind: &identity.kind,
                resource: &identity.resource,
                severity: severity.as_str(),
                fingerprint: fingerprint.to_string(),
            }),
            request: decision.request.as_ref().map(ToString::to_string),
            rule: decision.storm.as_ref().map(|storm| &*storm.rule),
            ..context.entry(decision.kind.as_str(), reason(decision).into())
        }
    })
}

/// About alerts of a body that never got as far: `named` are the reasons of those that are listed, `all` is how many there
/// are.
pub(crate) fn refused<'a>(
    context: Context<'a>,
    decision: &'static str,
    named: impl Iterator<Item = &'a str>,
    all: u64,
) -> Vec<Entry<'a>> {
    let mut entries: Vec<_> = named.map(|reason| context.entry(decision, reason.into())).collect();
    let rest = all.saturating_sub(entries.len() as u64);
    if rest > 0 {
        let reason = "more of a body that is too large to list them".into();
        entries.push(Entry { count: Some(rest), ..context.entry(decision, reason) });
    }
    entries
}

/// Why it was decided so, for a person; `explain` knows more while the problem is remembered.
fn reason(decision: &Decision) -> String {
    let Decision { count, first_seen, .. } = decision;
    match (decision.kind, &decision.storm, &decision.request) {
        (DecisionKind::Created, Some(storm), _) if decision.opened_storm => {
            format!("opens a storm: the rule counted {} problems", storm.alert_count)
        }
        (DecisionKind::Created, ..) => "the first signal of a problem that is not open".to_owned(),
        (DecisionKind::Accepted, _, None) => "a new problem, held back while a storm may begin".to_owned(),
        (DecisionKind::Accepted, ..) => "a new problem; its request does not exist yet".to_owned(),
        (DecisionKind::Duplicate, ..) => {
            format!("signal {count} of a problem that is open since {first_seen}")
        }
        (DecisionKind::Aggregated, Some(storm), _) if decision.opened_storm => {
            format!("opens a storm: the rule counted {} problems", storm.alert_count)
        }
        (DecisionKind::Aggregated, storm, _) => {
            let members = storm.as_ref().map_or(0, |storm| storm.alert_count);
            format!("problem {members} of an open storm")
        }
        (DecisionKind::Resolved, _, Some(_)) => "its sender says that it is over".to_owned(),
        (DecisionKind::Resolved, _, None) => {
            "its sender says that it is over, and nothing is open".to_owned()
        }
    }
}
