//! What workers and senders say about requests that may have left memory.

use seawall_engine::{ClosedRequest, Engine};
use seawall_model::{Phase, Policy, RemediationRequestStatus, RequestDoc, RequestRef, Signal, Timestamp};

use super::disk::{Extra, Tables, unreadable};
use crate::read::{merge, withdrawn};
use crate::{StatusPatch, StoreError};

/// Merges a worker's report into the status and lets the engine know the phase.
pub(super) fn patch(
    engine: &mut Engine,
    tables: &Tables,
    policy: &Policy,
    now: Timestamp,
    reference: &RequestRef,
    patch: StatusPatch,
    extra: &mut Extra,
) -> Result<(), StoreError> {
    let missing = || StoreError::NotFound { what: format!("request {reference}") };
    let merged = merge(current(tables, reference, extra)?, patch)?;
    let phase = Phase::parse(merged.overall_phase.as_deref().unwrap_or_default());
    if !engine.set_phase(policy, reference, phase, now) {
        let doc = tables.doc(reference)?.ok_or_else(missing)?;
        // Neither in memory nor closed means held: it does not exist yet.
        let mut closed = tables.closed(reference)?.ok_or_else(missing)?;
        let was = closed.phase;
        // Work that begins or ends keeps the problem open for as long as it would have while it was in memory.
        let news = phase != Phase::Waiting && was != Phase::Finished;
        if !(news && engine.recall(policy, &doc, &closed) && engine.set_phase(policy, reference, phase, now))
        {
            if was != Phase::Finished {
                closed.phase = phase;
            }
            closed.at = closed.at.max(now);
            closed.state.sequence = engine.sequence();
            extra.closed.push((reference.clone(), Some(closed)));
            engine.closed_changed(policy, reference.clone());
        }
    }
    extra.status.push((reference.clone(), Some(merged)));
    Ok(())
}

/// Ends what counts on a request that somebody deleted, without a cooldown.
pub(super) fn withdraw(
    engine: &mut Engine,
    tables: &Tables,
    policy: &Policy,
    now: Timestamp,
    reference: &RequestRef,
    extra: &mut Extra,
) -> Result<(), StoreError> {
    if !engine.withdraw(policy, reference, now)
        && let Some(mut closed) = tables.closed(reference)?
    {
        closed.phase = Phase::Finished;
        closed.at = closed.at.max(now);
        closed.state.sequence = engine.sequence();
        extra.closed.push((reference.clone(), Some(closed)));
        engine.closed_changed(policy, reference.clone());
    }
    let status = withdrawn(current(tables, reference, extra)?);
    extra.status.push((reference.clone(), Some(status)));
    Ok(())
}

/// The status of a request, this round included.
fn current(
    tables: &Tables,
    reference: &RequestRef,
    extra: &Extra,
) -> Result<Option<RemediationRequestStatus>, StoreError> {
    match extra.status.iter().rev().find(|(it, _)| it == reference) {
        Some((_, status)) => Ok(status.clone()),
        None => tables.status(reference),
    }
}

/// Takes a problem back into memory when its request is still there, so that a late "resolved" marks it.
pub(super) fn recall_problem(
    engine: &mut Engine,
    tables: &Tables,
    policy: &Policy,
    signal: &Signal,
) -> Result<(), StoreError> {
    let newest = seawall_model::RequestId { prefix: signal.fingerprint.prefix(), generation: 0 };
    let sample =
        RequestRef::locate(&signal.identity.namespace, newest, &policy.fallback_namespace).to_string();
    // Everything but the generation; the newest request of a problem sorts last, for generations are seconds of the
    // same number of digits.
    let prefix = &sample[..sample.len() - 1];
    let Some(entry) = tables.requests.prefix(prefix).next_back() else { return Ok(()) };
    let (_, value) = entry.into_inner().map_err(unreadable)?;
    let doc: RequestDoc = postcard::from_bytes(&value).map_err(unreadable)?;
    if doc.fingerprint != signal.fingerprint {
        return Ok(());
    }
    let closed: Option<ClosedRequest> = tables.closed(&doc.reference)?;
    if let Some(closed) = closed
        && closed.state.resolved_at.is_none()
    {
        engine.recall(policy, &doc, &closed);
    }
    Ok(())
}
