//! What workers say about requests.

use std::sync::Arc;

use seawall_model::{Phase, RemediationRequestStatus, RequestRef};
use serde::Deserialize;

use super::partition::sibling;
use super::reader::{status, typed};
use super::store::Core;
use super::wire::{self, PlacedCall, ReportCall, decode, phase_number};
use crate::read::{merge, withdrawn};
use crate::{Placement, RequestRecord, StatusPatch, StoreError};

/// How often a report is merged again because another one came between. Reports about one request are rare.
const TRIES: usize = 20;

#[derive(Deserialize)]
struct Answer(String, i64);

impl Core {
    /// Merges a report into the status of a request and lets the state know the phase.
    pub(super) async fn patch(
        self: Arc<Self>,
        reference: RequestRef,
        patch: StatusPatch,
    ) -> Result<RequestRecord, StoreError> {
        let missing = || StoreError::NotFound { what: format!("request {reference}") };
        let merged = |status| merge(status, patch.clone());
        match self.report(&reference, merged, false).await? {
            true => self.get(reference).await,
            false => Err(missing()),
        }
    }

    /// Ends what counts on a request that somebody deleted where it was published. Says whether that was news.
    pub(super) async fn withdraw(&self, reference: RequestRef) -> Result<bool, StoreError> {
        self.report(&reference, |status| Ok(withdrawn(status)), true).await
    }

    /// Notes where a request was published.
    pub(super) async fn place(
        &self,
        reference: &RequestRef,
        placement: &Placement,
    ) -> Result<(), StoreError> {
        let Some(record) = self.find_request(reference).await? else { return Ok(()) };
        let asked = PlacedCall {
            reference: &reference.to_string(),
            namespace: &placement.namespace,
            name: &placement.name,
            uid: &placement.uid,
            sequence: placement.sequence,
        };
        let call = self.call(&self.rules().wire, asked);
        self.run(&self.scripts.placed, &record, &[&call], true).await?;
        Ok(())
    }

    /// Changes the status of a request and lets the state know the phase. Says whether there is such a request, and for a
    /// withdrawal, whether it was published until now.
    async fn report(
        &self,
        reference: &RequestRef,
        change: impl Fn(Option<RemediationRequestStatus>) -> Result<RemediationRequestStatus, StoreError>,
        withdrawn: bool,
    ) -> Result<bool, StoreError> {
        let name = reference.to_string();
        let Some(record) = self.find_request(reference).await? else { return Ok(false) };
        for _ in 0..TRIES {
            let mut ask = redis::pipe();
            ask.cmd("HGET").arg(sibling(&record, "t")).arg(&name);
            let before: Option<String> = typed(self.one(&ask, &record).await?)?;
            let before = before.unwrap_or_default();
            let merged = change(status(before.as_bytes())?)?;
            let json = serde_json::to_string(&merged)
                .map_err(|error| StoreError::Invalid { reason: format!("invalid status: {error}") })?;
            let phase = phase_number(Phase::parse(merged.overall_phase.as_deref().unwrap_or_default()));
            let asked = ReportCall { reference: &name, phase, before: &before, status: &json, withdrawn };
            let call = self.call(&self.rules().wire, asked);
            let value = self.run(&self.scripts.report, &record, &[&call], true).await?;
            let Answer(outcome, due) = decode(&wire::text(value)?)?;
            if due != 0 {
                self.publisher.schedule(&record, due);
            }
            match outcome.as_str() {
                "done" => return Ok(true),
                "missing" => return Ok(false),
                _ => {}
            }
        }
        Err(StoreError::Saturated { retry_after: super::RETRY_AFTER })
    }
}
