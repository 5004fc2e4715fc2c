//! The moment a rule's threshold is reached, and what else makes or ends a storm.

use std::cmp::Reverse;

use seawall_model::{
    Decision, DecisionKind, Identity, Phase, Policy, RequestId, RequestRef, Signal, StormRule, Timestamp,
};

use crate::engine::{Engine, Publication, PublicationKind, Standing, Waiting};
use crate::group::{Entry, Membership};
use crate::incident::{Flags, Moment, NO_STORM, Opening, Urgency};
use crate::open::{Arrival, is_same};
use crate::record::ClosedRequest;
use crate::storm::{Sample, Storm, StormCourse, StormFacts, pattern};

/// What becomes of an incident whose group trips.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Ended or finished: counts, but its request stays what it was.
    Past,
    /// Being executed: stays what it was, linked to the storm.
    Acting,
    /// Not published yet: becomes a member, and its request never exists.
    Held,
    /// Published and not acted upon: becomes a member, its request is superseded.
    Early,
}

impl Engine {
    /// Opens a storm. The threshold-th signal is already part of it.
    pub(crate) fn trip(&mut self, arrival: &Arrival<'_>, group: &Membership, counted: usize) -> Decision {
        let rule = &arrival.policy.rules[group.rule];
        let entries = self.groups.get_mut(&group.key).map(|group| std::mem::take(&mut group.entries));
        let mut parts: Vec<(Entry, Part)> = Vec::new();
        for entry in entries.unwrap_or_default() {
            // The group counts from zero after the storm, also those that do not become members.
            if let Some(incident) = self.incidents.get_mut(entry.incident).filter(|it| is_same(it, &entry)) {
                incident.pulse.counted_in &= !(1 << entry.bit);
                self.touch(entry.incident);
            }
            if entry.incident != arrival.index {
                parts.push((entry, self.part_of(arrival, &entry)));
            }
        }
        let leader = parts.iter().find(|(_, part)| *part != Part::Past).copied();
        let leader = leader.filter(|(_, part)| *part != Part::Acting).map(|(entry, _)| entry.incident);
        let facts = self.facts(arrival, rule, group, leader, counted);
        if let Some(incident) = self.incidents.get_mut(arrival.index) {
            incident.opening = Opening::Tripped;
        }
        let storm = self.open_storm(facts, leader.unwrap_or(arrival.index), arrival.now);
        for (entry, part) in parts {
            if Some(entry.incident) != leader {
                self.take_part(arrival, storm, entry.incident, part);
            }
        }
        let kind = match leader {
            Some(_) => {
                self.join(storm, arrival.index, &arrival.signal.identity, 1, arrival.now);
                DecisionKind::Aggregated
            }
            None => {
                let reference = self.write_doc(arrival);
                self.publications.push(Publication { reference, kind: PublicationKind::Added });
                DecisionKind::Created
            }
        };
        let namespace = &arrival.signal.identity.namespace;
        let decision = self.decision(arrival.policy, kind, arrival.index, namespace);
        Decision { opened_storm: true, ..decision }
    }

    fn part_of(&self, arrival: &Arrival<'_>, entry: &Entry) -> Part {
        let Some(incident) = self.incidents.get(entry.incident).filter(|it| is_same(it, entry)) else {
            return Part::Past;
        };
        let over = self.standing(arrival.policy, entry.incident, arrival.now) == Standing::Over;
        match incident.pulse.phase {
            _ if incident.is_held() => Part::Held,
            Phase::Finished => Part::Past,
            _ if over => Part::Past,
            phase if phase.is_early() => Part::Early,
            _ => Part::Acting,
        }
    }

    fn facts(
        &self,
        arrival: &Arrival<'_>,
        rule: &StormRule,
        group: &Membership,
        leader: Option<u32>,
        counted: usize,
    ) -> StormFacts {
        let leader = leader.and_then(|index| self.incidents.get(index));
        let (fingerprint, request) = match leader.or_else(|| self.incidents.get(arrival.index)) {
            Some(leader) => {
                let namespace = leader.identity().namespace;
                (leader.fingerprint, Self::request_ref(arrival.policy, &namespace, leader.own_request()))
            }
            None => (arrival.signal.fingerprint, Self::new_ref(arrival.policy, arrival.signal, arrival.now)),
        };
        let value = |field| arrival.signal.field(field).unwrap_or_default().into();
        StormFacts {
            fingerprint,
            request,
            rule: rule.name.clone(),
            storm_type: rule.storm_type().into(),
            pattern: pattern(rule, arrival.signal),
            group: group.key,
            group_by: rule.group_by.iter().map(|field| (field.as_str().into(), value(field))).collect(),
            threshold: rule.threshold,
            counted: u32::try_from(counted).unwrap_or(u32::MAX),
            window: rule.window,
            quiet: rule.quiet,
            max_duration: rule.max_duration,
            flush: rule.flush,
            sample: arrival.policy.sample,
            opened_at: arrival.now,
        }
    }

    fn new_ref(policy: &Policy, signal: &Signal, now: Timestamp) -> RequestRef {
        Self::request_ref(policy, &signal.identity.namespace, RequestId::open(&signal.fingerprint, now, None))
    }

    /// Makes a storm whose request is that of `leader`, who is its first member with everything counted so far.
    fn open_storm(&mut self, facts: StormFacts, leader: u32, now: Timestamp) -> u32 {
        let Some(incident) = self.incidents.get_mut(leader) else { return NO_STORM };
        let identity = incident.identity();
        let hold_until = incident.pulse.hold_until.get();
        let flushing = incident.flags.has(Flags::FLUSHING);
        incident.pulse.hold_until = Moment::NONE;
        incident.flags.clear(Flags::FLUSHING);
        let course = StormCourse {
            first_seen: incident.first_seen,
            last_seen: incident.pulse.last_seen,
            ended_at: None,
            successor: None,
            alert_count: 0,
            occurrences: 0,
            resolved_at: None,
            urgency: incident.pulse.urgency,
            phase: incident.pulse.phase,
            released_at: None,
            hold_until,
            sequence: self.sequence,
            supersedes: Vec::new(),
            related: Vec::new(),
        };
        let counted = incident.pulse.count;
        let (group, request, flush, ends_at) =
            (facts.group, facts.request.id, facts.flush, now + facts.quiet);
        let links = self.links.remove(&leader);
        let storm = self.storms.insert(Storm {
            facts,
            course: StormCourse { related: links.unwrap_or_default(), ..course },
            sample: Sample::default(),
            keeps_sample: false,
            members: Vec::new(),
            living: 0,
            unresolved: 0,
            changed: false,
            flushing,
        });
        if flushing {
            self.flushes.push(Reverse((now + flush, Waiting::Storm(storm))));
        }
        if let Some(until) = hold_until {
            self.holds.push(Reverse((until, Waiting::Storm(storm))));
        }
        self.storm_ends.push(Reverse((ends_at, storm)));
        self.storm_of_request.insert(request, storm);
        self.groups.entry(group).or_default().storm = Some(storm);
        self.join(storm, leader, &identity, counted, now);
        storm
    }

    fn take_part(&mut self, arrival: &Arrival<'_>, storm: u32, index: u32, part: Part) {
        let Some(incident) = self.incidents.get_mut(index) else { return };
        let (identity, own) = (incident.identity(), incident.own_request());
        let count = incident.pulse.count;
        let reference = Self::request_ref(arrival.policy, &identity.namespace, own);
        match part {
            Part::Past => {}
            Part::Held => {
                incident.pulse.hold_until = Moment::NONE;
                self.held = self.held.saturating_sub(1);
                self.docs.push((reference, None));
                self.join(storm, index, &identity, count, arrival.now);
            }
            Part::Early => {
                self.supersede(arrival, storm, index, reference);
                self.join(storm, index, &identity, 0, arrival.now);
            }
            Part::Acting => {
                if let Some(storm) = self.storms.get_mut(storm) {
                    storm.course.related.push(own);
                    self.links.entry(index).or_default().push(storm.facts.request.id);
                }
                self.touch(index);
                self.own_changed(arrival.policy, index);
                self.storm_changed(storm, arrival.now);
            }
        }
    }

    /// The own request of an incident is replaced by that of the storm and does not change any more.
    fn supersede(&mut self, arrival: &Arrival<'_>, storm: u32, index: u32, reference: RequestRef) {
        let related = self.links.remove(&index).unwrap_or_default();
        let Some(incident) = self.incidents.get_mut(index) else { return };
        let Some(storm) = self.storms.get_mut(storm) else { return };
        incident.flags.clear(Flags::FLUSHING);
        incident.pulse.sequence = self.sequence;
        storm.course.supersedes.push(reference.id);
        let mut state = incident.request_state(self.epoch, related);
        state.superseded_by = Some(storm.facts.request.id);
        let closed = ClosedRequest { state, phase: incident.pulse.phase, at: arrival.now };
        self.closed.push((reference.clone(), Some(closed)));
        self.closed_changed(arrival.policy, reference);
    }

    /// Makes an incident a member. `counted` of its signals are counted on the storm's request.
    pub(crate) fn join(&mut self, storm: u32, index: u32, identity: &Identity, counted: u64, now: Timestamp) {
        let Some(target) = self.storms.get_mut(storm) else { return };
        let Some(incident) = self.incidents.get_mut(index) else { return };
        incident.storm = storm;
        incident.ordinal = u32::try_from(target.members.len()).unwrap_or(u32::MAX);
        incident.pulse.counted_in = 0;
        target.members.push(index);
        target.living += 1;
        target.course.alert_count += 1;
        target.course.occurrences += counted;
        target.course.last_seen = target.course.last_seen.max(incident.pulse.last_seen).max(now);
        target.course.urgency.raise(incident.pulse.urgency);
        if incident.pulse.resolved_at == Moment::NONE {
            target.unresolved += 1;
            target.course.resolved_at = None;
        }
        target.sample.join(identity, incident, target.facts.sample);
        self.opened.remove(&index);
        self.touch_whole(index);
        self.storm_changed(storm, now);
    }

    /// An old member of a continued storm fires again: it moves to the one that is open, or opens it.
    pub(crate) fn move_on(
        &mut self,
        policy: &Policy,
        index: u32,
        storm: u32,
        signal: &Signal,
        now: Timestamp,
    ) -> Decision {
        self.leave_storm(index);
        let urgency = Urgency::of(signal);
        self.count_signal(index, urgency, now);
        if let Some(incident) = self.incidents.get_mut(index) {
            // The new request rises to the worst that it has seen itself, and nobody has worked on it.
            incident.pulse.urgency = urgency;
            incident.pulse.phase = Phase::Waiting;
            incident.pulse.released_at = Moment::NONE;
        }
        let arrival = Arrival { policy, signal, now, index, previous: None };
        let overdue =
            self.storms.get(storm).is_some_and(|it| now - it.facts.opened_at >= it.facts.max_duration);
        if overdue {
            if let Some(incident) = self.incidents.get_mut(index) {
                let last = Some(incident.generation);
                incident.generation = RequestId::open(&incident.fingerprint, now, last).generation;
            }
            return self.roll_over(&arrival, storm);
        }
        self.join(storm, index, &signal.identity, 1, now);
        self.decision(policy, DecisionKind::Aggregated, index, &signal.identity.namespace)
    }

    /// Forgets that an incident belongs to its storm.
    pub(crate) fn leave_storm(&mut self, index: u32) {
        let Some(incident) = self.incidents.get_mut(index) else { return };
        let storm = std::mem::replace(&mut incident.storm, NO_STORM);
        let resolved = incident.pulse.resolved_at != Moment::NONE;
        let Some(storm) = self.storms.get_mut(storm) else { return };
        storm.living = storm.living.saturating_sub(1);
        storm.unresolved = storm.unresolved.saturating_sub(u64::from(!resolved));
    }

    /// Ends a storm that has lasted too long and continues it with a request of the arrival's.
    pub(crate) fn roll_over(&mut self, arrival: &Arrival<'_>, old: u32) -> Decision {
        let reference = self.write_doc(&Arrival { previous: self.request_of_storm(old), ..*arrival });
        if let Some(incident) = self.incidents.get_mut(arrival.index) {
            incident.opening = Opening::Continued;
        }
        let Some(facts) = self.storms.get(old).map(|storm| storm.facts.clone()) else {
            return self.decision(arrival.policy, DecisionKind::Created, arrival.index, "");
        };
        if let Some(storm) = self.storms.get_mut(old) {
            storm.course.successor = Some(reference.id);
        }
        self.end_storm(old, arrival.now, arrival.now);
        let mut facts = StormFacts {
            fingerprint: arrival.signal.fingerprint,
            request: reference.clone(),
            opened_at: arrival.now,
            sample: arrival.policy.sample,
            ..facts
        };
        if let Some(rule) = arrival.policy.rules.iter().find(|rule| rule.name == facts.rule) {
            facts.window = rule.window;
            facts.quiet = rule.quiet;
            facts.max_duration = rule.max_duration;
            facts.flush = rule.flush;
        }
        let storm = self.open_storm(facts, arrival.index, arrival.now);
        if let Some(storm) = self.storms.get_mut(storm) {
            // Only this signal counts on the successor; earlier ones stay with the old storm.
            storm.course.occurrences = 1;
            storm.course.first_seen = arrival.now;
        }
        self.publications.push(Publication { reference, kind: PublicationKind::Added });
        let namespace = &arrival.signal.identity.namespace;
        let decision = self.decision(arrival.policy, DecisionKind::Created, arrival.index, namespace);
        Decision { opened_storm: true, ..decision }
    }

    fn request_of_storm(&self, storm: u32) -> Option<RequestId> {
        self.storms.get(storm).map(|storm| storm.facts.request.id)
    }

    pub(crate) fn end_quiet(&mut self, index: u32, now: Timestamp) {
        if let Some(storm) = self.storms.get(index) {
            let at = storm.ends_at();
            self.end_storm(index, at, now);
        }
    }

    /// Ends a storm as of `at`; its group counts from zero. `now` is when watchers are to hear of it.
    pub(crate) fn end_storm(&mut self, index: u32, at: Timestamp, now: Timestamp) {
        let Some(storm) = self.storms.get_mut(index).filter(|storm| storm.is_open()) else { return };
        storm.course.ended_at = Some(at);
        let key = storm.facts.group;
        if let Some(group) = self.groups.get_mut(&key)
            && group.storm == Some(index)
        {
            group.storm = None;
            if group.entries.is_empty() && !group.queued {
                self.groups.remove(&key);
            }
        }
        self.storm_changed(index, now);
        self.storm_ends.push(Reverse((at, index)));
    }
}
