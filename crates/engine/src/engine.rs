//! The state, and the way into every decision.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use hashbrown::HashTable;
use seawall_model::{
    Decision, DecisionKind, Fingerprint, Phase, Policy, RequestDoc, RequestId, RequestRef, RequestState,
    Signal, Timestamp,
};

use crate::arena::Arena;
use crate::group::{Group, GroupKey};
use crate::incident::{Flags, Incident};
use crate::record::{ClosedRequest, Opened};
use crate::storm::Storm;

/// Something about a request that watchers and sinks should see now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub reference: RequestRef,
    pub kind: PublicationKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationKind {
    /// The request came to exist.
    Added,
    Modified,
}

/// What waits for a point in time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiting {
    /// The own request of an incident, with its generation.
    Incident(u32, u32),
    Storm(u32),
    /// A request that has left memory, with nothing further to change.
    Closed(RequestRef),
}

pub(crate) type Agenda<T> = BinaryHeap<Reverse<(Timestamp, T)>>;

/// All live state of one Seawall. Grows with open incidents and storms, never with traffic (I7).
///
/// Only [`Engine::decide`], [`Engine::set_phase`], [`Engine::recall`], [`Engine::adopt`] and [`Engine::tick`] change it; what
/// they change is handed to the store by [`Engine::drain`].
pub struct Engine {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) incidents: Arena<Incident>,
    pub(crate) index: HashTable<u32>,
    pub(crate) storms: Arena<Storm>,
    pub(crate) storm_of_request: HashMap<RequestId, u32>,
    pub(crate) groups: HashMap<GroupKey, Group>,
    /// Requests that were being worked on when a storm took their group, and the storms' requests.
    pub(crate) links: HashMap<u32, Vec<RequestId>>,
    /// The highest generation of an incident that has left memory. Names of later ones are above it, so that a clock that
    /// goes back never makes a name twice.
    pub(crate) floor: u32,
    pub(crate) floor_changed: bool,
    /// Orders incidents that opened in the same millisecond.
    pub(crate) openings: u64,

    /// The time of the call that is being served.
    pub(crate) now: Timestamp,
    pub(crate) holds: Agenda<Waiting>,
    /// Requests that are held back.
    pub(crate) held: usize,
    pub(crate) flushes: Agenda<Waiting>,
    /// Requests that have left memory and have an update to be told.
    pub(crate) closed_flushes: HashSet<RequestRef>,
    pub(crate) storm_ends: Agenda<u32>,
    pub(crate) group_checks: Agenda<GroupKey>,
    pub(crate) sweep_at: u32,

    pub(crate) changed: Vec<u32>,
    pub(crate) opened: HashMap<u32, Opened>,
    pub(crate) changed_storms: Vec<u32>,
    pub(crate) gone: Vec<(u32, Flags)>,
    pub(crate) gone_storms: Vec<u32>,
    pub(crate) docs: Vec<(RequestRef, Option<RequestDoc>)>,
    pub(crate) closed: Vec<(RequestRef, Option<ClosedRequest>)>,
    pub(crate) publications: Vec<Publication>,
}

impl Engine {
    /// An engine that knows nothing. `epoch` is raised every time state is taken over.
    pub fn new(epoch: u64) -> Self {
        Self {
            epoch,
            sequence: 0,
            incidents: Arena::default(),
            index: HashTable::new(),
            storms: Arena::default(),
            storm_of_request: HashMap::new(),
            groups: HashMap::new(),
            links: HashMap::new(),
            floor: 0,
            floor_changed: false,
            openings: 0,
            now: Timestamp::default(),
            holds: BinaryHeap::new(),
            held: 0,
            flushes: BinaryHeap::new(),
            closed_flushes: HashSet::new(),
            storm_ends: BinaryHeap::new(),
            group_checks: BinaryHeap::new(),
            sweep_at: 0,
            changed: Vec::new(),
            opened: HashMap::new(),
            changed_storms: Vec::new(),
            gone: Vec::new(),
            gone_storms: Vec::new(),
            docs: Vec::new(),
            closed: Vec::new(),
            publications: Vec::new(),
        }
    }

    /// Says which commit the following changes belong to; grows from call to call.
    pub fn begin(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// Decides one signal. Counting, the threshold and opening or joining a storm are this one step.
    pub fn decide(&mut self, policy: &Policy, signal: &Signal, now: Timestamp) -> Decision {
        self.now = now;
        let known = self.find(&signal.fingerprint);
        if signal.resolved {
            return self.resolve(policy, known, now);
        }
        let Some(index) = known else { return self.open(policy, signal, now, None) };
        let now = self.time_of(index, now);
        self.end_storms_if_quiet(index, now);
        match self.standing(policy, index, now) {
            Standing::Open => self.repeat(policy, index, signal, now),
            Standing::Continues(storm) => self.move_on(policy, index, storm, signal, now),
            Standing::Over => self.open(policy, signal, now, Some(index)),
        }
    }

    /// The commit that changes belong to now.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether a problem is in memory.
    pub fn knows(&self, fingerprint: &Fingerprint) -> bool {
        self.find(fingerprint).is_some()
    }

    /// Lets watchers hear of a changed request that is not in memory, at most once per flush interval.
    pub fn closed_changed(&mut self, policy: &Policy, reference: RequestRef) {
        if self.closed_flushes.insert(reference.clone()) {
            self.flushes.push(Reverse((self.now + policy.flush, Waiting::Closed(reference))));
        }
    }

    /// Incidents in memory: open ones, and those that ended a moment ago.
    pub fn incidents(&self) -> usize {
        self.incidents.len()
    }

    /// Groups that count something or have an open storm.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Storms in memory: open and remembered ones.
    pub fn storms(&self) -> usize {
        self.storms.len()
    }

    /// The state of a request that is in memory and exists in the sink; none while it is held.
    pub fn request_state(&self, reference: &RequestRef) -> Option<RequestState> {
        if let Some(storm) = self.storm_of(&reference.id) {
            return storm.course.hold_until.is_none().then(|| storm.request_state(self.epoch));
        }
        let (index, incident) = self.owner_of(&reference.id)?;
        (!incident.is_held()).then(|| incident.request_state(self.epoch, self.links_of(index)))
    }

    /// The requests in memory that are not held, and which change is their newest.
    pub fn existing_requests<'a>(
        &'a self,
        policy: &'a Policy,
    ) -> impl Iterator<Item = (RequestRef, u64)> + 'a {
        let single = self.incidents.iter().map(|(_, incident)| incident);
        let single = single.filter(|incident| !incident.is_member() && !incident.is_held()).map(|incident| {
            let namespace = incident.identity().namespace;
            let reference = Self::request_ref(policy, &namespace, incident.own_request());
            (reference, incident.pulse.sequence)
        });
        let storms = self.storms.iter().map(|(_, storm)| storm);
        let storms = storms.filter(|storm| storm.course.hold_until.is_none());
        single.chain(storms.map(|storm| (storm.facts.request.clone(), storm.course.sequence)))
    }

    /// The phase of a request that is in memory.
    pub fn phase(&self, reference: &RequestRef) -> Option<Phase> {
        match self.storm_of(&reference.id) {
            Some(storm) => Some(storm.course.phase),
            None => self.owner_of(&reference.id).map(|(_, incident)| incident.pulse.phase),
        }
    }

    pub(crate) fn storm_of(&self, request: &RequestId) -> Option<&Storm> {
        self.storm_of_request.get(request).and_then(|index| self.storms.get(*index))
    }

    /// The incident that counts on this request of its own.
    pub(crate) fn owner_of(&self, request: &RequestId) -> Option<(u32, &Incident)> {
        let matches = |index: &u32| {
            self.incidents.get(*index).is_some_and(|incident| incident.own_request() == *request)
        };
        let index = *self.index.find(request.prefix, matches)?;
        let incident = self.incidents.get(index)?;
        (!incident.is_member()).then_some((index, incident))
    }

    pub(crate) fn find(&self, fingerprint: &Fingerprint) -> Option<u32> {
        let matches = |index: &u32| {
            self.incidents.get(*index).is_some_and(|incident| incident.fingerprint == *fingerprint)
        };
        self.index.find(fingerprint.prefix(), matches).copied()
    }

    pub(crate) fn links_of(&self, index: u32) -> Vec<RequestId> {
        self.links.get(&index).cloned().unwrap_or_default()
    }

    /// An incident's time never goes backwards, nor does that of the storm it belongs to.
    fn time_of(&self, index: u32, now: Timestamp) -> Timestamp {
        let Some(incident) = self.incidents.get(index) else { return now };
        let storm = self.storms.get(incident.storm).map_or(now, |storm| storm.course.last_seen);
        now.max(incident.pulse.last_seen).max(storm)
    }

    /// Ends the incident's storm, and the one that continues it, if they have been quiet for too long.
    fn end_storms_if_quiet(&mut self, index: u32, now: Timestamp) {
        let Some(own) = self.incidents.get(index).map(|incident| incident.storm) else { return };
        let group = self.storms.get(own).and_then(|storm| self.groups.get(&storm.facts.group));
        let current = group.and_then(|group| group.storm);
        for storm in [Some(own), current].into_iter().flatten() {
            if self.storms.get(storm).is_some_and(|storm| storm.is_open() && now >= storm.ends_at()) {
                self.end_quiet(storm, now);
            }
        }
    }

    pub(crate) fn request_ref(policy: &Policy, namespace: &str, id: RequestId) -> RequestRef {
        RequestRef::locate(namespace, id, &policy.fallback_namespace)
    }

    /// What the caller is told about an incident after it was counted.
    pub(crate) fn decision(
        &self,
        policy: &Policy,
        kind: DecisionKind,
        index: u32,
        namespace: &str,
    ) -> Decision {
        let mut decision = Decision {
            kind,
            request: None,
            count: 0,
            first_seen: Timestamp::default(),
            last_seen: Timestamp::default(),
            storm: None,
            opened_storm: false,
        };
        let Some(incident) = self.incidents.get(index) else { return decision };
        decision.count = incident.pulse.count;
        decision.first_seen = incident.first_seen;
        decision.last_seen = incident.pulse.last_seen;
        match self.storms.get(incident.storm) {
            Some(storm) => {
                decision.request = Some(storm.facts.request.clone());
                decision.storm = Some(storm.summary());
            }
            None if !incident.is_held() => {
                decision.request = Some(Self::request_ref(policy, namespace, incident.own_request()));
            }
            None => {}
        }
        decision
    }
}

/// Where a known problem stands when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    /// It was a member of a storm that another one continues: this one, or one that is to be opened.
    Continues(u32),
    Over,
}
