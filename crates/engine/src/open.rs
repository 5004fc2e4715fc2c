//! New incidents: join an open storm, be counted, or get a request of their own.

use std::cmp::Reverse;

use seawall_model::{
    Decision, DecisionKind, Phase, Policy, RequestDoc, RequestId, RequestRef, Signal, Timestamp,
};

use crate::engine::{Engine, Publication, PublicationKind, Waiting};
use crate::group::{Entry, Membership, memberships};
use crate::incident::{Flags, Incident, Moment, Opening, Pulse, Urgency, pack};
use crate::record::Opened;

/// A new incident on its way to its request.
pub(crate) struct Arrival<'a> {
    pub policy: &'a Policy,
    pub signal: &'a Signal,
    pub now: Timestamp,
    pub index: u32,
    /// The request that the previous incident of this problem counted on.
    pub previous: Option<RequestId>,
}

impl Engine {
    /// Opens an incident for a problem that is unknown, or known to be over.
    pub(crate) fn open(
        &mut self,
        policy: &Policy,
        signal: &Signal,
        now: Timestamp,
        known: Option<u32>,
    ) -> Decision {
        let groups = memberships(policy, signal);
        let now = groups.iter().fold(now, |now, group| self.time_of_group(group, now));
        let storm = groups.iter().find_map(|group| self.storm_to_join(group, now));
        let previous = known.and_then(|index| self.counted_on(index));
        let index = self.admit(policy, signal, now, known);
        let arrival = Arrival { policy, signal, now, index, previous };
        if let Some(storm) = storm {
            return self.join_or_continue(&arrival, storm);
        }
        for (bit, group) in groups.iter().enumerate() {
            let counted = self.count(&arrival, group, bit, known.is_some());
            if counted >= policy.rules[group.rule].threshold as usize {
                return self.trip(&arrival, group, counted);
            }
        }
        let order = self.openings;
        self.openings += 1;
        let windows = groups.iter().map(|group| (group.key, policy.rules[group.rule].window)).collect();
        self.opened.insert(index, Opened { groups: windows, order });
        self.stand_alone(&arrival, &groups)
    }

    /// A group's time never goes backwards.
    fn time_of_group(&self, group: &Membership, now: Timestamp) -> Timestamp {
        let Some(group) = self.groups.get(&group.key) else { return now };
        let storm = group.storm.and_then(|storm| self.storms.get(storm)).filter(|storm| storm.is_open());
        now.max(group.newest().unwrap_or(now)).max(storm.map_or(now, |storm| storm.course.last_seen))
    }

    /// The group's open storm, after ending it if it has been quiet for too long.
    fn storm_to_join(&mut self, group: &Membership, now: Timestamp) -> Option<u32> {
        let storm = self.groups.get(&group.key)?.storm?;
        if now >= self.storms.get(storm)?.ends_at() {
            self.end_quiet(storm, now);
            return None;
        }
        Some(storm)
    }

    fn counted_on(&self, index: u32) -> Option<RequestId> {
        let incident = self.incidents.get(index)?;
        let own = || incident.own_request();
        Some(self.storms.get(incident.storm).map_or_else(own, |storm| storm.facts.request.id))
    }

    /// Puts the new incident where the old one was, or in a new place. The old one's own request is final.
    fn admit(&mut self, policy: &Policy, signal: &Signal, now: Timestamp, known: Option<u32>) -> u32 {
        let pulse = Pulse {
            count: 1,
            last_seen: now,
            resolved_at: Moment::NONE,
            flaps: 0,
            urgency: Urgency::of(signal),
            phase: Phase::Waiting,
            released_at: Moment::NONE,
            hold_until: Moment::NONE,
            sequence: self.sequence,
            counted_in: 0,
        };
        let mut incident = Incident::new(signal.fingerprint, pack(&signal.identity), now, pulse);
        let old = known.and_then(|index| self.incidents.get(index));
        let last = old.map(|old| old.generation).max(self.floor_at(now));
        incident.told = self.now.into();
        incident.generation = RequestId::open(&signal.fingerprint, now, last).generation;
        let index = match known {
            None => self.insert(incident),
            Some(index) => {
                self.let_go(policy, index);
                if let Some(slot) = self.incidents.get_mut(index) {
                    // What is already noted about the slot stays noted: a pulse on disk, a place in the list of changes.
                    incident.flags = slot.flags;
                    incident.flags.clear(Flags::FLUSHING);
                    *slot = incident;
                }
                index
            }
        };
        self.touch_whole(index);
        index
    }

    /// The generation to stay above for a problem that is not in memory: none while the clock runs as it should.
    fn floor_at(&self, now: Timestamp) -> Option<u32> {
        (now.as_seconds() <= i64::from(self.floor)).then_some(self.floor)
    }

    pub(crate) fn insert(&mut self, incident: Incident) -> u32 {
        let hash = incident.fingerprint.prefix();
        let index = self.incidents.insert(incident);
        let incidents = &self.incidents;
        let rehash = |index: &u32| incidents.get(*index).map_or(0, |known| known.fingerprint.prefix());
        self.index.insert_unique(hash, index, rehash);
        index
    }

    /// Adds the arrival to a group and says how many new incidents its window holds.
    fn count(&mut self, arrival: &Arrival<'_>, group: &Membership, bit: usize, reopened: bool) -> usize {
        let rule = &arrival.policy.rules[group.rule];
        let prefix = arrival.signal.fingerprint.prefix();
        let bit = bit as u8;
        let mut generation = 0;
        if let Some(incident) = self.incidents.get_mut(arrival.index) {
            incident.pulse.counted_in |= 1 << bit;
            generation = incident.generation;
        }
        let counted = self.groups.entry(group.key).or_default();
        counted.window = rule.window;
        counted.slide(arrival.now, rule.window);
        if reopened {
            counted.entries.retain(|entry| entry.prefix != prefix);
        }
        counted.entries.push_back(Entry {
            at: arrival.now,
            prefix,
            generation,
            incident: arrival.index,
            bit,
        });
        if !counted.queued {
            counted.queued = true;
            self.group_checks.push(Reverse((arrival.now + rule.window, group.key)));
        }
        if counted.entries.len() >= rule.threshold as usize {
            // Only now does it matter which of them still count.
            let incidents = &self.incidents;
            counted.entries.retain(|entry| counts(incidents.get(entry.incident), entry));
        }
        let count = counted.entries.len();
        if let Some(incident) = self.incidents.get_mut(arrival.index) {
            incident.seen = incident.seen.max(u32::try_from(count).unwrap_or(u32::MAX));
        }
        count
    }

    /// A request of its own, at once or after the hold.
    fn stand_alone(&mut self, arrival: &Arrival<'_>, groups: &[Membership]) -> Decision {
        let hold_until = self.hold_until(arrival, groups);
        let reference = self.write_doc(arrival);
        if let Some(incident) = self.incidents.get_mut(arrival.index) {
            incident.pulse.hold_until = hold_until.into();
            incident.opening = if hold_until.is_some() { Opening::Held } else { Opening::Alone };
            if let Some(until) = hold_until {
                let waiting = Waiting::Incident(arrival.index, incident.generation);
                self.holds.push(Reverse((until, waiting)));
                self.held += 1;
            }
        }
        let kind = match hold_until {
            Some(_) => DecisionKind::Accepted,
            None => {
                self.publications.push(Publication { reference, kind: PublicationKind::Added });
                DecisionKind::Created
            }
        };
        self.decision(arrival.policy, kind, arrival.index, &arrival.signal.identity.namespace)
    }

    /// Until when the request waits, because a rule may still trip: from the second new signal of a group inside a burst.
    fn hold_until(&self, arrival: &Arrival<'_>, groups: &[Membership]) -> Option<Timestamp> {
        let rules = || groups.iter().map(|group| (&arrival.policy.rules[group.rule], group));
        let burst = rules()
            .filter(|(rule, group)| {
                rule.hold > 0 && rule.threshold > 1 && self.is_burst(arrival, group, rule.hold)
            })
            .map(|(rule, _)| rule.hold)
            .max();
        let hold = burst.or_else(|| rules().map(|(rule, _)| rule.hold_first).filter(|hold| *hold > 0).max());
        hold.map(|hold| arrival.now + hold)
    }

    fn is_burst(&self, arrival: &Arrival<'_>, group: &Membership, hold: i64) -> bool {
        let Some(group) = self.groups.get(&group.key) else { return false };
        group
            .entries
            .iter()
            .rev()
            .take_while(|entry| arrival.now - entry.at < hold)
            .any(|entry| entry.incident != arrival.index && counts(self.incidents.get(entry.incident), entry))
    }

    /// Writes what the request of the arrival will show.
    pub(crate) fn write_doc(&mut self, arrival: &Arrival<'_>) -> RequestRef {
        let signal = arrival.signal;
        let generation = self.incidents.get(arrival.index).map_or(0, |incident| incident.generation);
        let id = RequestId { prefix: signal.fingerprint.prefix(), generation };
        let reference = Self::request_ref(arrival.policy, &signal.identity.namespace, id);
        let doc = RequestDoc {
            fingerprint: signal.fingerprint,
            reference: reference.clone(),
            identity: signal.identity.clone(),
            api_version: signal.api_version.clone(),
            environment: signal.environment.clone(),
            firing_time: signal.firing_time,
            received_time: arrival.now,
            previous: arrival.previous,
            detail: signal.detail.detached(),
        };
        self.docs.push((reference.clone(), Some(doc)));
        reference
    }

    fn join_or_continue(&mut self, arrival: &Arrival<'_>, storm: u32) -> Decision {
        let overdue = self
            .storms
            .get(storm)
            .is_some_and(|storm| arrival.now - storm.facts.opened_at >= storm.facts.max_duration);
        if overdue {
            return self.roll_over(arrival, storm);
        }
        if let Some(incident) = self.incidents.get_mut(arrival.index) {
            incident.opening = Opening::Joined;
        }
        self.join(storm, arrival.index, &arrival.signal.identity, 1, arrival.now);
        self.decision(
            arrival.policy,
            DecisionKind::Aggregated,
            arrival.index,
            &arrival.signal.identity.namespace,
        )
    }
}

/// Whether an entry still counts: members of storms count for no other rule, and a reopened problem counts only where
/// it was counted last.
pub(crate) fn counts(incident: Option<&Incident>, entry: &Entry) -> bool {
    incident.is_some_and(|incident| {
        let is_counted = incident.pulse.counted_in & (1 << entry.bit) != 0;
        is_same(incident, entry) && is_counted && !incident.is_member()
    })
}

/// Whether a slot still holds the incident that was counted.
pub(crate) fn is_same(incident: &Incident, entry: &Entry) -> bool {
    incident.generation == entry.generation && incident.fingerprint.prefix() == entry.prefix
}
