//! Taking over what counted on requests that exist although the state does not know them.

use std::cmp::Reverse;

use seawall_model::{Phase, Policy, RequestState, Timestamp};

use crate::adoption::{AdoptedIncident, AdoptedStorm, Adoption, OpenRequest};
use crate::engine::Engine;
use crate::incident::{Incident, Moment, NO_STORM, Opening, Pulse, Urgency, pack};
use crate::record::ClosedRequest;
use crate::storm::{Sample, Storm, StormCourse, StormFacts};

impl Engine {
    /// Takes over open requests of which nothing is on disk, and what counted on them; says which by their places. What is
    /// known of a problem or a group goes before what its request says. They are told as changed, so that they are written
    /// again in this epoch.
    ///
    /// What was counted in windows is not known: groups count from zero.
    pub fn adopt(&mut self, policy: &Policy, requests: &[OpenRequest<'_>], now: Timestamp) -> Vec<usize> {
        self.now = now;
        let Adoption { storms, incidents, mut closed } = Adoption::of(policy, requests, now);
        let mut adopted = Vec::new();
        for (at, incident) in incidents {
            match self.find(&incident.fingerprint) {
                Some(_) => closed.push(at),
                None => {
                    self.adopt_own(policy, &requests[at], incident);
                    adopted.push(at);
                }
            }
        }
        for storm in storms {
            let at = storm.request;
            let is_taken = self.groups.get(&storm.group).is_some_and(|group| group.storm.is_some());
            match is_taken && storm.is_open {
                true => closed.push(at),
                false => {
                    self.adopt_storm(policy, &requests[at], storm, now);
                    adopted.push(at);
                }
            }
        }
        for at in closed {
            let OpenRequest { doc, state, phase } = requests[at];
            let state = RequestState { epoch: self.epoch, sequence: self.sequence, ..state.clone() };
            let request = ClosedRequest { at: state.last_seen, phase, state };
            self.closed.push((doc.reference.clone(), Some(request)));
            adopted.push(at);
        }
        for at in &adopted {
            let doc = requests[*at].doc;
            self.raise_floor(doc.reference.id.generation);
            self.docs.push((doc.reference.clone(), Some(doc.clone())));
        }
        adopted
    }

    fn adopt_own(&mut self, policy: &Policy, request: &OpenRequest<'_>, adopted: AdoptedIncident) {
        let index = self.adopt_incident(adopted, urgency_of(request.state), request.phase, NO_STORM, 0);
        if !request.state.related.is_empty() {
            self.links.insert(index, request.state.related.clone());
        }
        self.own_changed(policy, index);
    }

    fn adopt_incident(
        &mut self,
        adopted: AdoptedIncident,
        urgency: Urgency,
        phase: Phase,
        storm: u32,
        ordinal: u32,
    ) -> u32 {
        let pulse = Pulse {
            count: adopted.count,
            last_seen: adopted.last_seen,
            resolved_at: adopted.resolved_at.into(),
            flaps: u32::from(adopted.resolved_at.is_some()),
            urgency,
            phase,
            released_at: Moment::NONE,
            hold_until: Moment::NONE,
            sequence: self.sequence,
            counted_in: 0,
        };
        let identity = pack(&adopted.identity);
        let mut incident = Incident::new(adopted.fingerprint, identity, adopted.first_seen, pulse);
        incident.generation = adopted.generation;
        incident.opening = Opening::Recalled;
        incident.told = self.now.into();
        (incident.storm, incident.ordinal) = (storm, ordinal);
        let index = self.insert(incident);
        self.touch_whole(index);
        index
    }

    fn adopt_storm(
        &mut self,
        policy: &Policy,
        request: &OpenRequest<'_>,
        adopted: AdoptedStorm<'_>,
        now: Timestamp,
    ) {
        let OpenRequest { doc, state, phase } = *request;
        let shown = adopted.shown;
        let facts = StormFacts {
            fingerprint: doc.fingerprint,
            request: doc.reference.clone(),
            rule: shown.rule.clone(),
            storm_type: shown.storm_type.clone(),
            pattern: shown.pattern.clone(),
            group: adopted.group,
            group_by: adopted.group_by,
            threshold: adopted.rule.threshold,
            counted: adopted.rule.threshold,
            window: adopted.rule.window,
            quiet: adopted.rule.quiet,
            max_duration: adopted.rule.max_duration,
            flush: adopted.rule.flush,
            sample: policy.sample,
            opened_at: adopted.opened_at,
        };
        let course = StormCourse {
            first_seen: state.first_seen,
            last_seen: state.last_seen,
            ended_at: shown.ended_at,
            successor: shown.successor,
            alert_count: shown.alert_count,
            occurrences: state.occurrences,
            resolved_at: state.resolved_at,
            urgency: urgency_of(state),
            phase,
            released_at: None,
            hold_until: None,
            sequence: self.sequence,
            supersedes: shown.supersedes.clone(),
            related: state.related.clone(),
        };
        let due = course.ended_at.unwrap_or(course.last_seen + facts.quiet);
        let storm = self.storms.insert(Storm {
            facts,
            course,
            sample: Sample::new(shown.affected.clone(), adopted.truncated),
            keeps_sample: true,
            members: Vec::new(),
            living: 0,
            unresolved: 0,
            changed: false,
            flushing: false,
        });
        self.storm_of_request.insert(doc.reference.id, storm);
        self.storm_ends.push(Reverse((due, storm)));
        if adopted.is_open {
            self.groups.entry(adopted.group).or_default().storm = Some(storm);
        }
        for (ordinal, member) in (0..).zip(adopted.members) {
            if self.find(&member.fingerprint).is_none() {
                self.adopt_member(storm, ordinal, member, urgency_of(state));
            }
        }
        self.storm_changed(storm, now);
    }

    fn adopt_member(&mut self, storm: u32, ordinal: u32, member: AdoptedIncident, urgency: Urgency) {
        let is_resolved = member.resolved_at.is_some();
        let index = self.adopt_incident(member, urgency, Phase::Waiting, storm, ordinal);
        let Some(storm) = self.storms.get_mut(storm) else { return };
        storm.members.push(index);
        storm.living += 1;
        storm.unresolved += u64::from(!is_resolved);
    }

    /// From now on everything is written in at least this epoch: above that of what was taken over.
    pub fn raise_epoch(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }
}

fn urgency_of(state: &RequestState) -> Urgency {
    Urgency { severity: state.severity, priority: state.priority, path: state.path }
}
