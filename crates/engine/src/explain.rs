//! Why a problem is where it is, told from the state: nothing is logged per signal.

use std::sync::Arc;

use seawall_model::{Fingerprint, Identity, Millis, Policy, RequestRef, Timestamp};

use crate::engine::{Engine, Standing};
use crate::incident::Opening;
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

/// What is told about an incident, wherever it is kept.
#[derive(Clone, Debug)]
pub struct ToldIncident {
    pub fingerprint: Fingerprint,
    pub identity: Identity,
    pub first_seen: Timestamp,
    pub count: u64,
    pub last_seen: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub flaps: u32,
    pub released_at: Option<Timestamp>,
    pub is_held: bool,
    /// What the deciding group counted when it opened.
    pub seen: u32,
    pub opening: Opening,
    /// Its own request, which exists only while it is neither held nor a member of a storm.
    pub own: RequestRef,
}

/// What is told about the storm that an incident is a member of.
#[derive(Clone, Debug)]
pub struct ToldStorm {
    pub record: StormRecord,
    pub threshold: u32,
    /// Distinct fingerprints that the window held when the rule tripped.
    pub counted: u32,
    pub window: Millis,
    pub released_at: Option<Timestamp>,
}

impl Engine {
    pub fn explain(&self, policy: &Policy, fingerprint: &Fingerprint, now: Timestamp) -> Option<Explanation> {
        let index = self.find(fingerprint)?;
        let incident = self.incidents.get(index)?;
        let identity = incident.identity();
        let told = ToldIncident {
            fingerprint: *fingerprint,
            first_seen: incident.first_seen,
            count: incident.pulse.count,
            last_seen: incident.pulse.last_seen,
            resolved_at: incident.pulse.resolved_at.get(),
            flaps: incident.pulse.flaps,
            released_at: incident.pulse.released_at.get(),
            is_held: incident.is_held(),
            seen: incident.seen,
            opening: incident.opening,
            own: Self::request_ref(policy, &identity.namespace, incident.own_request()),
            identity,
        };
        let storm = self.storms.get(incident.storm).map(|storm| ToldStorm {
            record: storm.view(),
            threshold: storm.facts.threshold,
            counted: storm.facts.counted,
            window: storm.facts.window,
            released_at: storm.course.released_at,
        });
        let open = self.standing(policy, index, now) != Standing::Over;
        Some(Explanation::tell(policy, told, storm, open))
    }
}

impl Explanation {
    /// Tells it in sentences. `open`: whether a further firing signal would be a duplicate.
    pub fn tell(policy: &Policy, incident: ToldIncident, storm: Option<ToldStorm>, open: bool) -> Self {
        let mut decisions = vec![first(&incident, storm.as_ref())];
        if incident.count > 1 {
            decisions.push(repeats(&incident, storm.as_ref()));
        }
        if let Some(at) = incident.resolved_at {
            let reason = format!(
                "reported as resolved, for the {} time; this neither closes the request nor stops the silence timer",
                ordinal(u64::from(incident.flaps))
            );
            decisions.push(ExplainedDecision { at, decision: "resolved", rule: None, reason });
        }
        decisions.extend(release(policy, &incident, storm.as_ref()));
        if !open {
            decisions.push(end(policy, &incident, storm.as_ref()));
        }
        decisions.sort_by_key(|decision| decision.at);
        let request = match &storm {
            Some(storm) => Some(storm.record.request.clone()),
            None => (!incident.is_held).then_some(incident.own),
        };
        Self {
            fingerprint: incident.fingerprint,
            identity: incident.identity,
            open,
            request,
            storm: storm.map(|storm| storm.record),
            decisions,
        }
    }
}

fn first(incident: &ToldIncident, storm: Option<&ToldStorm>) -> ExplainedDecision {
    let at = incident.first_seen;
    let rule = storm.map(|storm| storm.record.rule.clone());
    let seen = incident.seen;
    let (decision, reason) = match (incident.opening, storm) {
        (Opening::Recalled, _) => ("created", "taken back from the requests on disk".to_owned()),
        (Opening::Continued, Some(storm)) => (
            "created",
            format!(
                "the storm `{}` had reached its longest duration and was continued with this request",
                storm.record.rule
            ),
        ),
        (Opening::Tripped, Some(storm)) => {
            ("aggregated", format!("{}; this signal made the rule trip", tripped(storm)))
        }
        (Opening::Joined, Some(storm)) => (
            "aggregated",
            format!(
                "a new problem in the group of the open storm `{}` ({})",
                storm.record.pattern,
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
        (Opening::Held, None) if incident.is_held => (
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

fn tripped(storm: &ToldStorm) -> String {
    format!(
        "rule `{}` counted {} distinct new problems within {} s, its threshold is {}",
        storm.record.rule,
        storm.counted,
        storm.window / 1000,
        storm.threshold
    )
}

fn repeats(incident: &ToldIncident, storm: Option<&ToldStorm>) -> ExplainedDecision {
    let count = incident.count;
    let reason = match storm {
        Some(storm) => format!(
            "{count} firing signals in all; repeats count on the storm's request {}",
            storm.record.request
        ),
        None => format!(
            "{count} firing signals in all while the incident was open; each restarts the silence timer"
        ),
    };
    ExplainedDecision { at: incident.last_seen, decision: "duplicate", rule: None, reason }
}

fn release(policy: &Policy, incident: &ToldIncident, storm: Option<&ToldStorm>) -> Option<ExplainedDecision> {
    let at = match storm {
        Some(storm) => storm.released_at?,
        None => incident.released_at?,
    };
    let reason = format!(
        "a worker finished the request; signals within the cooldown of {} s still count on it",
        policy.cooldown / 1000
    );
    Some(ExplainedDecision { at, decision: "released", rule: None, reason })
}

fn end(policy: &Policy, incident: &ToldIncident, storm: Option<&ToldStorm>) -> ExplainedDecision {
    let released = storm.map_or(incident.released_at, |storm| storm.released_at);
    let (at, reason) = match released {
        Some(released) => {
            (released + policy.cooldown, "the cooldown after the request was finished is over".to_owned())
        }
        None => (incident.last_seen + policy.ttl, format!("no firing signal for {} s", policy.ttl / 1000)),
    };
    ExplainedDecision {
        at,
        decision: "ended",
        rule: None,
        reason: reason + "; the next signal opens a new incident",
    }
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
