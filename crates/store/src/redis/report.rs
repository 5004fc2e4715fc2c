//! What workers say about requests.

use std::sync::Arc;

use seawall_model::{Phase, RequestRef};
use serde::Deserialize;

use super::partition::sibling;
use super::reader::{status, typed};
use super::store::Core;
use super::wire::{self, ReportCall, decode, phase_number};
use crate::read::merge;
use crate::{RequestRecord, StatusPatch, StoreError};

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
        let name = reference.to_string();
        let missing = || StoreError::NotFound { what: format!("request {name}") };
        let record = self.find_request(&reference).await?.ok_or_else(missing)?;
        for _ in 0..TRIES {
            let mut ask = redis::pipe();
            ask.cmd("HGET").arg(sibling(&record, "t")).arg(&name);
            let before: Option<String> = typed(self.one(&ask, &record).await?)?;
            let before = before.unwrap_or_default();
            let merged = merge(status(before.as_bytes())?, patch.clone())?;
            let json = serde_json::to_string(&merged)
                .map_err(|error| StoreError::Invalid { reason: format!("invalid status: {error}") })?;
            let phase = Phase::parse(merged.overall_phase.as_deref().unwrap_or_default());
            let asked =
                ReportCall { reference: &name, phase: phase_number(phase), before: &before, status: &json };
            let call = self.call(&self.rules().wire, asked);
            let value = self.run(&self.scripts.report, &record, &[&call], true).await?;
            let Answer(outcome, due) = decode(&wire::text(value)?)?;
            if due != 0 {
                self.publisher.schedule(&record, due);
            }
            match outcome.as_str() {
                "done" => return self.get(reference).await,
                "missing" => return Err(missing()),
                _ => {}
            }
        }
        Err(StoreError::Saturated { retry_after: super::RETRY_AFTER })
    }
}
