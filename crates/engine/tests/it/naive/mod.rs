//! The rules of deduplication and storms once more, as naively as they can be written.
//!
//! Plain vectors and maps, scanned from end to end; nothing is indexed, serialised or saved up. This is the
//! specification that the engine is compared with after every step, so it must be right because it is simple.

mod storms;
mod upkeep;
mod windows;

use std::collections::{BTreeSet, HashMap};

use seawall_model::{
    DecisionKind, Fingerprint, Phase, Policy, Priority, RemediationPath, RequestId, RequestRef, Severity,
    Signal, StormRule, Timestamp,
};

use crate::view::{Resource, Verdict};
pub use upkeep::Memory;
use windows::{Entry, Group, groups_of};

/// Severity with what follows from it; the three always move together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Urgency {
    pub severity: Severity,
    pub priority: Priority,
    pub path: RemediationPath,
}

impl Urgency {
    fn of(signal: &Signal) -> Self {
        Self { severity: signal.severity, priority: signal.priority, path: signal.path }
    }

    /// Rises, never falls.
    fn rise(&mut self, other: Self) {
        if other.severity > self.severity {
            *self = other;
        }
    }
}

/// A fingerprint that is remembered: open, or counted in a window, or a member of a remembered storm.
#[derive(Clone, Debug)]
pub struct Incident {
    generation: u32,
    /// The request it has, or had, or would have had of its own.
    own: RequestRef,
    /// Index of the storm on whose request it counts.
    storm: Option<usize>,
    resource: Resource,
    first_seen: Timestamp,
    last_seen: Timestamp,
    count: u64,
    resolved_at: Option<Timestamp>,
    urgency: Urgency,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub fingerprint: Fingerprint,
    pub resource: Resource,
    pub urgency: Urgency,
    pub occurrences: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub superseded_by: Option<RequestId>,
    pub related: BTreeSet<RequestId>,
    pub storm: Option<usize>,
    /// Until when it is kept from the sink; nothing once it is there.
    pub held_until: Option<Timestamp>,
    pub phase: Phase,
    released_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct Storm {
    pub rule: StormRule,
    group: Group,
    pub request: RequestRef,
    opened_at: Timestamp,
    pub last_seen: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Index of the storm that continues this one.
    pub successor: Option<usize>,
    pub supersedes: BTreeSet<RequestId>,
    pub members: Vec<Member>,
    is_needed: bool,
    forgotten: bool,
}

/// What a storm knows of one fingerprint; stands still when the member has moved to a successor.
#[derive(Clone, Debug)]
pub struct Member {
    fingerprint: Fingerprint,
    pub resource: Resource,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub count: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Naive {
    incidents: HashMap<Fingerprint, Incident>,
    /// Every request that was ever made, except held ones that a storm absorbed.
    pub requests: HashMap<RequestRef, Request>,
    pub storms: Vec<Storm>,
    /// In order of opening.
    entries: Vec<Entry>,
    /// The highest generation of an incident that was forgotten.
    last_forgotten: u32,
}

impl Naive {
    pub fn decide(&mut self, policy: &Policy, signal: &Signal, now: Timestamp) -> Verdict {
        let t = self.time_of_problem(signal, now);
        if signal.resolved {
            self.resolve(signal.fingerprint, t)
        } else if self.is_open(policy, signal.fingerprint, t) {
            self.repeat(policy, signal, t)
        } else {
            self.open(policy, signal, self.time_of_groups(policy, signal, t))
        }
    }

    /// The time of a problem and of its storm never goes backwards, whatever the clock does.
    fn time_of_problem(&self, signal: &Signal, now: Timestamp) -> Timestamp {
        let Some(incident) = self.incidents.get(&signal.fingerprint) else { return now };
        let storm = incident.storm.filter(|_| !signal.resolved).map(|storm| &self.storms[storm].request);
        let seen_in_storm = storm.map(|request| self.requests[request].last_seen);
        now.max(incident.last_seen).max(seen_in_storm.unwrap_or(now))
    }

    /// Neither does that of a group, which matters to new incidents.
    fn time_of_groups(&self, policy: &Policy, signal: &Signal, now: Timestamp) -> Timestamp {
        let groups: Vec<Group> = groups_of(policy, signal).into_iter().map(|(_, group)| group).collect();
        let open =
            self.storms.iter().filter(|storm| storm.ended_at.is_none() && groups.contains(&storm.group));
        let counted = groups.iter().filter_map(|group| self.newest(group));
        open.map(|storm| storm.last_seen).chain(counted).fold(now, Timestamp::max)
    }

    // ---- what is open -------------------------------------------------------------------------------------------

    /// Whether a firing signal of this fingerprint would be a repeat.
    fn is_open(&mut self, policy: &Policy, fingerprint: Fingerprint, t: Timestamp) -> bool {
        let storm = self.incidents.get(&fingerprint).and_then(|incident| incident.storm);
        storm.is_some_and(|storm| self.current_storm(storm, t).is_some())
            || self.is_open_by_itself(policy, fingerprint, t)
    }

    /// The request's own state refines the silence timer.
    fn is_open_by_itself(&self, policy: &Policy, fingerprint: Fingerprint, t: Timestamp) -> bool {
        let Some(incident) = self.incidents.get(&fingerprint) else { return false };
        if incident.storm.is_some_and(|storm| self.storms[storm].ended_at.is_none()) {
            return true;
        }
        let last_seen = incident.last_seen;
        let request = &self.requests[&self.counting_request(fingerprint)];
        match (request.released_at, request.phase) {
            (Some(released_at), _) => t < released_at + policy.cooldown,
            (None, Phase::Waiting) => t < last_seen + policy.ttl,
            (None, _) => true,
        }
    }

    /// Ends the storm first when it has been quiet for long enough.
    fn storm_is_open(&mut self, storm: usize, t: Timestamp) -> bool {
        let storm = &mut self.storms[storm];
        if storm.ended_at.is_none() && t >= storm.last_seen + storm.rule.quiet {
            storm.ended_at = Some(storm.last_seen + storm.rule.quiet);
        }
        storm.ended_at.is_none()
    }

    fn open_storm_of(&mut self, group: &Group, t: Timestamp) -> Option<usize> {
        (0..self.storms.len())
            .find(|&storm| self.storms[storm].group == *group && self.storm_is_open(storm, t))
    }

    /// The open storm to which the members of this one belong: itself, or after a roll-over the one its group has now.
    fn current_storm(&mut self, storm: usize, t: Timestamp) -> Option<usize> {
        if self.storm_is_open(storm, t) {
            return Some(storm);
        }
        self.storms[storm].successor?;
        let group = self.storms[storm].group.clone();
        self.open_storm_of(&group, t)
    }

    fn is_due_for_roll_over(&self, storm: usize, t: Timestamp) -> bool {
        t >= self.storms[storm].opened_at + self.storms[storm].rule.max_duration
    }

    fn counting_request(&self, fingerprint: Fingerprint) -> RequestRef {
        let incident = &self.incidents[&fingerprint];
        incident.storm.map_or_else(|| incident.own.clone(), |storm| self.storms[storm].request.clone())
    }

    // ---- a further signal of an open incident -------------------------------------------------------------------

    fn repeat(&mut self, policy: &Policy, signal: &Signal, t: Timestamp) -> Verdict {
        let incident = self.incidents.get_mut(&signal.fingerprint).unwrap();
        incident.count += 1;
        incident.last_seen = t;
        incident.resolved_at = None;
        incident.urgency.rise(Urgency::of(signal));
        let Some(storm) = incident.storm else {
            self.count_one_more(signal, t);
            return self.verdict(DecisionKind::Duplicate, signal.fingerprint, false);
        };
        let Some(current) = self.current_storm(storm, t) else {
            // The storm is over for good; its request still takes the repeats of those who are open.
            self.count_one_more(signal, t);
            return self.verdict(DecisionKind::Duplicate, signal.fingerprint, false);
        };
        if self.is_due_for_roll_over(current, t) {
            return self.roll_over(policy, current, signal, t);
        }
        let kind = if current == storm { DecisionKind::Duplicate } else { DecisionKind::Aggregated };
        self.make_member(current, signal.fingerprint);
        self.count_one_more(signal, t);
        self.verdict(kind, signal.fingerprint, false)
    }

    /// Counts the signal on the request its incident counts on.
    fn count_one_more(&mut self, signal: &Signal, t: Timestamp) {
        let reference = self.counting_request(signal.fingerprint);
        let request = self.requests.get_mut(&reference).unwrap();
        request.occurrences += 1;
        request.last_seen = request.last_seen.max(t);
        request.resolved_at = None;
        request.urgency.rise(Urgency::of(signal));
        if let Some(storm) = self.incidents[&signal.fingerprint].storm {
            if self.storms[storm].ended_at.is_none() {
                self.storms[storm].last_seen = self.storms[storm].last_seen.max(t);
            }
            self.make_member(storm, signal.fingerprint);
        }
    }

    // ---- a new incident -----------------------------------------------------------------------------------------

    fn open(&mut self, policy: &Policy, signal: &Signal, t: Timestamp) -> Verdict {
        let fingerprint = signal.fingerprint;
        let last = self.incidents.get(&fingerprint).map(|incident| incident.generation);
        // Of a problem that was forgotten it is only known how late it can have opened.
        let forgotten = Some(self.last_forgotten).filter(|last| t.as_seconds() <= i64::from(*last));
        let previous = last.max(forgotten);
        let own = name_of(policy, signal, t, previous);
        if let Some(old) = self.incidents.get(&fingerprint).filter(|old| old.storm.is_none())
            && let Some(request) = self.requests.get_mut(&old.own)
        {
            request.held_until = None; // Fired again before its hold was over: it must not get lost.
        }
        let incident = Incident {
            generation: own.id.generation,
            own,
            storm: None,
            resource: Resource::of(signal),
            first_seen: t,
            last_seen: t,
            count: 1,
            resolved_at: None,
            urgency: Urgency::of(signal),
        };
        self.incidents.insert(fingerprint, incident);
        let groups = groups_of(policy, signal);
        for (_, group) in &groups {
            let Some(storm) = self.open_storm_of(group, t) else { continue };
            if self.is_due_for_roll_over(storm, t) {
                return self.roll_over(policy, storm, signal, t);
            }
            self.make_member(storm, fingerprint);
            self.count_one_more(signal, t);
            return self.verdict(DecisionKind::Aggregated, fingerprint, false);
        }
        for (rule, group) in &groups {
            self.count(rule, group, fingerprint, t);
            if self.living(group).count() >= rule.threshold as usize {
                return self.trip(policy, rule, group, signal, t);
            }
        }
        let held_until = self.hold(&groups, fingerprint, t);
        self.make_request(signal, t, held_until);
        let kind = if held_until.is_some() { DecisionKind::Accepted } else { DecisionKind::Created };
        self.verdict(kind, fingerprint, false)
    }

    /// Until when the request of a new incident is kept back, because a storm may still make it unnecessary.
    fn hold(
        &self,
        groups: &[(StormRule, Group)],
        fingerprint: Fingerprint,
        t: Timestamp,
    ) -> Option<Timestamp> {
        let in_burst = |(rule, group): &&(StormRule, Group)| {
            let recent = |entry: &Entry| entry.fingerprint != fingerprint && entry.at > t - rule.hold;
            rule.threshold > 1 && self.living(group).any(recent)
        };
        let burst = groups.iter().filter(in_burst).map(|(rule, _)| rule.hold).max().filter(|hold| *hold > 0);
        let first = groups.iter().map(|(rule, _)| rule.hold_first).max().filter(|hold| *hold > 0);
        burst.or(first).map(|hold| t + hold)
    }

    fn make_request(&mut self, signal: &Signal, t: Timestamp, held_until: Option<Timestamp>) -> RequestRef {
        let reference = self.incidents[&signal.fingerprint].own.clone();
        let request = Request {
            fingerprint: signal.fingerprint,
            resource: Resource::of(signal),
            urgency: Urgency::of(signal),
            occurrences: 1,
            first_seen: t,
            last_seen: t,
            resolved_at: None,
            superseded_by: None,
            related: BTreeSet::new(),
            storm: None,
            held_until,
            phase: Phase::Waiting,
            released_at: None,
        };
        let reused = self.requests.insert(reference.clone(), request);
        assert!(reused.is_none(), "the name {reference} was used before");
        reference
    }
}

fn name_of(policy: &Policy, signal: &Signal, t: Timestamp, previous: Option<u32>) -> RequestRef {
    let id = RequestId::open(&signal.fingerprint, t, previous);
    RequestRef::locate(&signal.identity.namespace, id, &policy.fallback_namespace)
}
