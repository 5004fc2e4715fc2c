//! What a sender is told about its alerts.

use std::fmt::Write;

use compact_str::CompactString;
use seawall_model::{Decision, DecisionKind, Fingerprint, Priority, RemediationPath, Signal, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::json::{Object, decimal};

/// Bytes of one result, roughly.
const RESULT_SIZE: usize = 600;

/// How many of the alerts became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Summary {
    pub(crate) total: u64,
    pub(crate) created: u64,
    pub(crate) duplicate: u64,
    pub(crate) aggregated: u64,
    pub(crate) accepted: u64,
    pub(crate) resolved: u64,
    pub(crate) suppressed: u64,
    pub(crate) rejected: u64,
}

impl Summary {
    pub(crate) fn count(&mut self, kind: DecisionKind) {
        *match kind {
            DecisionKind::Created => &mut self.created,
            DecisionKind::Accepted => &mut self.accepted,
            DecisionKind::Duplicate => &mut self.duplicate,
            DecisionKind::Aggregated => &mut self.aggregated,
            DecisionKind::Resolved => &mut self.resolved,
        } += 1;
    }

    /// One word for all of them: the most that happened.
    fn status(&self) -> &'static str {
        let by_weight = [
            (self.created, "created"),
            (self.accepted, "accepted"),
            (self.aggregated, "aggregated"),
            (self.duplicate, "duplicate"),
            (self.resolved, "resolved"),
            (self.suppressed, "suppressed"),
        ];
        // Nothing at all was asked, and that is accepted.
        by_weight.into_iter().find(|(count, _)| *count > 0).map_or("accepted", |(_, status)| status)
    }

    fn write(&self, object: &mut Object<'_>) {
        object.number("total", self.total);
        object.number("created", self.created);
        object.number("duplicate", self.duplicate);
        object.number("aggregated", self.aggregated);
        object.number("accepted", self.accepted);
        object.number("resolved", self.resolved);
        object.number("suppressed", self.suppressed);
        object.number("rejected", self.rejected);
    }
}

/// The parts of a signal that its answer repeats; the signal itself goes to the store.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    fingerprint: Fingerprint,
    environment: CompactString,
    priority: Priority,
    path: RemediationPath,
}

impl Echo {
    pub(crate) fn of(signal: &Signal) -> Self {
        Self {
            fingerprint: signal.fingerprint,
            environment: signal.environment.clone(),
            priority: signal.priority,
            path: signal.path,
        }
    }
}

/// What became of one alert.
pub(crate) enum Outcome<'a> {
    Decided(&'a Echo, &'a Decision),
    Suppressed(&'a str),
    Rejected(&'a str),
}

/// Writes answers about one request.
pub(crate) struct AnswerWriter<'a> {
    request_id: &'a str,
    received: Timestamp,
    out: Vec<u8>,
    /// `namespace/name` of the request that is being written about.
    reference: String,
}

impl<'a> AnswerWriter<'a> {
    pub(crate) fn new(request_id: &'a str, received: Timestamp, results: usize) -> Self {
        let out = Vec::with_capacity((results + 1) * RESULT_SIZE);
        Self { request_id, received, out, reference: String::new() }
    }

    /// The answer for a body of one alert.
    pub(crate) fn single(mut self, outcome: &Outcome<'_>) -> Vec<u8> {
        self.result(outcome, None);
        self.out
    }

    /// The answer for a body of several alerts. `results` come with their position in the body.
    pub(crate) fn several<'r>(
        mut self,
        results: impl Iterator<Item = (usize, Outcome<'r>)>,
        truncated: bool,
        summary: &Summary,
    ) -> Vec<u8> {
        let mut object = Object::begin(&mut self.out);
        object.plain("status", summary.status().as_bytes());
        object.text("requestId", self.request_id);
        object.value("results").push(b'[');
        for (count, (index, outcome)) in results.enumerate() {
            if count > 0 {
                self.out.push(b',');
            }
            self.result(&outcome, Some(index));
        }
        self.out.extend_from_slice(if truncated {
            b"],\"truncated\":true,\"summary\":"
        } else {
            b"],\"summary\":"
        });
        let mut object = Object::begin(&mut self.out);
        summary.write(&mut object);
        object.end();
        self.out.push(b'}');
        self.out
    }

    fn result(&mut self, outcome: &Outcome<'_>, index: Option<usize>) {
        let mut object = Object::begin(&mut self.out);
        let status = match outcome {
            Outcome::Decided(_, decision) => decision.kind.as_str(),
            Outcome::Suppressed(_) => "suppressed",
            Outcome::Rejected(_) => "rejected",
        };
        object.plain("status", status.as_bytes());
        match index {
            Some(index) => object.number("index", index as u64),
            None => object.text("requestId", self.request_id),
        }
        match outcome {
            Outcome::Decided(echo, decision) => decided(&mut object, &mut self.reference, echo, decision),
            Outcome::Suppressed(reason) | Outcome::Rejected(reason) => {
                object.text("message", reason);
                object.flag("duplicate", false);
                object.flag("isStorm", false);
            }
        }
        time(&mut object, "timestamp", self.received);
        object.end();
    }
}

fn decided(object: &mut Object<'_>, reference: &mut String, echo: &Echo, decision: &Decision) {
    reference.clear();
    if let Some(request) = &decision.request {
        // Writing to a string does not fail.
        let _ = write!(reference, "{request}");
    }
    object.plain("fingerprint", &echo.fingerprint.hex());
    message(object, reference, decision);
    object.flag("duplicate", decision.kind == DecisionKind::Duplicate);
    if let Some((namespace, name)) = reference.split_once('/') {
        object.text("remediationRequestName", name);
        object.text("remediationRequestNamespace", namespace);
        if decision.kind == DecisionKind::Duplicate {
            object.text("originalCRD", reference);
        }
    }
    object.text("environment", &echo.environment);
    object.plain("priority", echo.priority.as_str().as_bytes());
    object.plain("remediationPath", echo.path.as_str().as_bytes());
    object.flag("isStorm", decision.storm.is_some());
    if let Some(storm) = &decision.storm {
        object.text("stormType", storm.storm_type);
        let mut inner = Object::begin(object.value("storm"));
        inner.text("rule", &storm.rule);
        inner.text("pattern", &storm.pattern);
        inner.number("alertCount", storm.alert_count);
        inner.end();
    }
    // Nothing is counted for a problem that is over before it was known.
    if decision.count > 0 {
        let mut inner = Object::begin(object.value("metadata"));
        inner.number("count", decision.count);
        time(&mut inner, "firstSeen", decision.first_seen);
        time(&mut inner, "lastSeen", decision.last_seen);
        inner.end();
    }
}

/// A sentence for people.
fn message(object: &mut Object<'_>, reference: &str, decision: &Decision) {
    let (mut count, mut alerts) = ([0; 20], [0; 20]);
    let count = decimal(&mut count, decision.count);
    let storm = decision.storm.as_ref();
    let pattern = storm.map_or("", |storm| &storm.pattern);
    let alerts = decimal(&mut alerts, storm.map_or(0, |storm| storm.alert_count));
    let request = reference;
    let texts: &[&str] = match (decision.kind, request.is_empty(), storm.is_some()) {
        (DecisionKind::Created, false, true) => {
            &["New problem; request ", request, " was created for the storm `", pattern, "`."]
        }
        (DecisionKind::Created, false, false) => &["New problem; request ", request, " was created."],
        (DecisionKind::Accepted, false, _) => {
            &["New problem; it is recorded, and its request ", request, " follows shortly."]
        }
        (DecisionKind::Created | DecisionKind::Accepted, ..) => {
            &["New problem; it is recorded, and its request follows shortly unless it joins a storm."]
        }
        (DecisionKind::Duplicate, false, _) => {
            &["Repeat of a known problem, seen ", count, " times; counted on ", request, "."]
        }
        (DecisionKind::Duplicate, true, _) => {
            &["Repeat of a problem whose request follows shortly, seen ", count, " times."]
        }
        (DecisionKind::Aggregated, false, true) => {
            &["Part of the storm `", pattern, "` of ", alerts, " problems; counted on ", request, "."]
        }
        (DecisionKind::Aggregated, ..) => &["Part of a storm whose request follows shortly."],
        (DecisionKind::Resolved, false, _) => &["The problem is over, as is noted on ", request, "."],
        (DecisionKind::Resolved, true, _) => &["The problem is over; there was nothing to note it on."],
    };
    object.joined("message", texts);
}

fn time(object: &mut Object<'_>, key: &'static str, time: Timestamp) {
    match time.rfc3339() {
        Some(text) => object.plain(key, &text),
        None => object.text(key, &time.to_string()),
    }
}
