//! Scenarios with an explicit clock, told in terms of alerts, answers and requests in the sink.

use std::collections::BTreeMap;

use seawall_engine::{Publication, PublicationKind};
use seawall_model::{DecisionKind, Millis, Phase, Policy, RequestRef, Timestamp};

use crate::harness::Machine;
use crate::history::Alert;
use crate::view::{Sink, SinkRequest, SinkStorm, Verdict};

pub const SECOND: Millis = 1_000;
pub const MINUTE: Millis = 60 * SECOND;

/// How often the store ticks.
const TICK: Millis = 50;

pub struct Scene {
    pub machine: Machine,
    /// When each request came to exist in the sink, and when it was updated.
    pub added: BTreeMap<RequestRef, Timestamp>,
    pub modified: Vec<(RequestRef, Timestamp)>,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    /// With the default policy, changed.
    pub fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::default();
        change(&mut policy);
        Self { machine: Machine::new(policy), added: BTreeMap::new(), modified: Vec::new() }
    }

    /// Every signal is a commit of its own.
    pub fn fire(&mut self, alert: &Alert) -> Verdict {
        let verdict = self.machine.decide(&alert.firing());
        self.commit();
        verdict
    }

    pub fn resolve(&mut self, alert: &Alert) -> Verdict {
        let verdict = self.machine.decide(&alert.resolved());
        self.commit();
        verdict
    }

    pub fn fire_all<'a>(&mut self, alerts: impl IntoIterator<Item = &'a Alert>) -> Vec<Verdict> {
        alerts.into_iter().map(|alert| self.fire(alert)).collect()
    }

    pub fn report(&mut self, reference: &RequestRef, phase: &str) {
        assert!(self.machine.report(reference, Phase::parse(phase)));
        self.commit();
    }

    /// Lets time pass as the store does, tick by tick.
    pub fn wait(&mut self, millis: Millis) {
        let end = self.machine.now + millis;
        // Hours pass in larger steps once whatever is held or dirty is out.
        let fine = self.machine.now + 3 * SECOND;
        while self.machine.now < end {
            let step = if self.machine.now < fine { TICK } else { SECOND };
            self.machine.now = (self.machine.now + step).min(end);
            self.machine.tick();
            self.commit();
        }
    }

    fn commit(&mut self) {
        for (Publication { reference, kind }, at) in self.machine.commit() {
            match kind {
                PublicationKind::Added => {
                    let before = self.added.insert(reference, at);
                    assert_eq!(before, None, "added twice");
                }
                PublicationKind::Modified => self.modified.push((reference, at)),
            }
        }
    }

    pub fn now(&self) -> Timestamp {
        self.machine.now
    }

    pub fn sink(&self) -> Sink {
        self.machine.sink()
    }

    pub fn requests(&self) -> Vec<SinkRequest> {
        self.sink().into_values().collect()
    }

    pub fn request(&self, reference: &RequestRef) -> SinkRequest {
        self.sink().remove(reference).unwrap_or_else(|| panic!("{reference} does not exist"))
    }

    /// The one request there is.
    pub fn only_request(&self) -> SinkRequest {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests.remove(0)
    }

    /// The requests that carry storms.
    pub fn storms(&self) -> Vec<(SinkRequest, SinkStorm)> {
        let with_storm = |request: SinkRequest| request.storm.clone().map(|storm| (request, storm));
        self.requests().into_iter().filter_map(with_storm).collect()
    }

    pub fn only_storm(&self) -> (SinkRequest, SinkStorm) {
        let mut storms = self.storms();
        assert_eq!(storms.len(), 1, "{storms:#?}");
        storms.remove(0)
    }

    /// All firing signals counted in the sink.
    pub fn occurrences(&self) -> u64 {
        self.requests().iter().map(|request| request.occurrences).sum()
    }
}

/// The same alert from `count` pods.
pub fn pods(namespace: &'static str, name: &str, count: usize) -> Vec<Alert> {
    (0..count).map(|nth| Alert::new(namespace, name, format!("web-{nth}"))).collect()
}

pub fn count_of(verdicts: &[Verdict], kind: DecisionKind) -> usize {
    verdicts.iter().filter(|verdict| verdict.kind == kind).count()
}
