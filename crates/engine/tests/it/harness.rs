//! An engine on a disk made of a map, side by side with the naive model.

use std::collections::BTreeMap;

use seawall_engine::{ClosedRequest, Engine, OpenRequest, Publication, Table};
use seawall_model::{Fingerprint, Phase, Policy, RequestDoc, RequestRef, RequestState, Signal, Timestamp};

use crate::history::Step;
use crate::ledger::Ledger;
use crate::naive::{Memory, Naive};
use crate::view::{Sink, SinkRequest, Verdict};

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub type Disk = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

const TABLES: [Table; 6] =
    [Table::Incident, Table::Touch, Table::Storm, Table::Request, Table::Closed, Table::Meta];

/// The engine with a disk, and a clock that the test turns.
pub struct Machine {
    pub policy: Policy,
    /// Incidents that a tick looks at.
    pub budget: usize,
    pub now: Timestamp,
    pub engine: Engine,
    pub disk: Disk,
    /// What watchers will be told after the next commit, and since when it was ready.
    ready: Vec<(Publication, Timestamp)>,
    epoch: u64,
    sequence: u64,
}

impl Machine {
    pub fn new(policy: Policy) -> Self {
        let mut engine = Engine::new(1);
        engine.begin(1);
        Self {
            policy,
            budget: usize::MAX,
            now: START,
            engine,
            disk: Disk::new(),
            ready: Vec::new(),
            epoch: 1,
            sequence: 1,
        }
    }

    pub fn decide(&mut self, signal: &Signal) -> Verdict {
        let decision = self.engine.decide(&self.policy, signal, self.now);
        self.collect();
        Verdict::from(&decision)
    }

    /// A worker's report right after a commit. A request that has left memory is recalled, as the store does it.
    pub fn report(&mut self, reference: &RequestRef, phase: Phase) -> bool {
        let known = self.engine.set_phase(&self.policy, reference, phase, self.now)
            || self.recall(reference) && self.engine.set_phase(&self.policy, reference, phase, self.now);
        self.collect();
        known
    }

    fn recall(&mut self, reference: &RequestRef) -> bool {
        let key = reference.to_string().into_bytes();
        let record = |table| self.disk.get(&(number_of(table), key.clone()));
        let (Some(doc), Some(closed)) = (record(Table::Request), record(Table::Closed)) else { return false };
        let (doc, closed) = (postcard::from_bytes(doc).unwrap(), postcard::from_bytes(closed).unwrap());
        self.engine.recall(&self.policy, &doc, &closed)
    }

    pub fn tick(&mut self) {
        self.engine.tick(&self.policy, self.now, self.budget);
        self.collect();
    }

    fn collect(&mut self) {
        let publications = self.engine.take_publications();
        self.ready.extend(publications.into_iter().map(|publication| (publication, self.now)));
    }

    /// Makes everything durable; the publications are what watchers are told after that.
    pub fn commit(&mut self) -> Vec<(Publication, Timestamp)> {
        let disk = &mut self.disk;
        self.engine.drain(&mut |table, key, value| {
            let key = (number_of(table), key.to_vec());
            match value {
                Some(value) => disk.insert(key, value.to_vec()),
                None => disk.remove(&key),
            };
        });
        self.collect();
        self.sequence += 1;
        self.engine.begin(self.sequence);
        std::mem::take(&mut self.ready)
    }

    /// The process dies with what it has not committed, and starts again from the disk.
    pub fn crash(&mut self) {
        self.epoch += 1;
        self.ready.clear();
        let records = self.disk.iter().filter_map(|((number, key), value)| {
            let table = TABLES.into_iter().find(|table| number_of(*table) == *number)?;
            Some((table, key.as_slice(), value.as_slice()))
        });
        self.engine = Engine::restore(self.epoch, records).unwrap();
        self.engine.begin(self.sequence);
    }

    /// Everything is gone but the requests in the sink; those that are open are taken over.
    pub fn lose_state(&mut self) {
        let closed = |key: &RequestRef| {
            let value = self.disk.get(&(number_of(Table::Closed), key.to_string().into_bytes()))?;
            Some(postcard::from_bytes::<ClosedRequest>(value).unwrap().phase)
        };
        let mut open = Vec::new();
        for (reference, (doc, mut state)) in self.requests() {
            let phase = self.engine.phase(&reference).or_else(|| closed(&reference)).unwrap();
            if let Some(storm) = &mut state.storm {
                // A resource has them as a map.
                storm.group_by.sort();
            }
            if phase != Phase::Finished {
                open.push((doc, state, phase));
            }
        }
        self.lose_state_without_finding_it();
        self.adopt(&open);
    }

    /// As before the first alert.
    pub fn lose_state_without_finding_it(&mut self) {
        self.epoch += 1;
        self.ready.clear();
        self.disk.clear();
        self.engine = Engine::new(self.epoch);
        self.sequence += 1;
        self.engine.begin(self.sequence);
    }

    pub fn adopt(&mut self, open: &[(RequestDoc, RequestState, Phase)]) {
        let open: Vec<OpenRequest> =
            open.iter().map(|(doc, state, phase)| OpenRequest { doc, state, phase: *phase }).collect();
        let adopted = self.engine.adopt(&self.policy, &open, self.now);
        assert_eq!(adopted.len(), open.len());
    }

    pub fn records(&self, table: Table) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.disk.iter().filter(move |((number, _), _)| *number == number_of(table)).map(|((_, k), v)| (k, v))
    }

    /// The requests that exist in the sink, as they are durable. Only meaningful right after a commit.
    pub fn requests(&self) -> BTreeMap<RequestRef, (RequestDoc, RequestState)> {
        let mut requests = BTreeMap::new();
        for (key, value) in self.records(Table::Request) {
            let doc: RequestDoc = postcard::from_bytes(value).unwrap();
            assert_eq!(key, doc.reference.to_string().as_bytes());
            let closed = self.disk.get(&(number_of(Table::Closed), key.clone()));
            let closed = closed.map(|value| postcard::from_bytes::<ClosedRequest>(value).unwrap().state);
            let live = self.engine.request_state(&doc.reference);
            assert!(live.is_none() || closed.is_none(), "{} is in memory and closed", doc.reference);
            if let Some(state) = live.or(closed) {
                requests.insert(doc.reference.clone(), (doc, state));
            }
        }
        requests
    }

    pub fn sink(&self) -> Sink {
        let requests = self.requests().into_iter();
        requests.map(|(reference, (doc, state))| (reference, SinkRequest::read(&doc, &state))).collect()
    }
}

impl Memory for Machine {
    fn has_problem(&self, fingerprint: &Fingerprint) -> bool {
        self.engine.knows(fingerprint)
    }

    fn has_storm(&self, request: &RequestRef) -> bool {
        self.engine.phase(request).is_some()
    }
}

fn number_of(table: Table) -> u8 {
    match table {
        Table::Incident => 0,
        Table::Touch => 1,
        Table::Storm => 2,
        Table::Request => 3,
        Table::Closed => 4,
        Table::Meta => 5,
    }
}

/// A machine, the naive model, and what the outside world remembers; compared after every step.
pub struct Comparison {
    pub machine: Machine,
    /// What a reload swaps in.
    other_policy: Policy,
    naive: Naive,
    ledger: Ledger,
    /// The last commit: what a crash goes back to.
    durable: (Naive, Ledger),
}

impl Comparison {
    pub fn new(policy: Policy, other_policy: Policy, budget: usize) -> Self {
        let (naive, ledger) = (Naive::default(), Ledger::new(START, [policy.clone(), other_policy.clone()]));
        let durable = (naive.clone(), ledger.clone());
        let machine = Machine { budget, ..Machine::new(policy) };
        Self { machine, other_policy, durable, naive, ledger }
    }

    pub fn step(&mut self, step: &Step) {
        match step {
            Step::Fire(alert) => self.deliver(&alert.firing()),
            Step::Burst(alert, resources) => {
                self.deliver(&alert.firing());
                for nth in 0..*resources {
                    let mut other = alert.clone();
                    other.resource = format!("{}-{nth}", alert.resource);
                    self.deliver(&other.firing());
                }
            }
            Step::Resolve(alert) => self.deliver(&alert.resolved()),
            Step::Redeliver => self.redeliver(),
            Step::Report(nth, phase) => self.report(*nth, *phase),
            Step::Clock(by) => self.move_clock(*by),
            Step::Tick(by) => {
                self.move_clock(*by);
                self.machine.tick();
                self.naive.tick(&self.machine.policy, self.machine.now, &self.machine);
            }
            Step::Reload => {
                std::mem::swap(&mut self.machine.policy, &mut self.other_policy);
                self.ledger.reloaded();
            }
            Step::Commit => self.commit(),
            Step::Crash { lost } => self.crash(*lost),
        }
    }

    fn move_clock(&mut self, by: i64) {
        if by < 0 {
            self.commit(); // So that every publication is known with the clock it was made by.
        }
        self.machine.now = self.machine.now + by;
        self.ledger.clock_moved(by, self.machine.now);
    }

    fn deliver(&mut self, signal: &Signal) {
        let verdict = self.machine.decide(signal);
        let expected = self.naive.decide(&self.machine.policy, signal, self.machine.now);
        assert_eq!(verdict, expected, "the engine (left) decides otherwise than the naive model (right)");
        let storms = self.machine.engine.storm_views();
        let find = |request: &RequestRef| storms.iter().find(|storm| storm.request == *request);
        self.naive.end_as(self.ledger.latest(), &|request| find(request)?.ended_at);
        self.ledger.answered(&self.machine.policy, signal, &verdict);
    }

    fn redeliver(&mut self) {
        let Some(signal) = self.ledger.last_delivery() else { return };
        self.commit();
        let names: Vec<RequestRef> = self.machine.requests().into_keys().collect();
        self.deliver(&signal);
        self.commit();
        let after: Vec<RequestRef> = self.machine.requests().into_keys().collect();
        assert_eq!(names, after, "I6: redelivery changes the set of requests");
    }

    fn report(&mut self, nth: usize, phase: Phase) {
        let Some(reference) = self.ledger.nth_request(nth) else { return };
        self.commit();
        let expected = self.naive.set_phase(&reference, phase, self.machine.now);
        let known = self.machine.report(&reference, phase);
        assert!(known || !expected, "the engine has forgotten {reference}, which is still needed");
        self.ledger.reported(&reference, phase, expected);
    }

    pub fn commit(&mut self) {
        let publications = self.machine.commit();
        self.compare();
        let requests = self.machine.requests();
        self.ledger.committed(&requests, &publications, self.naive.held_occurrences());
        self.durable = (self.naive.clone(), self.ledger.clone());
    }

    fn crash(&mut self, lost: bool) {
        if !lost {
            self.commit();
        }
        self.machine.crash();
        (self.naive, self.ledger) = self.durable.clone();
        self.naive.restarted();
        self.ledger.crashed(&self.machine.requests(), self.machine.now);
        self.compare();
    }

    fn compare(&self) {
        let expected = self.naive.sink(self.machine.policy.sample);
        let sink = self.machine.sink();
        for (reference, request) in &expected {
            assert_eq!(sink.get(reference), Some(request), "{reference} in the sink (left) is wrong");
        }
        let needless: Vec<&RequestRef> = sink.keys().filter(|name| !expected.contains_key(*name)).collect();
        assert!(needless.is_empty(), "these requests should not exist: {needless:?}");
        assert_eq!(self.machine.engine.incidents(), self.naive.remembered());
    }

    /// Every worker finishes, everything falls silent, and time passes: nothing may be left in memory (I7), and
    /// everything that changed must have been published.
    pub fn come_to_rest(&mut self) {
        self.machine.budget = usize::MAX;
        self.step(&Step::Tick(1_000_000));
        self.commit();
        for nth in 0..self.ledger.requests() {
            self.report(nth, Phase::Finished);
        }
        self.commit();
        for _ in 0..5 {
            self.step(&Step::Tick(1_000_000));
            self.commit();
        }
        let engine = &self.machine.engine;
        assert_eq!(
            (engine.incidents(), engine.groups(), engine.storms()),
            (0, 0, 0),
            "I7: something is never forgotten"
        );
        for table in [Table::Incident, Table::Touch, Table::Storm] {
            assert_eq!(self.machine.records(table).count(), 0, "I7: records are left behind");
        }
        let docs = self.machine.records(Table::Request).count();
        assert_eq!(docs, self.machine.requests().len(), "I7: a description without a request is left behind");
        self.ledger.at_rest(&self.machine.requests());
    }
}
