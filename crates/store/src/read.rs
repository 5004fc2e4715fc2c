//! What all stores do alike when somebody looks at requests or reports about them.

use seawall_engine::{ExplainedDecision, Explanation};
use seawall_model::{Fingerprint, Phase, RemediationRequestStatus};
use serde_json::{Map, Value};

use crate::{Page, RequestFilter, RequestRecord, StatusPatch, StoreError};

/// Whether a request is one of those asked for, apart from when it changed.
pub(crate) fn matches(record: &RequestRecord, filter: &RequestFilter) -> bool {
    let RequestRecord { doc, state, status, .. } = record;
    let phase = status.as_ref().and_then(|status| status.overall_phase.as_deref()).unwrap_or_default();
    filter.storm.is_none_or(|storm| storm == state.storm.is_some())
        && filter.phase.as_deref().is_none_or(|wanted| fold(wanted) == fold(phase))
        && filter.fingerprint.is_none_or(|wanted| wanted == doc.fingerprint)
}

pub(crate) fn phase_of(status: Option<&RemediationRequestStatus>) -> Phase {
    Phase::parse(status.and_then(|status| status.overall_phase.as_deref()).unwrap_or_default())
}

fn fold(phase: &str) -> String {
    phase.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

pub(crate) fn offset(page: &Page) -> usize {
    page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0)
}

/// A page of a list, and where the next one begins.
pub(crate) fn page_of<T>(all: Vec<T>, page: &Page) -> (Vec<T>, Option<String>) {
    let skip = offset(page);
    let mut all = all.into_iter().skip(skip);
    let items: Vec<_> = all.by_ref().take(page.limit).collect();
    let next = all.next().map(|_| (skip + items.len()).to_string());
    (items, next)
}

/// What can still be told about a problem whose incident is over.
pub(crate) fn from_request(fingerprint: Fingerprint, record: RequestRecord) -> Explanation {
    let RequestRecord { doc, state, status, .. } = record;
    let phase = status.and_then(|status| status.overall_phase).unwrap_or_default();
    let ended = match Phase::parse(&phase) {
        Phase::Finished => format!("its request was finished ({phase}) and the cooldown is over"),
        _ => "it was silent for longer than the silence timer".to_owned(),
    };
    let decision = |at, decision, reason| ExplainedDecision { at, decision, rule: None, reason };
    let mut decisions =
        vec![decision(state.first_seen, "created", "a new problem got this request".to_owned())];
    if state.occurrences > 1 {
        let reason = format!("{} firing signals counted on this request", state.occurrences);
        decisions.push(decision(state.last_seen, "duplicate", reason));
    }
    if let Some(by) = state.superseded_by {
        decisions.push(decision(
            state.last_seen,
            "superseded",
            format!("the storm's request {by} took over"),
        ));
    }
    if let Some(at) = state.resolved_at {
        decisions.push(decision(at, "resolved", "reported as resolved".to_owned()));
    }
    decisions.push(decision(state.last_seen, "ended", ended + "; the next signal opens a new incident"));
    Explanation {
        fingerprint,
        identity: doc.identity,
        open: false,
        request: Some(doc.reference),
        storm: None,
        decisions,
    }
}

/// The status of a request that somebody deleted where it was published.
pub(crate) fn withdrawn(status: Option<RemediationRequestStatus>) -> RemediationRequestStatus {
    let status = status.unwrap_or_default();
    match Phase::parse(status.overall_phase.as_deref().unwrap_or_default()) {
        Phase::Finished => status,
        _ => RemediationRequestStatus {
            overall_phase: Some("Cancelled".to_owned()),
            message: Some("deleted where it was published; what fires again gets a new request".to_owned()),
            ..status
        },
    }
}

/// A JSON merge patch (RFC 7396): null removes, everything else replaces.
pub(crate) fn merge(
    current: Option<RemediationRequestStatus>,
    patch: StatusPatch,
) -> Result<RemediationRequestStatus, StoreError> {
    let invalid =
        |error: serde_json::Error| StoreError::Invalid { reason: format!("invalid status: {error}") };
    let current = serde_json::to_value(current.unwrap_or_default()).map_err(invalid)?;
    let mut fields = match current {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in patch.0 {
        match value {
            Value::Null => drop(fields.remove(&name)),
            value => drop(fields.insert(name, value)),
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(invalid)
}
