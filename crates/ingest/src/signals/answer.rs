//! What a sender is told about its alerts.

use std::fmt;

use compact_str::CompactString;
use seawall_model::{
    Decision, DecisionKind, Fingerprint, Priority, RemediationPath, RequestId, RequestRef, Signal, Timestamp,
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// What became of one alert.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignalAnswer<'a> {
    /// `created`, `duplicate`, `aggregated`, `accepted`, `resolved`, `suppressed`, or `rejected` among several.
    status: &'static str,
    /// Only in the answer for a single alert; otherwise it is beside `results`.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Position in the body, from 0; only among several.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[a-f0-9]{64}$")]
    fingerprint: Option<Fingerprint>,
    #[schema(value_type = String)]
    message: Message<'a>,
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    remediation_request_name: Option<Shown<RequestId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation_request_namespace: Option<&'a str>,
    /// `namespace/name` of the request a duplicate is counted on.
    #[serde(rename = "originalCRD", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    original_crd: Option<Shown<&'a RequestRef>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation_path: Option<RemediationPath>,
    is_storm: bool,
    /// `rate` or `flood`.
    #[serde(skip_serializing_if = "Option::is_none")]
    storm_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storm: Option<StormAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<CountAnswer>,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StormAnswer<'a> {
    rule: &'a str,
    pattern: &'a str,
    /// Distinct fingerprints in the storm, this one included.
    alert_count: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CountAnswer {
    /// Firing signals of this incident since `firstSeen`.
    count: u64,
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
}

/// What became of several alerts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BodyAnswer<'a> {
    /// The most that happened to any of them.
    pub(crate) status: &'static str,
    pub(crate) request_id: &'a str,
    /// In the order of the body; above 1000 alerts only rejected ones, 100 at most.
    pub(crate) results: Vec<SignalAnswer<'a>>,
    /// Whether `results` is shorter than the body.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) truncated: bool,
    pub(crate) summary: Summary,
}

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
    pub(crate) fn status(&self) -> &'static str {
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

impl<'a> SignalAnswer<'a> {
    pub(crate) fn decided(echo: &'a Echo, decision: &'a Decision, timestamp: Timestamp) -> Self {
        let request = decision.request.as_ref();
        let duplicate = decision.kind == DecisionKind::Duplicate;
        let storm = decision.storm.as_ref();
        Self {
            status: decision.kind.as_str(),
            fingerprint: Some(echo.fingerprint),
            message: Message::Decided(decision),
            duplicate,
            remediation_request_name: request.map(|request| Shown(request.id)),
            remediation_request_namespace: request.map(|request| request.namespace.as_str()),
            original_crd: request.filter(|_| duplicate).map(Shown),
            environment: Some(&echo.environment),
            priority: Some(echo.priority),
            remediation_path: Some(echo.path),
            is_storm: storm.is_some(),
            storm_type: storm.map(|storm| storm.storm_type),
            storm: storm.map(|storm| StormAnswer {
                rule: &storm.rule,
                pattern: &storm.pattern,
                alert_count: storm.alert_count,
            }),
            // Nothing is counted for a problem that is over before it was known.
            metadata: (decision.count > 0).then_some(CountAnswer {
                count: decision.count,
                first_seen: decision.first_seen,
                last_seen: decision.last_seen,
            }),
            ..Self::undecided(decision.kind.as_str(), "", timestamp)
        }
    }

    /// An alert that did not reach the store.
    pub(crate) fn undecided(status: &'static str, reason: &'a str, timestamp: Timestamp) -> Self {
        Self {
            status,
            request_id: None,
            index: None,
            fingerprint: None,
            message: Message::Reason(reason),
            duplicate: false,
            remediation_request_name: None,
            remediation_request_namespace: None,
            original_crd: None,
            environment: None,
            priority: None,
            remediation_path: None,
            is_storm: false,
            storm_type: None,
            storm: None,
            metadata: None,
            timestamp,
        }
    }

    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    pub(crate) fn alone(mut self, request_id: &'a str) -> Self {
        self.request_id = Some(request_id);
        self
    }
}

/// Text that is made while it is written.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A sentence for people.
enum Message<'a> {
    Decided(&'a Decision),
    Reason(&'a str),
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = match self {
            Self::Reason(reason) => return f.write_str(reason),
            Self::Decided(decision) => decision,
        };
        match (decision.kind, &decision.request, &decision.storm) {
            (DecisionKind::Created, Some(request), Some(storm)) => {
                write!(f, "New problem; request {request} was created for the storm `{}`.", storm.pattern)
            }
            (DecisionKind::Created, Some(request), None) => {
                write!(f, "New problem; request {request} was created.")
            }
            (DecisionKind::Accepted | DecisionKind::Created, ..) => f.write_str(
                "New problem; it is recorded, and its request follows shortly unless it joins a storm.",
            ),
            (DecisionKind::Duplicate, Some(request), _) => {
                write!(f, "Repeat of a known problem, seen {} times; counted on {request}.", decision.count)
            }
            (DecisionKind::Duplicate, None, _) => {
                write!(f, "Repeat of a problem whose request follows shortly, seen {} times.", decision.count)
            }
            (DecisionKind::Aggregated, Some(request), Some(storm)) => {
                let (pattern, alerts) = (&storm.pattern, storm.alert_count);
                write!(f, "Part of the storm `{pattern}` of {alerts} problems; counted on {request}.")
            }
            (DecisionKind::Aggregated, ..) => f.write_str("Part of a storm whose request follows shortly."),
            (DecisionKind::Resolved, Some(request), _) => {
                write!(f, "The problem is over, as is noted on {request}.")
            }
            (DecisionKind::Resolved, None, _) => {
                f.write_str("The problem is over; there was nothing to note it on.")
            }
        }
    }
}
