//! What happens besides firing signals: problems that are over, reports of workers, and the passing of time.

use seawall_model::{DecisionKind, Fingerprint, Phase, Policy, RequestRef, Timestamp};

use super::{Incident, Naive};
use crate::view::{Verdict, VerdictStorm};

/// What is no longer needed may be forgotten now or later, so the naive model asks what is still remembered. Forgetting
/// what is needed is a defect.
pub trait Memory {
    fn has_problem(&self, fingerprint: &Fingerprint) -> bool;
    fn has_storm(&self, request: &RequestRef) -> bool;
}

impl Naive {
    /// Marks the incident, and the storm when all who are still its members are resolved. Opens and prolongs nothing.
    pub(super) fn resolve(&mut self, fingerprint: Fingerprint, t: Timestamp) -> Verdict {
        let Some(incident) = self.incidents.get_mut(&fingerprint) else {
            return Verdict::unknown_resolved();
        };
        if incident.resolved_at.is_none() {
            incident.resolved_at = Some(t);
            let storm = incident.storm;
            let of_storm = |other: &&Incident| other.storm == storm && other.resolved_at.is_none();
            if storm.is_none() || !self.incidents.values().any(|other| of_storm(&other)) {
                let reference = self.counting_request(fingerprint);
                self.requests.get_mut(&reference).unwrap().resolved_at = Some(t);
            }
        }
        self.verdict(DecisionKind::Resolved, fingerprint, false)
    }

    /// What a worker reports about a request. Returns whether the report makes a difference to later decisions.
    pub fn set_phase(&mut self, reference: &RequestRef, phase: Phase, now: Timestamp) -> bool {
        let request = &self.requests[reference];
        let (fingerprint, last_seen) = (request.fingerprint, request.last_seen);
        let storm = request.storm.filter(|storm| !self.storms[*storm].forgotten);
        let is_superseded = request.superseded_by.is_some();
        if storm.is_none() {
            if request.storm.is_some() || is_superseded {
                return false;
            }
            let known = self.incidents.get(&fingerprint).map(|incident| incident.generation);
            if known < Some(reference.id.generation) {
                self.recall(reference);
            }
            if self.incidents[&fingerprint].own != *reference {
                return false; // The problem is open again, with another request.
            }
        }
        let request = self.requests.get_mut(reference).unwrap();
        if request.phase == Phase::Finished {
            return true; // A finished request is never taken up again.
        }
        request.phase = phase;
        if phase == Phase::Finished {
            let at = now.max(last_seen);
            request.released_at = Some(at);
            if let Some(storm) = storm {
                self.storms[storm].ended_at.get_or_insert(at);
            }
        }
        true
    }

    /// The incident of a request is needed again, although it had ended and was forgotten.
    fn recall(&mut self, reference: &RequestRef) {
        let request = self.requests.get_mut(reference).unwrap();
        // If it had finished, its cooldown was over, and stays so if the clock has gone back.
        request.released_at = request.released_at.map(|_| Timestamp::default());
        let incident = Incident {
            generation: reference.id.generation,
            own: reference.clone(),
            storm: None,
            resource: request.resource.clone(),
            first_seen: request.first_seen,
            last_seen: request.last_seen,
            count: request.occurrences,
            resolved_at: request.resolved_at,
            urgency: request.urgency,
        };
        self.incidents.insert(request.fingerprint, incident);
    }

    /// A storm that has been quiet for long enough ends when somebody looks at it. The engine may have looked.
    pub fn end_as(&mut self, latest: Timestamp, ended_at: &dyn Fn(&RequestRef) -> Option<Timestamp>) {
        for storm in self.storms.iter_mut().filter(|storm| storm.ended_at.is_none()) {
            let end = storm.last_seen + storm.rule.quiet;
            if end <= latest && ended_at(&storm.request) == Some(end) {
                storm.ended_at = Some(end);
            }
        }
    }

    /// Time passes.
    pub fn tick(&mut self, policy: &Policy, now: Timestamp, memory: &impl Memory) {
        for request in self.requests.values_mut() {
            request.held_until = request.held_until.filter(|until| *until > now);
        }
        for storm in 0..self.storms.len() {
            self.storm_is_open(storm, now);
        }
        self.forget_old_groups(now);
        let is_open = |fingerprint: &Fingerprint| self.is_open_by_itself(policy, *fingerprint, now);
        let open: Vec<Fingerprint> = self.incidents.keys().copied().filter(is_open).collect();
        for (index, storm) in self.storms.iter_mut().enumerate() {
            let has_open_member = open.iter().any(|open| self.incidents[open].storm == Some(index));
            let is_old = storm.ended_at.is_some_and(|ended_at| now >= ended_at + policy.storm_memory);
            storm.is_needed = !storm.forgotten && (!is_old || has_open_member);
            storm.forgotten = !memory.has_storm(&storm.request);
            let lost = storm.is_needed && storm.forgotten;
            assert!(!lost, "the engine has forgotten the storm of {}, which is still needed", storm.request);
        }
        let counted: Vec<Fingerprint> = self
            .incidents
            .keys()
            .copied()
            .filter(|fingerprint| self.is_counted(policy, *fingerprint, now))
            .collect();
        self.incidents.retain(|fingerprint, incident| {
            let counts = counted.contains(fingerprint);
            let is_member = incident.storm.is_some_and(|storm| self.storms[storm].is_needed);
            let is_needed = open.contains(fingerprint) || counts || is_member;
            let is_remembered = memory.has_problem(fingerprint);
            assert!(
                is_remembered || !is_needed,
                "the engine has forgotten {fingerprint}, which is still needed"
            );
            if !is_remembered {
                self.last_forgotten = self.last_forgotten.max(incident.generation);
            }
            is_remembered
        });
        self.count_no_forgotten_ones();
    }

    /// Incidents that are remembered.
    pub fn remembered(&self) -> usize {
        self.incidents.len()
    }

    /// Firing signals that are counted on requests which are not in the sink.
    pub fn held_occurrences(&self) -> u64 {
        let held = self.requests.values().filter(|request| request.held_until.is_some());
        held.map(|request| request.occurrences).sum()
    }

    pub(super) fn verdict(
        &self,
        kind: DecisionKind,
        fingerprint: Fingerprint,
        opened_storm: bool,
    ) -> Verdict {
        let incident = &self.incidents[&fingerprint];
        let reference = self.counting_request(fingerprint);
        let storm = incident.storm.map(|storm| &self.storms[storm]);
        // Which request a held signal counts on is open until it is published or a storm has taken it in.
        let is_undecided = storm.is_none() && self.requests[&reference].held_until.is_some();
        Verdict {
            kind,
            request: (!is_undecided).then_some(reference),
            seen: Some((incident.count, incident.first_seen, incident.last_seen)),
            storm: storm.map(|storm| VerdictStorm {
                rule: storm.rule.name.to_string(),
                alert_count: storm.members.len() as u64,
            }),
            opened_storm,
        }
    }
}
