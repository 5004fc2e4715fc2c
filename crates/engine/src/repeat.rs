//! Signals of problems that are already open.

use std::cmp::Reverse;

use seawall_model::{Decision, DecisionKind, Phase, Policy, Signal, Timestamp};

use crate::engine::{Engine, Publication, PublicationKind, Standing, Waiting};
use crate::incident::{Flags, Moment, Urgency};

impl Engine {
    /// Whether a known problem that fires now is still the same incident.
    pub(crate) fn standing(&self, policy: &Policy, index: u32, now: Timestamp) -> Standing {
        let Some(incident) = self.incidents.get(index) else { return Standing::Over };
        let Some(storm) = self.storms.get(incident.storm) else {
            let pulse = &incident.pulse;
            return if is_open(policy, pulse.phase, pulse.released_at.get(), pulse.last_seen, now) {
                Standing::Open
            } else {
                Standing::Over
            };
        };
        if storm.is_open() {
            return match now - storm.facts.opened_at >= storm.facts.max_duration {
                true => Standing::Continues(incident.storm),
                false => Standing::Open,
            };
        }
        let current = self.groups.get(&storm.facts.group).and_then(|group| group.storm);
        if storm.course.successor.is_some()
            && let Some(current) = current
        {
            return Standing::Continues(current);
        }
        match is_open(policy, storm.course.phase, storm.course.released_at, incident.pulse.last_seen, now) {
            true => Standing::Open,
            false => Standing::Over,
        }
    }

    /// Counts a further signal of an open incident.
    pub(crate) fn repeat(
        &mut self,
        policy: &Policy,
        index: u32,
        signal: &Signal,
        now: Timestamp,
    ) -> Decision {
        let urgency = Urgency::of(signal);
        let was_resolved = self.count_signal(index, urgency, now);
        let storm = self.incidents.get(index).map(|incident| incident.storm);
        if let Some((at, storm)) = storm.and_then(|at| Some((at, self.storms.get_mut(at)?))) {
            storm.course.occurrences += 1;
            storm.course.last_seen = storm.course.last_seen.max(now);
            storm.course.urgency.raise(urgency);
            storm.unresolved += u64::from(was_resolved);
            storm.course.resolved_at = None;
            storm.sample.repeat(&signal.identity, now);
            self.storm_changed(at, now);
        } else {
            self.own_changed(policy, index);
        }
        self.decision(policy, DecisionKind::Duplicate, index, &signal.identity.namespace)
    }

    /// Adds one firing signal to an incident; says whether it had been resolved.
    pub(crate) fn count_signal(&mut self, index: u32, urgency: Urgency, now: Timestamp) -> bool {
        let Some(incident) = self.incidents.get_mut(index) else { return false };
        let was_resolved = incident.pulse.resolved_at != Moment::NONE;
        incident.pulse.count += 1;
        incident.pulse.last_seen = now;
        incident.pulse.resolved_at = Moment::NONE;
        incident.pulse.urgency.raise(urgency);
        self.touch(index);
        was_resolved
    }

    /// Notes that the pulse of an incident is to be written.
    pub(crate) fn touch(&mut self, index: u32) {
        if let Some(incident) = self.incidents.get_mut(index) {
            incident.pulse.sequence = self.sequence;
            if incident.flags.set(Flags::CHANGED) {
                self.changed.push(index);
            }
        }
    }

    /// Notes that everything about an incident is to be written.
    pub(crate) fn touch_whole(&mut self, index: u32) {
        self.touch(index);
        if let Some(incident) = self.incidents.get_mut(index) {
            incident.flags.set(Flags::WHOLE);
        }
    }

    /// Lets watchers see the changed request of a single incident, at most once per flush interval (I8): at once when
    /// they have not heard of it for that long, which most repeats are, else when the interval is over.
    pub(crate) fn own_changed(&mut self, policy: &Policy, index: u32) {
        // When it is told has nothing to do with the incident's own time, which never goes backwards.
        let now = self.now;
        let Some(incident) = self.incidents.get_mut(index) else { return };
        if incident.is_held() || incident.is_member() || incident.flags.has(Flags::FLUSHING) {
            return;
        }
        let told = incident.told.get();
        if told.is_none_or(|told| now - told >= policy.flush) {
            incident.told = now.into();
            let reference = Self::request_ref(policy, &incident.identity().namespace, incident.own_request());
            self.publications.push(Publication { reference, kind: PublicationKind::Modified });
        } else {
            incident.flags.set(Flags::FLUSHING);
            let since = told.map_or(now, |told| told.min(now));
            let waiting = Waiting::Incident(index, incident.generation);
            self.flushes.push(Reverse((since + policy.flush, waiting)));
        }
    }

    /// Notes that a storm is to be written, and that watchers should see it at its next flush.
    pub(crate) fn storm_changed(&mut self, index: u32, now: Timestamp) {
        let Some(storm) = self.storms.get_mut(index) else { return };
        storm.course.sequence = self.sequence;
        if !storm.changed {
            storm.changed = true;
            self.changed_storms.push(index);
        }
        if !storm.flushing && storm.course.hold_until.is_none() {
            storm.flushing = true;
            self.flushes.push(Reverse((now + storm.facts.flush, Waiting::Storm(index))));
        }
    }
}

/// Whether an incident that counts on a request in this phase is still open: the request's own state refines the timer.
pub fn is_open(
    policy: &Policy,
    phase: Phase,
    released_at: Option<Timestamp>,
    last_seen: Timestamp,
    now: Timestamp,
) -> bool {
    match (released_at, phase) {
        (Some(released_at), _) => now - released_at < policy.cooldown,
        (None, Phase::Waiting) => now - last_seen < policy.ttl,
        (None, _) => true,
    }
}
