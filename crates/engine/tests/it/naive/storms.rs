//! Storms: tripping, joining, rolling over.

use std::collections::BTreeSet;

use seawall_model::{DecisionKind, Fingerprint, Phase, Policy, RequestRef, Signal, StormRule, Timestamp};

use super::windows::Group;
use super::{Member, Naive, Storm, name_of};
use crate::view::Verdict;

impl Naive {
    /// The signal is the one that makes its group a storm.
    pub(super) fn trip(
        &mut self,
        policy: &Policy,
        rule: &StormRule,
        group: &Group,
        signal: &Signal,
        t: Timestamp,
    ) -> Verdict {
        let tripping = signal.fingerprint;
        let earlier = self.living(group).filter(|entry| entry.fingerprint != tripping);
        let earlier = earlier.filter(|entry| self.may_take_part(policy, entry.fingerprint, t));
        let earlier: Vec<Fingerprint> = earlier.map(|entry| entry.fingerprint).collect();
        let leader = earlier.first().copied().filter(|leader| self.own_phase(*leader).is_early());
        let request = match leader {
            Some(leader) => self.incidents[&leader].own.clone(),
            None => self.make_request(signal, t, None),
        };
        let storm = self.begin_storm(rule, group, request, t);
        self.make_member(storm, leader.unwrap_or(tripping));
        for fingerprint in earlier {
            if self.own_phase(fingerprint) == Phase::Acting {
                self.link(storm, fingerprint);
            } else {
                self.take_in(storm, fingerprint);
            }
        }
        self.make_member(storm, tripping);
        self.start_from_zero(group);
        if leader.is_some() {
            self.count_one_more(signal, t);
            self.verdict(DecisionKind::Aggregated, tripping, true)
        } else {
            self.verdict(DecisionKind::Created, tripping, true)
        }
    }

    /// Requests that are finished, and incidents that ended by silence, stay what they were.
    fn may_take_part(&self, policy: &Policy, fingerprint: Fingerprint, t: Timestamp) -> bool {
        let incident = &self.incidents[&fingerprint];
        if self.requests[&incident.own].held_until.is_some() {
            return true; // Nobody has seen its request, so nothing can stay what it was.
        }
        match self.own_phase(fingerprint) {
            Phase::Finished => false,
            Phase::Waiting => t < incident.last_seen + policy.ttl,
            Phase::Studied | Phase::Acting => true,
        }
    }

    fn own_phase(&self, fingerprint: Fingerprint) -> Phase {
        self.requests[&self.incidents[&fingerprint].own].phase
    }

    fn begin_storm(&mut self, rule: &StormRule, group: &Group, request: RequestRef, t: Timestamp) -> usize {
        let index = self.storms.len();
        self.requests.get_mut(&request).unwrap().storm = Some(index);
        self.storms.push(Storm {
            rule: rule.clone(),
            group: group.clone(),
            request,
            opened_at: t,
            last_seen: t,
            ended_at: None,
            successor: None,
            supersedes: BTreeSet::new(),
            members: Vec::new(),
            is_needed: true,
            forgotten: false,
        });
        index
    }

    /// A request that somebody is already executing stays what it was.
    fn link(&mut self, storm: usize, fingerprint: Fingerprint) {
        let (ours, theirs) = (self.storms[storm].request.clone(), self.incidents[&fingerprint].own.clone());
        self.requests.get_mut(&ours).unwrap().related.insert(theirs.id);
        self.requests.get_mut(&theirs).unwrap().related.insert(ours.id);
    }

    /// Makes an incident with a request of its own a member: the leader keeps it, a held one never gets it, any other
    /// one is superseded.
    fn take_in(&mut self, storm: usize, fingerprint: Fingerprint) {
        let (ours, theirs) = (self.storms[storm].request.clone(), self.incidents[&fingerprint].own.clone());
        let urgency = self.requests[&theirs].urgency;
        self.requests.get_mut(&ours).unwrap().urgency.rise(urgency);
        if ours != theirs {
            if self.requests[&theirs].held_until.is_some() {
                let absorbed = self.requests.remove(&theirs).unwrap();
                self.requests.get_mut(&ours).unwrap().occurrences += absorbed.occurrences;
            } else {
                self.requests.get_mut(&theirs).unwrap().superseded_by = Some(ours.id);
                self.storms[storm].supersedes.insert(theirs.id);
            }
        }
        self.make_member(storm, fingerprint);
    }

    /// Lists the incident as a member with its present counts.
    pub(super) fn make_member(&mut self, storm: usize, fingerprint: Fingerprint) {
        let incident = self.incidents.get_mut(&fingerprint).unwrap();
        incident.storm = Some(storm);
        let member = Member {
            fingerprint,
            resource: incident.resource.clone(),
            first_seen: incident.first_seen,
            last_seen: incident.last_seen,
            count: incident.count,
        };
        // Where the clock has gone back, a member may have been seen later than the signal that makes it one.
        let storm = &mut self.storms[storm];
        if storm.ended_at.is_none() {
            storm.last_seen = storm.last_seen.max(member.last_seen);
        }
        let request = self.requests.get_mut(&storm.request).unwrap();
        request.last_seen = request.last_seen.max(member.last_seen);
        let members = &mut storm.members;
        match members.iter_mut().find(|known| known.fingerprint == fingerprint) {
            Some(known) => *known = member,
            None => members.push(member),
        }
    }

    /// The storm is older than its rule allows: the signal opens a successor with a request of its own.
    pub(super) fn roll_over(
        &mut self,
        policy: &Policy,
        old: usize,
        signal: &Signal,
        t: Timestamp,
    ) -> Verdict {
        let fingerprint = signal.fingerprint;
        let incident = self.incidents.get_mut(&fingerprint).unwrap();
        if incident.storm.is_some() {
            incident.own = name_of(policy, signal, t, Some(incident.generation));
            incident.generation = incident.own.id.generation;
        }
        let request = self.make_request(signal, t, None);
        let (rule, group) = (&self.storms[old].rule, self.storms[old].group.clone());
        let rule = policy.rules.iter().find(|now| now.name == rule.name).unwrap_or(rule).clone();
        let successor = self.begin_storm(&rule, &group, request, t);
        self.storms[old].ended_at = Some(t);
        self.storms[old].successor = Some(successor);
        self.make_member(successor, fingerprint);
        self.verdict(DecisionKind::Created, fingerprint, true)
    }
}
