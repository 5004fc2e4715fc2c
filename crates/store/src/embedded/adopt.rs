//! Taking over what exists outside the store when its state is new or was lost.

use seawall_engine::OpenRequest;
use seawall_model::{Policy, Timestamp};

use super::disk::Extra;
use super::writer::Live;
use super::{RETRY_AFTER, Shared};
use crate::read::phase_of;
use crate::{Failure, Health, INCOMPLETE, Placement, RequestRecord, StoreError};

/// Nothing is decided before it is known what is open.
pub(super) fn incomplete() -> StoreError {
    StoreError::Unavailable {
        class: Failure::Incomplete,
        reason: INCOMPLETE.to_owned(),
        retry_after: RETRY_AFTER,
    }
}

impl Shared {
    pub(super) fn set_incomplete(&self, incomplete: bool) {
        let reason = incomplete.then(|| INCOMPLETE.to_owned());
        *self.health.lock() = Health { available: !incomplete, reason };
        self.incomplete.send_replace(incomplete);
    }
}

impl Live {
    /// Takes over what is not known here, and says how many requests that were. Durable with the commit of this round, and from then on the state is whole.
    pub(super) fn adopt(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        mut open: Vec<RequestRecord>,
        extra: &mut Extra,
    ) -> Result<usize, StoreError> {
        let mut known = Vec::with_capacity(open.len());
        for record in &open {
            known.push(self.disk.tables.doc(&record.doc.reference)?.is_some());
        }
        let mut known = known.into_iter();
        open.retain(|_| !known.next().unwrap_or_default());
        let epoch = open.iter().map(|record| record.state.epoch).max().map_or(0, |epoch| epoch + 1);
        self.disk.raise_epoch(epoch);
        self.engine.raise_epoch(epoch);
        self.engine.begin(self.disk.next_sequence());
        let requests: Vec<OpenRequest<'_>> = open
            .iter()
            .map(|it| OpenRequest { doc: &it.doc, state: &it.state, phase: phase_of(it.status.as_ref()) })
            .collect();
        let adopted = self.engine.adopt(policy, &requests, now);
        for record in adopted.iter().filter_map(|at| open.get(*at)) {
            let reference = &record.doc.reference;
            extra.status.extend(record.status.clone().map(|status| (reference.clone(), Some(status))));
            // As if nothing had been written yet: it is written again, in the new epoch.
            let placement = record.placement.clone().map(|placement| Placement { sequence: 0, ..placement });
            extra.placed.extend(placement.map(|placement| (reference.clone(), placement)));
        }
        extra.whole = true;
        self.incomplete = false;
        Ok(adopted.len())
    }
}
