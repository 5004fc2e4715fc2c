//! What counted on open requests, as far as the requests say it: the state is rebuilt from that when it was lost.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use compact_str::CompactString;
use seawall_model::{
    Affected, Field, Fingerprint, Identity, Phase, Policy, RequestDoc, RequestId, RequestState, StormRule,
    StormState, Timestamp,
};

use crate::group::GroupKey;
use crate::repeat::is_open;

/// An open request as it exists outside the state.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest<'a> {
    pub doc: &'a RequestDoc,
    pub state: &'a RequestState,
    pub phase: Phase,
}

/// Every request by its place in the list it was made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adoption<'a> {
    pub storms: Vec<AdoptedStorm<'a>>,
    /// Of requests that no storm carries.
    pub incidents: Vec<(usize, AdoptedIncident)>,
    /// Requests that nothing counts on any more: superseded ones, and older ones of a problem or a group that has another.
    pub closed: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AdoptedStorm<'a> {
    pub request: usize,
    pub shown: &'a StormState,
    pub is_open: bool,
    /// The latest that it can have been, for the request does not say it: so it is not continued too early.
    pub opened_at: Timestamp,
    pub members: Vec<AdoptedIncident>,
    /// With the window that the request shows and the values it groups by in this order; the rest is as it is configured now.
    pub rule: StormRule,
    pub group_by: Vec<(CompactString, CompactString)>,
    /// Whether some members are not known: signals of theirs join again.
    pub truncated: bool,
    pub(crate) group: GroupKey,
}

impl AdoptedStorm<'_> {
    /// A name of its group that no other group has, as those of [`group_names`](crate::group_names).
    pub fn group_name(&self) -> String {
        self.group.name()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AdoptedIncident {
    pub fingerprint: Fingerprint,
    pub identity: Identity,
    pub generation: u32,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub count: u64,
    pub resolved_at: Option<Timestamp>,
}

impl<'a> Adoption<'a> {
    /// Finds out what counted on which of these requests. A problem counts on one request: on that of an open storm, else
    /// on one that takes its repeats now, else on that of its newest incident.
    pub fn of(policy: &Policy, requests: &[OpenRequest<'a>], now: Timestamp) -> Self {
        let mut adoption = Self::default();
        let superseded = superseded(requests);
        let mut groups = HashSet::new();
        let mut newest_first: Vec<usize> = (0..requests.len()).collect();
        newest_first.sort_by_key(|at| Reverse(requests[*at].doc.reference.id.generation));
        for at in newest_first {
            let OpenRequest { doc, state, .. } = requests[at];
            match &state.storm {
                _ if state.superseded_by.is_some() => adoption.closed.push(at),
                None => adoption.incidents.push((at, AdoptedIncident::of(&requests[at]))),
                Some(storm) => {
                    let mut adopted = AdoptedStorm::of(policy, at, doc, storm);
                    if adopted.is_open && !groups.insert(adopted.group) {
                        adoption.closed.push(at);
                        continue;
                    }
                    let others = superseded.get(&doc.reference.id).map(Vec::as_slice).unwrap_or_default();
                    adopted.members = members(&requests[at], storm, others);
                    adopted.truncated |= (adopted.members.len() as u64) < storm.alert_count;
                    adoption.storms.push(adopted);
                }
            }
        }
        adoption.count_once(policy, requests, now);
        adoption
    }

    fn count_once(&mut self, policy: &Policy, requests: &[OpenRequest<'_>], now: Timestamp) {
        let mut newest: HashMap<Fingerprint, (bool, bool, u32, Timestamp, usize)> = HashMap::new();
        let mut claim = |incident: &AdoptedIncident, in_open_storm: bool, at: usize| {
            let takes_repeats = is_open(policy, requests[at].phase, None, incident.last_seen, now);
            let claim = (in_open_storm, takes_repeats, incident.generation, incident.last_seen, at);
            let known = newest.entry(incident.fingerprint).or_insert(claim);
            *known = claim.max(*known);
        };
        for (at, incident) in &self.incidents {
            claim(incident, false, *at);
        }
        for storm in &self.storms {
            storm.members.iter().for_each(|member| claim(member, storm.is_open, storm.request));
        }
        let counts_on = |incident: &AdoptedIncident, at: usize| {
            newest.get(&incident.fingerprint).is_some_and(|(.., newest)| *newest == at)
        };
        self.closed.extend(
            self.incidents.iter().filter(|(at, incident)| !counts_on(incident, *at)).map(|(at, _)| *at),
        );
        self.incidents.retain(|(at, incident)| counts_on(incident, *at));
        for storm in &mut self.storms {
            storm.members.retain(|member| counts_on(member, storm.request));
        }
    }
}

impl AdoptedIncident {
    /// What counts on a request that no storm carries.
    pub fn of(request: &OpenRequest<'_>) -> Self {
        let OpenRequest { doc, state, .. } = request;
        Self {
            fingerprint: doc.fingerprint,
            identity: doc.identity.clone(),
            generation: doc.reference.id.generation,
            first_seen: state.first_seen,
            last_seen: state.last_seen,
            count: state.occurrences,
            resolved_at: state.resolved_at,
        }
    }
}

/// Requests by the one that superseded them.
fn superseded<'a>(requests: &[OpenRequest<'a>]) -> HashMap<RequestId, Vec<OpenRequest<'a>>> {
    let mut by_storm: HashMap<RequestId, Vec<OpenRequest<'a>>> = HashMap::new();
    for request in requests {
        if let Some(storm) = request.state.superseded_by {
            by_storm.entry(storm).or_default().push(*request);
        }
    }
    by_storm
}

/// The members that a storm's request and those it superseded tell of, each once.
fn members(
    request: &OpenRequest<'_>,
    storm: &StormState,
    superseded: &[OpenRequest<'_>],
) -> Vec<AdoptedIncident> {
    let (leader, state) = (request.doc, request.state);
    let resources: HashMap<(&str, &str, &str), &Affected> =
        storm.affected.iter().map(|it| ((&*it.kind, &*it.name, &*it.namespace), it)).collect();
    let listed = |identity: &Identity| {
        resources.get(&(&*identity.kind, &*identity.resource, &*identity.namespace)).copied()
    };
    let member = |fingerprint, identity: &Identity, generation, otherwise: &RequestState, count| {
        let seen = listed(identity);
        AdoptedIncident {
            fingerprint,
            identity: identity.clone(),
            generation,
            first_seen: seen.map_or(otherwise.first_seen, |it| it.first_seen),
            last_seen: seen.map_or(otherwise.last_seen, |it| it.last_seen),
            count: seen.map_or(count, |it| it.count),
            resolved_at: state.resolved_at,
        }
    };
    let mut members =
        vec![member(leader.fingerprint, &leader.identity, leader.reference.id.generation, state, 1)];
    for OpenRequest { doc, state, .. } in superseded {
        let generation = doc.reference.id.generation;
        members.push(member(doc.fingerprint, &doc.identity, generation, state, state.occurrences));
    }
    let mut known: HashSet<Fingerprint> = members.iter().map(|member| member.fingerprint).collect();
    // A rule that groups by name has members that differ in their resource alone, unless more makes an identity here.
    let by_name = storm.group_by.iter().any(|(field, _)| field == Field::Alertname.as_str());
    if by_name && leader.identity.fingerprint() == leader.fingerprint {
        for affected in &storm.affected {
            let identity = Identity {
                namespace: affected.namespace.clone(),
                kind: affected.kind.clone(),
                resource: affected.name.clone(),
                ..leader.identity.clone()
            };
            let fingerprint = identity.fingerprint();
            if known.insert(fingerprint) {
                let generation = RequestId::open(&fingerprint, affected.first_seen, None).generation;
                members.push(member(fingerprint, &identity, generation, state, affected.count));
            }
        }
    }
    members
}

impl<'a> AdoptedStorm<'a> {
    /// The storm that a request shows, without its members.
    pub fn of(policy: &Policy, request: usize, doc: &RequestDoc, storm: &'a StormState) -> Self {
        let configured = policy.rules.iter().find(|rule| rule.name == storm.rule);
        let rule = configured.cloned().unwrap_or_else(|| StormRule::named(&storm.rule, Vec::new()));
        // A resource has the values by the name of their field; a group has them in the order of the rule.
        let mut group_by = storm.group_by.clone();
        let place = |name: &str| rule.group_by.iter().position(|field| field.as_str() == name);
        group_by.sort_by_key(|(name, _)| place(name));
        let values = group_by.iter().map(|(field, value)| (field.as_str(), value.as_str()));
        let group = GroupKey::of_values(&storm.rule, &doc.identity.cluster, values);
        let rule = StormRule { window: storm.window, ..rule };
        Self {
            request,
            shown: storm,
            is_open: storm.ended_at.is_none(),
            opened_at: (storm.first_seen + storm.window).min(storm.last_seen),
            members: Vec::new(),
            rule,
            group_by,
            truncated: storm.truncated,
            group,
        }
    }
}
