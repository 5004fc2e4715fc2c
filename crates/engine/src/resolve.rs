//! The problem is over, says the sender.

use seawall_model::{Decision, DecisionKind, Policy, Timestamp};

use crate::engine::Engine;
use crate::incident::Moment;

impl Engine {
    /// Marks an incident as resolved, and its storm when that was the last one. It never creates anything and neither
    /// stops nor restarts the silence timer, so a flapping alert does not make a request per flap.
    pub(crate) fn resolve(&mut self, policy: &Policy, known: Option<u32>, now: Timestamp) -> Decision {
        let Some((index, incident)) = known.and_then(|index| Some((index, self.incidents.get_mut(index)?)))
        else {
            return Decision {
                kind: DecisionKind::Resolved,
                request: None,
                count: 0,
                first_seen: now,
                last_seen: now,
                storm: None,
                opened_storm: false,
            };
        };
        let now = now.max(incident.pulse.last_seen);
        let namespace = incident.identity().namespace;
        if incident.pulse.resolved_at == Moment::NONE {
            incident.pulse.resolved_at = Some(now).into();
            incident.pulse.flaps = incident.pulse.flaps.saturating_add(1);
            let storm_index = incident.storm;
            self.touch(index);
            if let Some(storm) = self.storms.get_mut(storm_index) {
                storm.unresolved = storm.unresolved.saturating_sub(1);
                if storm.unresolved == 0 {
                    storm.course.resolved_at = Some(now);
                }
                self.storm_changed(storm_index, now);
            } else {
                self.own_changed(policy, index);
            }
        }
        self.decision(policy, DecisionKind::Resolved, index, &namespace)
    }
}
