//! What the engine and the naive model are compared by: the answer to a signal, and the requests in the sink.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use seawall_model::{
    Affected, Decision, DecisionKind, Fingerprint, Millis, RequestDoc, RequestId, RequestRef, RequestState,
    Signal, Timestamp,
};

use crate::naive::{Naive, Urgency};

/// Namespace, kind and name.
pub type ResourceParts = (String, String, String);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource(pub ResourceParts);

impl Resource {
    pub fn of(signal: &Signal) -> Self {
        let identity = &signal.identity;
        Self((identity.namespace.to_string(), identity.kind.to_string(), identity.resource.to_string()))
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, kind, name) = &self.0;
        write!(f, "{namespace}/{kind}/{name}")
    }
}

/// The comparable part of a [`Decision`].
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub kind: DecisionKind,
    pub request: Option<RequestRef>,
    /// Count, first seen, last seen; nothing for a resolved signal of an unknown problem.
    pub seen: Option<(u64, Timestamp, Timestamp)>,
    pub storm: Option<VerdictStorm>,
    pub opened_storm: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VerdictStorm {
    pub rule: String,
    pub alert_count: u64,
}

impl Verdict {
    pub fn unknown_resolved() -> Self {
        Self { kind: DecisionKind::Resolved, request: None, seen: None, storm: None, opened_storm: false }
    }
}

impl From<&Decision> for Verdict {
    fn from(decision: &Decision) -> Self {
        let is_known = decision.kind != DecisionKind::Resolved || decision.count > 0;
        Self {
            kind: decision.kind,
            request: decision.request.clone(),
            seen: is_known.then_some((decision.count, decision.first_seen, decision.last_seen)),
            storm: decision
                .storm
                .as_ref()
                .map(|storm| VerdictStorm { rule: storm.rule.to_string(), alert_count: storm.alert_count }),
            opened_storm: decision.opened_storm,
        }
    }
}

/// The requests that exist in the sink.
pub type Sink = BTreeMap<RequestRef, SinkRequest>;

#[derive(Clone, Debug, PartialEq)]
pub struct SinkRequest {
    pub fingerprint: Fingerprint,
    pub resource: Resource,
    pub urgency: Urgency,
    pub occurrences: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub superseded_by: Option<RequestId>,
    pub related: BTreeSet<RequestId>,
    pub storm: Option<SinkStorm>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SinkStorm {
    pub rule: String,
    pub window: Millis,
    pub alert_count: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub successor: Option<RequestId>,
    pub supersedes: BTreeSet<RequestId>,
    pub truncated: bool,
    /// First seen, last seen and count of every listed resource.
    pub affected: BTreeMap<Resource, (Timestamp, Timestamp, u64)>,
}

impl SinkRequest {
    pub fn read(doc: &RequestDoc, state: &RequestState) -> Self {
        let identity = &doc.identity;
        Self {
            fingerprint: doc.fingerprint,
            resource: Resource((
                identity.namespace.to_string(),
                identity.kind.to_string(),
                identity.resource.to_string(),
            )),
            urgency: Urgency { severity: state.severity, priority: state.priority, path: state.path },
            occurrences: state.occurrences,
            first_seen: state.first_seen,
            last_seen: state.last_seen,
            resolved_at: state.resolved_at,
            superseded_by: state.superseded_by,
            related: state.related.iter().copied().collect(),
            storm: state.storm.as_ref().map(|storm| SinkStorm {
                rule: storm.rule.to_string(),
                window: storm.window,
                alert_count: storm.alert_count,
                first_seen: storm.first_seen,
                last_seen: storm.last_seen,
                ended_at: storm.ended_at,
                successor: storm.successor,
                supersedes: storm.supersedes.iter().copied().collect(),
                truncated: storm.truncated,
                affected: listed(&storm.affected),
            }),
        }
    }

    pub fn alert_count(&self) -> Option<u64> {
        self.storm.as_ref().map(|storm| storm.alert_count)
    }
}

fn listed(affected: &[Affected]) -> BTreeMap<Resource, (Timestamp, Timestamp, u64)> {
    let mut by_resource = BTreeMap::new();
    for one in affected {
        let parts = (one.namespace.to_string(), one.kind.to_string(), one.name.to_string());
        let twice = by_resource.insert(Resource(parts), (one.first_seen, one.last_seen, one.count));
        assert!(twice.is_none(), "{one:?} is listed twice");
    }
    by_resource
}

impl Naive {
    /// The requests that should exist in the sink.
    pub fn sink(&self, sample: usize) -> Sink {
        let visible = self.requests.iter().filter(|(_, request)| request.held_until.is_none());
        visible.map(|(reference, _)| (reference.clone(), self.sink_request(reference, sample))).collect()
    }

    fn sink_request(&self, reference: &RequestRef, sample: usize) -> SinkRequest {
        let request = &self.requests[reference];
        SinkRequest {
            fingerprint: request.fingerprint,
            resource: request.resource.clone(),
            urgency: request.urgency,
            occurrences: request.occurrences,
            first_seen: request.first_seen,
            last_seen: request.last_seen,
            resolved_at: request.resolved_at,
            superseded_by: request.superseded_by,
            related: request.related.clone(),
            storm: request.storm.map(|index| self.sink_storm(index, sample)),
        }
    }

    fn sink_storm(&self, index: usize, sample: usize) -> SinkStorm {
        let storm = &self.storms[index];
        let request = &self.requests[&storm.request];
        let mut affected: BTreeMap<Resource, (Timestamp, Timestamp, u64)> = BTreeMap::new();
        let mut truncated = false;
        for member in &storm.members {
            let is_new = !affected.contains_key(&member.resource);
            if is_new && affected.len() == sample {
                truncated = true;
                continue;
            }
            let fresh = (member.first_seen, member.last_seen, 0);
            let (first_seen, last_seen, count) = affected.entry(member.resource.clone()).or_insert(fresh);
            *first_seen = (*first_seen).min(member.first_seen);
            *last_seen = (*last_seen).max(member.last_seen);
            *count += member.count;
        }
        SinkStorm {
            rule: storm.rule.name.to_string(),
            window: storm.rule.window,
            alert_count: storm.members.len() as u64,
            first_seen: request.first_seen,
            last_seen: request.last_seen,
            ended_at: storm.ended_at,
            successor: storm.successor.map(|successor| self.storms[successor].request.id),
            supersedes: storm.supersedes.clone(),
            truncated,
            affected,
        }
    }
}
