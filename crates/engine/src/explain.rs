//! Why a problem is where it is, told from the state: nothing is logged per signal.

use std::sync::Arc;

use seawall_model::{Fingerprint, Identity, Policy, RequestRef, Timestamp};

use crate::engine::{Engine, Standing};
use crate::incident::{Incident, Opening};
use crate::storm::Storm;
use crate::view::StormRecord;

/// Everything that is known about why a problem was decided as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub fingerprint: Fingerprint,
    pub identity: Identity,
    /// Whether a further firing signal would be a duplicate.
    pub open: bool,
    pub request: Option<RequestRef>,
    pub storm: Option<StormRecord>,
    /// In order of time.
    pub decisions: Vec<ExplainedDecision>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedDecision {
    pub at: Timestamp,
    /// `created`, `accepted`, `aggregated`, `duplicate`, `resolved`, `released` or `ended`.
    pub decision: &'static str,
    pub rule: Option<Arc<str>>,
    /// A sentence with the numbers that made the difference.
    pub reason: String,
}

impl Engine {
    pub fn explain(&self, policy: &Policy, fingerprint: &Fingerprint, now: Timestamp) -> Option<Explanation> {
        let index = self.find(fingerprint)?;
        let incident = self.incidents.get(index)?;
        let identity = incident.identity();
        let storm = self.storms.get(incident.storm);
        let mut decisions = vec![first(incident, storm)];
        if incident.pulse.count > 1 {
            decisions.push(repeats(incident, storm));
        }
        if let Some(at) = incident.pulse.resolved_at.get() {
            let reason = format!(
                "reported as resolved, for the {} time; this neither closes the request nor stops the silence timer",
                ordinal(u64::from(incident.pulse.flaps))
            );
            decisions.push(ExplainedDecision { at, decision: "resolved", rule: None, reason });
        }
        decisions.extend(release(policy, incident, storm));
        decisions.extend(end(policy, incident, storm, self.standing(policy, index, now)));
        decisions.sort_by_key(|decision| decision.at);
        let own = || Self::request_ref(policy, &identity.namespace, incident.own_request());
        let request = match storm {
            Some(storm) => Some(storm.facts.request.clone()),
            None => (!incident.is_held()).then(own),
        };
        Some(Explanation {
            fingerprint: *fingerprint,
            open: self.standing(policy, index, now) != Standing::Over,
            request,
            storm: storm.map(Storm::view),
            decisions,
            identity,
        })
    }
}

fn first(incident: &Incident, storm: Option<&Storm>) -> ExplainedDecision {
    let at = incident.first_seen;
    let rule = storm.map(|storm| storm.facts.rule.clone());
    let seen = incident.seen;
    let (decision, reason) = match (incident.opening, storm) {
        (Opening::Recalled, _) => ("created", "taken back from the requests on disk".to_owned()),
        (Opening::Continued, Some(storm)) => (
            "created",
            format!(
                "the storm `{}` had reached its longest duration and was continued with this request",
                storm.facts.rule
            ),
        ),
        (Opening::Tripped, Some(storm)) => {
            ("aggregated", format!("{}; this signal made the rule trip", tripped(storm)))
        }
        (Opening::Joined, Some(storm)) => (
            "aggregated",
            format!(
                "a new problem in the group of the open storm `{}` ({})",
                storm.facts.pattern,
                tripped(storm)
            ),
        ),
        (Opening::Alone | Opening::Held, Some(storm)) => (
            "aggregated",
            format!(
                "the {} new problem of its group; became part of the storm when {}",
                ordinal(u64::from(seen)),
                tripped(storm)
            ),
        ),
        (Opening::Held, None) if incident.is_held() => (
            "accepted",
            format!(
                "the {} new problem of its group in a short time: its request is held back while a storm rule may still trip",
                ordinal(u64::from(seen))
            ),
        ),
        (Opening::Held, None) => (
            "created",
            format!(
                "the {} new problem of its group in a short time: held back, and published by itself because no storm rule tripped",
                ordinal(u64::from(seen))
            ),
        ),
        (_, None) => (
            "created",
            format!(
                "a new problem, the {} of its group inside the window, which no storm rule's threshold counts as a storm",
                ordinal(u64::from(seen.max(1)))
            ),
        ),
    };
    ExplainedDecision { at, decision, rule, reason }
}

fn tripped(storm: &Storm) -> String {
    let facts = &storm.facts;
    format!(
        "rule `{}` counted {} distinct new problems within {} s, its threshold is {}",
        facts.rule,
        facts.counted,
        facts.window / 1000,
        facts.threshold
    )
}

fn repeats(incident: &Incident, storm: Option<&Storm>) -> ExplainedDecision {
    let count = incident.pulse.count;
    let reason = match storm {
        Some(storm) => format!(
            "{count} firing signals in all; repeats count on the storm's request {}",
            storm.facts.request
        ),
        None => format!(
            "{count} firing signals in all while the incident was open; each restarts the silence timer"
        ),
    };
    ExplainedDecision { at: incident.pulse.last_seen, decision: "duplicate", rule: None, reason }
}

fn release(policy: &Policy, incident: &Incident, storm: Option<&Storm>) -> Option<ExplainedDecision> {
    let at = match storm {
        Some(storm) => storm.course.released_at?,
        None => incident.pulse.released_at.get()?,
    };
    let reason = format!(
        "a worker finished the request; signals within the cooldown of {} s still count on it",
        policy.cooldown / 1000
    );
    Some(ExplainedDecision { at, decision: "released", rule: None, reason })
}

fn end(
    policy: &Policy,
    incident: &Incident,
    storm: Option<&Storm>,
    standing: Standing,
) -> Option<ExplainedDecision> {
    if standing != Standing::Over {
        return None;
    }
    let at = incident.pulse.last_seen + policy.ttl;
    let released = storm.map_or(incident.pulse.released_at.get(), |storm| storm.course.released_at);
    let (at, reason) = match released {
        Some(released) => {
            (released + policy.cooldown, "the cooldown after the request was finished is over".to_owned())
        }
        None => (at, format!("no firing signal for {} s", policy.ttl / 1000)),
    };
    Some(ExplainedDecision {
        at,
        decision: "ended",
        rule: None,
        reason: reason + "; the next signal opens a new incident",
    })
}

fn ordinal(number: u64) -> String {
    let suffix = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}
