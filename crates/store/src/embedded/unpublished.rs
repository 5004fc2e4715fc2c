//! Requests that do not exist outside the store as they are here.

use std::collections::{HashMap, HashSet, VecDeque};

use seawall_engine::{Engine, request_key};
use seawall_model::{Policy, RequestRef, Stopwatch, Timestamp};
use tokio::sync::mpsc;

use super::disk::{Extra, Tables};
use super::status;
use super::writer::Live;
use crate::{AGAIN, Placement, StoreError};

/// What is to be told to whoever publishes. Nothing of it needs to be on disk: after a start it follows from comparing
/// what requests are with where they were placed.
pub(super) struct Unpublished {
    publisher: mpsc::Sender<RequestRef>,
    /// Everything that was not placed since it changed.
    open: HashSet<RequestRef>,
    /// What the publisher has not been told of, or not lately.
    untold: VecDeque<RequestRef>,
    last_round: Stopwatch,
}

impl Unpublished {
    pub(super) fn new(publisher: mpsc::Sender<RequestRef>) -> Self {
        let (open, untold) = (HashSet::new(), VecDeque::new());
        Self { publisher, open, untold, last_round: Stopwatch::start() }
    }

    /// Finds everything that is behind, after a start: what is open, and what became of the rest.
    pub(super) fn compare(
        &mut self,
        tables: &Tables,
        engine: &Engine,
        policy: &Policy,
    ) -> Result<(), StoreError> {
        (self.open, self.untold) = (HashSet::new(), VecDeque::new());
        if !policy.published {
            return Ok(());
        }
        let mut placed: HashMap<Vec<u8>, u64> = HashMap::new();
        for placement in tables.placements() {
            let (key, placement) = placement?;
            placed.insert(key, if placement.deleted { u64::MAX } else { placement.sequence });
        }
        let is_behind = |reference: &RequestRef, sequence: u64| {
            placed.get(&request_key(reference)).is_none_or(|placed| *placed < sequence)
        };
        for (reference, sequence) in engine.existing_requests(policy) {
            if is_behind(&reference, sequence) {
                self.note(reference);
            }
        }
        for closed in tables.closed_after(None) {
            let (key, closed) = closed?;
            let reference = super::reader::parse_key(&String::from_utf8_lossy(&key))?;
            if is_behind(&reference, closed.state.sequence) {
                self.note(reference);
            }
        }
        Ok(())
    }

    /// Takes note of a change.
    pub(super) fn note(&mut self, reference: RequestRef) {
        self.open.insert(reference.clone());
        self.untold.push_back(reference);
    }

    pub(super) fn settle(&mut self, reference: &RequestRef) {
        self.open.remove(reference);
    }

    pub(super) fn has(&self, reference: &RequestRef) -> bool {
        self.open.contains(reference)
    }

    /// Tells the publisher as much as it takes now.
    pub(super) fn tell(&mut self) {
        if self.last_round.elapsed() >= AGAIN && self.untold.is_empty() {
            self.last_round = Stopwatch::start();
            self.untold.extend(self.open.iter().cloned());
        }
        while let Some(reference) = self.untold.pop_front() {
            if !self.open.contains(&reference) {
                continue;
            }
            match self.publisher.try_reserve() {
                Ok(permit) => permit.send(reference),
                Err(_) => return self.untold.push_front(reference),
            }
        }
    }
}

impl Live {
    /// Takes note that a request is to be published, unless somebody deleted it where it was.
    pub(super) fn unpublish(&mut self, reference: &RequestRef) {
        // One that cannot be read is told in vain, which harms nobody.
        let placement = self.disk.tables.placement(reference).unwrap_or_default();
        if !placement.is_some_and(|placement| placement.deleted) {
            self.unpublished.note(reference.clone());
        }
    }

    /// Notes where a request exists and since which change.
    pub(super) fn place(
        &mut self,
        reference: &RequestRef,
        placement: Placement,
        extra: &mut Extra,
    ) -> Result<(), StoreError> {
        let known = self.placement(reference, extra)?;
        if known.is_some_and(|known| known.deleted || known.sequence > placement.sequence) {
            return Ok(());
        }
        let newest = match self.engine.request_state(reference) {
            Some(state) => Some(state.sequence),
            None => self.disk.tables.closed(reference)?.map(|closed| closed.state.sequence),
        };
        if newest.is_none_or(|newest| newest <= placement.sequence) {
            self.unpublished.settle(reference);
        }
        extra.placed.push((reference.clone(), placement));
        Ok(())
    }

    /// Releases what counts on a request that somebody deleted where it was published.
    pub(super) fn delete(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        reference: &RequestRef,
        extra: &mut Extra,
    ) -> Result<bool, StoreError> {
        let Some(placement) = self.placement(reference, extra)?.filter(|placement| !placement.deleted) else {
            return Ok(false);
        };
        status::withdraw(&mut self.engine, &self.disk.tables, policy, now, reference, extra)?;
        self.unpublished.settle(reference);
        extra.placed.push((reference.clone(), Placement { deleted: true, ..placement }));
        Ok(true)
    }

    /// Where a request was placed, this round included.
    fn placement(&self, reference: &RequestRef, extra: &Extra) -> Result<Option<Placement>, StoreError> {
        match extra.placed.iter().rev().find(|(it, _)| it == reference) {
            Some((_, placement)) => Ok(Some(placement.clone())),
            None => self.disk.tables.placement(reference),
        }
    }
}
