//! The pure engine with a map for a disk.

use std::collections::BTreeMap;

use seawall_engine::{ClosedRequest, Engine, Table};
use seawall_model::{
    Decision, Fingerprint, Millis, Phase, Policy, RequestDoc, RequestRef, RequestState, Signal, Timestamp,
};

use crate::support::START;

/// Looks at so many incidents per millisecond for whether they may leave memory, and at so many at once: part of what a
/// store does by itself, and visible to whoever sets the clock back.
const SWEEP_PER_MILLISECOND: Millis = 20;
const SWEEP_AT_ONCE: Millis = 4096;

type Disk = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

pub struct Machine {
    pub policy: Policy,
    pub now: Timestamp,
    engine: Engine,
    disk: Disk,
    epoch: u64,
    commits: u64,
    swept: Timestamp,
    sweep: Sweep,
}

/// How much of what is over leaves memory when the clock was turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// As much as time has passed for.
    ByTime,
    Everything,
}

impl Machine {
    pub fn new(policy: Policy, sweep: Sweep) -> Self {
        let mut engine = Engine::new(1);
        engine.begin(1);
        Self { policy, now: START, engine, disk: Disk::new(), epoch: 1, commits: 1, swept: START, sweep }
    }

    pub fn deliver(&mut self, signals: &[Signal]) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for signal in signals {
            if signal.resolved && !self.engine.knows(&signal.fingerprint) {
                self.recall_unresolved(signal.fingerprint);
            }
            decisions.push(self.engine.decide(&self.policy, signal, self.now));
        }
        self.tick(0);
        decisions
    }

    /// A worker's report about a request that exists.
    pub fn report(&mut self, reference: &RequestRef, phase: Phase) {
        if !self.engine.set_phase(&self.policy, reference, phase, self.now) {
            let (doc, closed) = self.closed(reference).expect("a request is in memory or closed");
            let matters = phase != Phase::Waiting && closed.phase != Phase::Finished;
            if matters && self.engine.recall(&self.policy, &doc, &closed) {
                assert!(self.engine.set_phase(&self.policy, reference, phase, self.now));
            } else {
                self.note_late_phase(reference, closed, phase);
            }
        }
        self.tick(0);
    }

    /// Somebody deleted a request where it was published.
    pub fn withdraw(&mut self, reference: &RequestRef) {
        if !self.engine.withdraw(&self.policy, reference, self.now) {
            let (_, closed) = self.closed(reference).expect("a request is in memory or closed");
            self.note_late_phase(reference, closed, Phase::Finished);
        }
        self.tick(0);
    }

    /// Nothing in memory counts on the request, but when it was worked on says for how long it is kept.
    fn note_late_phase(&mut self, reference: &RequestRef, mut closed: ClosedRequest, phase: Phase) {
        if closed.phase != Phase::Finished {
            closed.phase = phase;
        }
        let key = (Table::Closed, reference.to_string().into_bytes());
        self.disk.insert(key, postcard::to_stdvec(&closed).unwrap());
    }

    /// A late "resolved" marks the newest request of its problem, when that is not marked yet.
    fn recall_unresolved(&mut self, fingerprint: Fingerprint) {
        let newest = self.docs().filter(|doc| doc.fingerprint == fingerprint);
        let Some(doc) = newest.max_by_key(|doc| doc.reference.id.generation) else { return };
        if let Some((doc, closed)) = self.closed(&doc.reference)
            && closed.state.resolved_at.is_none()
        {
            self.engine.recall(&self.policy, &doc, &closed);
        }
    }

    /// The clock was turned and everything due is done.
    pub fn turn(&mut self, now: Timestamp) {
        self.now = now;
        let by_time = ((now - self.swept) * SWEEP_PER_MILLISECOND).clamp(0, SWEEP_AT_ONCE);
        self.swept = now;
        self.tick(match self.sweep {
            Sweep::ByTime => by_time as usize,
            Sweep::Everything => usize::MAX,
        });
    }

    fn tick(&mut self, budget: usize) {
        self.engine.tick(&self.policy, self.now, budget);
        self.engine.take_publications();
        let disk = &mut self.disk;
        self.engine.drain(&mut |table, key, value| {
            let key = (table, key.to_vec());
            match value {
                Some(value) => disk.insert(key, value.to_vec()),
                None => disk.remove(&key),
            };
        });
        self.commits += 1;
        self.engine.begin((self.epoch << 40) + self.commits);
    }

    /// The process ends and another one takes over.
    pub fn restart(&mut self) {
        self.epoch += 1;
        self.commits = 1;
        let records =
            self.disk.iter().map(|((table, key), value)| (*table, key.as_slice(), value.as_slice()));
        self.engine = Engine::restore(self.epoch, records).unwrap();
        self.engine.begin((self.epoch << 40) + self.commits);
        self.swept = self.now;
        self.tick(0);
    }

    fn docs(&self) -> impl Iterator<Item = RequestDoc> {
        let docs = self.disk.iter().filter(|((table, _), _)| *table == Table::Request);
        docs.map(|(_, value)| postcard::from_bytes(value).unwrap())
    }

    fn closed(&self, reference: &RequestRef) -> Option<(RequestDoc, ClosedRequest)> {
        let record = |table| self.disk.get(&(table, reference.to_string().into_bytes()));
        let doc = postcard::from_bytes(record(Table::Request)?).unwrap();
        Some((doc, postcard::from_bytes(record(Table::Closed)?).unwrap()))
    }

    /// The requests that exist in the sink. Numbers of commits and starts are of no interest.
    pub fn requests(&self) -> BTreeMap<RequestRef, (RequestDoc, RequestState)> {
        let mut requests = BTreeMap::new();
        for doc in self.docs() {
            let closed = || self.closed(&doc.reference).map(|(_, closed)| closed.state);
            if let Some(mut state) = self.engine.request_state(&doc.reference).or_else(closed) {
                (state.epoch, state.sequence) = (0, 0);
                requests.insert(doc.reference.clone(), (doc, state));
            }
        }
        requests
    }

    /// Records of what is open.
    pub fn left(&self) -> usize {
        self.disk.keys().filter(|(table, _)| *table != Table::Meta).count()
    }

    /// What nothing in memory counts on any more leaves after its retention.
    pub fn forget_closed(&mut self) {
        let closed: Vec<Vec<u8>> = self
            .disk
            .keys()
            .filter(|(table, _)| *table == Table::Closed)
            .map(|(_, key)| key.clone())
            .collect();
        for key in closed {
            self.disk.remove(&(Table::Request, key.clone()));
            self.disk.remove(&(Table::Closed, key));
        }
    }
}
