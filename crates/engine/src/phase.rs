//! What workers report about requests.

use seawall_model::{Millis, Phase, Policy, RequestDoc, RequestRef, Timestamp};

use crate::engine::Engine;
use crate::incident::{Incident, Moment, Opening, Pulse, Urgency, pack};
use crate::record::ClosedRequest;

impl Engine {
    /// Takes over the phase of a request. Says whether the request is in memory; one that is not may first be brought
    /// back with [`Engine::recall`]. A finished request stays finished: it is never reused.
    pub fn set_phase(
        &mut self,
        policy: &Policy,
        reference: &RequestRef,
        phase: Phase,
        now: Timestamp,
    ) -> bool {
        self.report(policy, reference, phase, 0, now)
    }

    /// Ends what counts on a request that somebody deleted: as if a worker had finished it, and without the cooldown. Says
    /// whether the request is in memory.
    pub fn withdraw(&mut self, policy: &Policy, reference: &RequestRef, now: Timestamp) -> bool {
        self.report(policy, reference, Phase::Finished, policy.cooldown, now)
    }

    /// `earlier` is by how much the cooldown of a finished request began before now.
    fn report(
        &mut self,
        policy: &Policy,
        reference: &RequestRef,
        phase: Phase,
        earlier: Millis,
        now: Timestamp,
    ) -> bool {
        self.now = now;
        if let Some(index) = self.storm_of_request.get(&reference.id).copied() {
            return self.set_storm_phase(index, phase, earlier, now);
        }
        let Some((index, _)) = self.owner_of(&reference.id) else { return false };
        let Some(incident) = self.incidents.get_mut(index).filter(|incident| !incident.is_held()) else {
            return false;
        };
        let now = now.max(incident.pulse.last_seen);
        if incident.pulse.phase != Phase::Finished {
            incident.pulse.phase = phase;
            if phase == Phase::Finished {
                incident.pulse.released_at = Some(now - earlier).into();
            }
        }
        // Also a phase of the same class is news to those who watch.
        self.touch(index);
        self.own_changed(policy, index);
        true
    }

    fn set_storm_phase(&mut self, index: u32, phase: Phase, earlier: Millis, now: Timestamp) -> bool {
        let Some(storm) = self.storms.get_mut(index).filter(|storm| storm.course.hold_until.is_none()) else {
            return false;
        };
        let now = now.max(storm.course.last_seen);
        if storm.course.phase != Phase::Finished {
            storm.course.phase = phase;
            if phase == Phase::Finished {
                storm.course.released_at = Some(now - earlier);
                self.end_storm(index, now, now);
            }
        }
        self.storm_changed(index, now);
        true
    }

    /// Brings back a request that has left memory, so that a late report about it still counts: a worker that finishes
    /// it starts the cooldown, a resolved alert marks it. Does nothing when the problem is in memory with this or a later
    /// request, when the request was superseded, and for storms, which are remembered for longer.
    pub fn recall(&mut self, policy: &Policy, doc: &RequestDoc, closed: &ClosedRequest) -> bool {
        let ClosedRequest { state, phase, .. } = closed;
        let phase = *phase;
        if state.superseded_by.is_some() || state.storm.is_some() {
            return false;
        }
        if let Some(index) = self.find(&doc.fingerprint) {
            let known = self.incidents.get(index).map_or(0, |incident| incident.generation);
            if known >= doc.reference.id.generation {
                return false;
            }
            // An earlier request of the problem that was brought back itself.
            self.let_go(policy, index);
            self.remove(index);
        }
        let pulse = Pulse {
            count: state.occurrences,
            last_seen: state.last_seen,
            resolved_at: state.resolved_at.into(),
            flaps: u32::from(state.resolved_at.is_some()),
            urgency: Urgency { severity: state.severity, priority: state.priority, path: state.path },
            phase,
            released_at: Moment::NONE,
            hold_until: Moment::NONE,
            sequence: self.sequence,
            counted_in: 0,
        };
        let mut incident = Incident::new(doc.fingerprint, pack(&doc.identity), state.first_seen, pulse);
        incident.generation = doc.reference.id.generation;
        incident.opening = Opening::Recalled;
        incident.told = self.now.into();
        if phase == Phase::Finished {
            // Its cooldown is over, else it would not have left memory.
            incident.pulse.released_at = Some(state.last_seen - policy.cooldown).into();
        }
        let index = self.insert(incident);
        if !state.related.is_empty() {
            self.links.insert(index, state.related.clone());
        }
        self.touch_whole(index);
        self.closed.push((doc.reference.clone(), None));
        true
    }
}
