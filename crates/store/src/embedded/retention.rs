//! Finished requests leave after their time.

use seawall_engine::ClosedRequest;
use seawall_model::{Phase, Policy, RequestRef, Timestamp};

use super::disk::{Extra, Tables, unreadable};
use super::unpublished::Unpublished;
use crate::{RequestRecord, StoreError};

/// How often to look at the next few closed requests, in milliseconds.
const EVERY: i64 = 1_000;
/// Closed requests looked at each time: a million in less than three hours, against a retention of days.
const AT_ONCE: usize = 100;

#[derive(Default)]
pub(super) struct Retention {
    last: Option<Timestamp>,
    /// The key up to which everything has been looked at in this turn.
    cursor: Option<Vec<u8>>,
}

impl Retention {
    /// Notes what has to go in `extra`; returns what it was.
    pub(super) fn expire(
        &mut self,
        tables: &Tables,
        policy: &Policy,
        now: Timestamp,
        unpublished: &Unpublished,
        extra: &mut Extra,
    ) -> Result<Vec<RequestRecord>, StoreError> {
        if self.last.is_some_and(|last| now - last < EVERY && now >= last) {
            return Ok(Vec::new());
        }
        self.last = Some(now);
        let mut expired = Vec::new();
        let after = self.cursor.take();
        for entry in tables.closed_after(after.as_deref()).take(AT_ONCE) {
            let (key, closed) = entry?;
            if let Some(record) =
                is_over(&closed, policy, now).then(|| load(tables, &key, closed)).transpose()?.flatten()
                && !unpublished.has(&record.doc.reference)
            {
                extra.gone.push(record.doc.reference.clone());
                expired.push(record);
            }
            self.cursor = Some(key);
        }
        Ok(expired)
    }
}

/// Whether nobody can still be working on it and its time is over.
fn is_over(closed: &ClosedRequest, policy: &Policy, now: Timestamp) -> bool {
    matches!(closed.phase, Phase::Finished | Phase::Waiting) && now - closed.at >= policy.retention
}

fn load(tables: &Tables, key: &[u8], closed: ClosedRequest) -> Result<Option<RequestRecord>, StoreError> {
    let Some(value) = tables.requests.get(key).map_err(unreadable)? else { return Ok(None) };
    let doc: seawall_model::RequestDoc = postcard::from_bytes(&value).map_err(unreadable)?;
    let reference: RequestRef = doc.reference.clone();
    let (status, placement) = (tables.status(&reference)?, tables.placement(&reference)?);
    Ok(Some(RequestRecord { doc, state: closed.state, status, placement }))
}
