//! What the world outside remembers: answers given, requests seen. The invariants of the design are checked against
//! this, not against either model.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use seawall_engine::{Publication, PublicationKind};
use seawall_model::{
    DecisionKind, Fingerprint, Millis, Phase, Policy, RequestDoc, RequestRef, RequestState, Severity, Signal,
    Timestamp,
};

use crate::view::{Resource, Verdict};

pub type Requests = BTreeMap<RequestRef, (RequestDoc, RequestState)>;

#[derive(Clone)]
pub struct Ledger {
    /// Those that may be in force; they differ in rules and cooldown.
    policies: [Policy; 2],
    /// Firing signals that were answered.
    accepted: u64,
    resources: BTreeSet<Resource>,
    fingerprints: BTreeSet<Fingerprint>,
    /// Rule, cluster and values of every group a signal was ever in.
    groups: BTreeSet<(String, Vec<String>)>,
    /// Nothing when something else has happened since.
    last_delivery: Option<Signal>,
    /// In the order in which they appeared.
    names: Vec<RequestRef>,
    worst: HashMap<RequestRef, Severity>,
    phases: HashMap<RequestRef, Phase>,
    published: HashMap<RequestRef, Published>,
    latest: Timestamp,
    /// How often the clock was set back, or the process restarted: no two publications can be compared across.
    breaks: u64,
}

#[derive(Clone)]
struct Published {
    at: Timestamp,
    breaks: u64,
    state: RequestState,
}

impl Ledger {
    pub fn new(now: Timestamp, policies: [Policy; 2]) -> Self {
        Self {
            policies,
            accepted: 0,
            resources: BTreeSet::new(),
            fingerprints: BTreeSet::new(),
            groups: BTreeSet::new(),
            last_delivery: None,
            names: Vec::new(),
            worst: HashMap::new(),
            phases: HashMap::new(),
            published: HashMap::new(),
            latest: now,
            breaks: 0,
        }
    }

    pub fn clock_moved(&mut self, by: Millis, now: Timestamp) {
        self.latest = self.latest.max(now);
        self.breaks += u64::from(by < 0);
        self.last_delivery = None;
    }

    pub fn reloaded(&mut self) {
        self.last_delivery = None;
    }

    /// After a restart whoever watches lists everything anew.
    pub fn crashed(&mut self, requests: &Requests, now: Timestamp) {
        self.latest = self.latest.max(now);
        self.breaks += 1;
        self.last_delivery = None;
        for (name, published) in &mut self.published {
            published.state = requests[name].1.clone();
        }
    }

    pub fn answered(&mut self, policy: &Policy, signal: &Signal, verdict: &Verdict) {
        self.last_delivery = Some(signal.clone());
        if signal.resolved {
            assert_eq!(verdict.kind, DecisionKind::Resolved);
            return;
        }
        self.accepted += 1;
        self.resources.insert(Resource::of(signal));
        let is_new = self.fingerprints.insert(signal.fingerprint);
        let groups: Vec<(String, Vec<String>)> =
            policy.rules.iter().filter_map(|rule| group_of(&rule.name, &rule.group_by, signal)).collect();
        let is_first = !groups.iter().any(|group| self.groups.contains(group));
        self.groups.extend(groups);
        if is_new && is_first && policy.rules.iter().all(|rule| rule.hold_first == 0) {
            assert_eq!(verdict.kind, DecisionKind::Created, "I4: the first signal of a group waits");
        }
        let has_name = verdict.request.is_some();
        match verdict.kind {
            DecisionKind::Created => assert!(has_name),
            DecisionKind::Accepted => assert!(!has_name),
            DecisionKind::Duplicate => assert!(verdict.seen.is_some_and(|(count, _, _)| count > 1)),
            DecisionKind::Aggregated => assert!(verdict.storm.is_some()),
            DecisionKind::Resolved => panic!("a firing signal resolves nothing"),
        }
    }

    pub fn last_delivery(&self) -> Option<Signal> {
        self.last_delivery.clone()
    }

    /// The latest the clock has ever shown.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    pub fn requests(&self) -> usize {
        self.names.len()
    }

    pub fn nth_request(&self, nth: usize) -> Option<RequestRef> {
        self.names.get(nth % self.names.len().max(1)).cloned()
    }

    /// `matters` unless the problem has ended and has another request by now.
    pub fn reported(&mut self, reference: &RequestRef, phase: Phase, matters: bool) {
        self.last_delivery = None;
        if !matters {
            return;
        }
        // Of two requests of one problem that both fell silent, the younger one is taken up again.
        let id = reference.id;
        let is_older =
            |other: &&RequestRef| other.id.prefix == id.prefix && other.id.generation < id.generation;
        for older in self.names.iter().filter(is_older) {
            self.phases.insert(older.clone(), Phase::Finished);
        }
        let known = self.phases.entry(reference.clone()).or_default();
        if *known != Phase::Finished {
            *known = phase;
        }
    }

    pub fn committed(&mut self, requests: &Requests, publications: &[(Publication, Timestamp)], held: u64) {
        self.check_names(requests);
        self.check_conservation(requests, held);
        self.check_one_open_request(requests);
        check_one_request_per_storm(requests);
        self.check_severity(requests);
        for (publication, at) in publications {
            self.check_publication(requests, publication, *at);
        }
        for name in requests.keys() {
            assert!(self.published.contains_key(name), "{name} exists and was never published");
        }
    }

    /// I1, as anybody can check it from the list.
    fn check_conservation(&self, requests: &Requests, held: u64) {
        let counted: u64 = requests.values().map(|(_, state)| state.occurrences).sum();
        assert_eq!(
            counted + held,
            self.accepted,
            "I1: firing signals are counted {counted} times, {held} are held"
        );
        for (reference, (_, state)) in requests {
            let Some(storm) = &state.storm else { continue };
            assert!(storm.alert_count >= storm.affected.len() as u64, "{reference}");
            assert_eq!(storm.first_seen, state.first_seen, "{reference}");
            assert_eq!(storm.last_seen, state.last_seen, "{reference}");
        }
        let is_complete = |(_, state): &(RequestDoc, RequestState)| {
            state.storm.as_ref().is_none_or(|storm| !storm.truncated)
        };
        if held == 0 && requests.values().all(is_complete) {
            let mut listed = BTreeSet::new();
            for (doc, state) in requests.values() {
                let identity = &doc.identity;
                let own = [&identity.namespace, &identity.kind, &identity.resource].map(ToString::to_string);
                listed.insert(Resource(own.into()));
                for one in state.storm.iter().flat_map(|storm| &storm.affected) {
                    listed.insert(Resource(
                        [&one.namespace, &one.kind, &one.name].map(ToString::to_string).into(),
                    ));
                }
            }
            assert_eq!(listed, self.resources, "I1: the members (left) are not the accepted ones (right)");
        }
    }

    /// I2. A request of an incident counts as open unless it is finished or superseded, or silence has ended it.
    fn check_one_open_request(&self, requests: &Requests) {
        let mut open = HashMap::new();
        for (reference, (doc, state)) in requests {
            let is_open = match self.phases.get(reference).copied().unwrap_or_default() {
                Phase::Finished => false,
                Phase::Waiting => self.latest < state.last_seen + self.policies[0].ttl,
                Phase::Studied | Phase::Acting => true,
            };
            if is_open && state.superseded_by.is_none() && state.storm.is_none() {
                let other = open.insert(doc.fingerprint, reference);
                assert_eq!(other, None, "I2: {reference} is open too");
            }
        }
    }

    fn check_names(&mut self, requests: &Requests) {
        for name in &self.names {
            assert!(requests.contains_key(name), "{name} is gone");
        }
        for (name, (doc, _)) in requests {
            assert_eq!(name.id.prefix, doc.fingerprint.prefix());
            if !self.names.contains(name) {
                self.names.push(name.clone());
            }
        }
    }

    fn check_severity(&mut self, requests: &Requests) {
        for (name, (_, state)) in requests {
            let before = self.worst.insert(name.clone(), state.severity).unwrap_or(Severity::Info);
            assert!(before <= state.severity, "the severity of {name} falls");
        }
    }

    /// I8.
    fn check_publication(&mut self, requests: &Requests, publication: &Publication, at: Timestamp) {
        let name = &publication.reference;
        let (_, state) =
            requests.get(name).unwrap_or_else(|| panic!("{name} is published and does not exist"));
        let this = Published { at, breaks: self.breaks, state: state.clone() };
        let before = self.published.insert(name.clone(), this);
        match (publication.kind, before) {
            (PublicationKind::Added, before) => assert!(before.is_none(), "{name} is added again"),
            (PublicationKind::Modified, None) => panic!("{name} is modified before it is added"),
            (PublicationKind::Modified, Some(before)) => {
                // A request that has just become a storm's may have been published by the other interval.
                let rules = self.policies.iter().flat_map(|policy| &policy.rules);
                let storm = state.storm.as_ref();
                let its = rules.filter(|rule| storm.is_some_and(|storm| storm.rule == rule.name));
                let flush = its.map(|rule| rule.flush).fold(self.policies[0].flush, Ord::min);
                let passed = at - before.at;
                assert!(
                    passed >= flush || before.breaks != self.breaks,
                    "I8: {name} again after {passed} ms"
                );
                assert!(state.sequence >= before.state.sequence, "{name} goes backwards");
            }
        }
    }

    /// Whatever changed has been published.
    pub fn at_rest(&self, requests: &Requests) {
        for (name, (_, state)) in requests {
            let RequestState { epoch, sequence, .. } = *state;
            let published = RequestState { epoch, sequence, ..self.published[name].state.clone() };
            assert_eq!(
                &published, state,
                "what was published last of {name} (left) is not how it is (right)"
            );
        }
    }
}

/// I3.
fn check_one_request_per_storm(requests: &Requests) {
    let mut open = HashMap::new();
    for (reference, (doc, state)) in requests {
        let Some(storm) = state.storm.as_ref().filter(|storm| storm.ended_at.is_none()) else { continue };
        let group = (storm.rule.clone(), doc.identity.cluster.clone(), storm.group_by.clone());
        let other = open.insert(group, reference);
        assert_eq!(other, None, "I3: {reference} carries the same storm");
    }
}

fn group_of(rule: &str, fields: &[seawall_model::Field], signal: &Signal) -> Option<(String, Vec<String>)> {
    let values: Option<Vec<String>> =
        fields.iter().map(|field| signal.field(field).map(str::to_owned)).collect();
    let mut values = values?;
    values.push(signal.identity.cluster.to_string());
    Some((rule.to_owned(), values))
}
