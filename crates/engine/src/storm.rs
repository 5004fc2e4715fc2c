//! A group whose rule has tripped: many problems that are one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use compact_str::CompactString;
use seawall_model::{
    Affected, Fingerprint, Identity, Millis, Phase, RequestId, RequestRef, RequestState, Signal, StormRule,
    StormState, StormSummary, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::group::GroupKey;
use crate::incident::{Incident, Urgency};

/// What a storm is and was opened with. The rule's numbers are kept, so a changed configuration does not change an open
/// storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StormFacts {
    /// The leader's problem, which the storm's request is named after.
    pub fingerprint: Fingerprint,
    pub request: RequestRef,
    pub rule: Arc<str>,
    pub storm_type: CompactString,
    pub pattern: Arc<str>,
    pub group: GroupKey,
    pub group_by: Vec<(CompactString, CompactString)>,
    pub threshold: u32,
    /// Distinct fingerprints that the window held when the rule tripped.
    pub counted: u32,
    pub window: Millis,
    pub quiet: Millis,
    pub max_duration: Millis,
    pub flush: Millis,
    pub sample: usize,
    pub opened_at: Timestamp,
}

/// What changes about a storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StormCourse {
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub successor: Option<RequestId>,
    pub alert_count: u64,
    pub occurrences: u64,
    pub resolved_at: Option<Timestamp>,
    pub urgency: Urgency,
    pub phase: Phase,
    pub released_at: Option<Timestamp>,
    pub hold_until: Option<Timestamp>,
    pub sequence: u64,
    pub supersedes: Vec<RequestId>,
    pub related: Vec<RequestId>,
}

pub(crate) struct Storm {
    pub facts: StormFacts,
    pub course: StormCourse,
    pub sample: Sample,
    /// Whether the sample does not follow from the members, because not all of them are known.
    pub keeps_sample: bool,
    /// Incidents in the order in which they joined; those that moved on or ended are no longer in this storm.
    pub members: Vec<u32>,
    /// Incidents in memory that belong to it.
    pub living: u64,
    /// Of those, not resolved.
    pub unresolved: u64,
    pub changed: bool,
    pub flushing: bool,
}

impl Storm {
    pub(crate) fn is_open(&self) -> bool {
        self.course.ended_at.is_none()
    }

    /// When it ends unless another signal comes.
    pub(crate) fn ends_at(&self) -> Timestamp {
        self.course.last_seen + self.facts.quiet
    }

    pub(crate) fn summary(&self) -> StormSummary {
        StormSummary {
            rule: self.facts.rule.clone(),
            storm_type: storm_type(&self.facts.storm_type),
            pattern: self.facts.pattern.clone(),
            alert_count: self.course.alert_count,
        }
    }

    pub(crate) fn request_state(&self, epoch: u64) -> RequestState {
        let course = &self.course;
        RequestState {
            severity: course.urgency.severity,
            priority: course.urgency.priority,
            path: course.urgency.path,
            occurrences: course.occurrences,
            first_seen: course.first_seen,
            last_seen: course.last_seen,
            resolved_at: course.resolved_at,
            superseded_by: None,
            related: course.related.clone(),
            storm: Some(StormState {
                rule: self.facts.rule.clone(),
                storm_type: self.facts.storm_type.clone(),
                pattern: self.facts.pattern.clone(),
                window: self.facts.window,
                group_by: self.facts.group_by.clone(),
                alert_count: course.alert_count,
                affected: self.sample.affected.clone(),
                truncated: self.sample.truncated,
                first_seen: course.first_seen,
                last_seen: course.last_seen,
                ended_at: course.ended_at,
                successor: course.successor,
                supersedes: course.supersedes.clone(),
            }),
            epoch,
            sequence: course.sequence,
        }
    }
}

pub(crate) fn storm_type(text: &str) -> &'static str {
    if text == "rate" { "rate" } else { "flood" }
}

/// `<alertname> in <namespace>`, `<alertname> on cluster-scoped resources`; a rule that looks across names shows its own.
pub(crate) fn pattern(rule: &StormRule, signal: &Signal) -> Arc<str> {
    let by_name = rule.storm_type() == "rate";
    let what = if by_name { signal.identity.name.as_str() } else { &rule.name };
    match signal.identity.namespace.as_str() {
        "" => format!("{what} on cluster-scoped resources").into(),
        namespace => format!("{what} in {namespace}").into(),
    }
}

/// The affected resources that a storm lists: the first ones, each once, with exact counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub affected: Vec<Affected>,
    /// Whether there are resources beyond the list.
    pub truncated: bool,
    /// Where a resource stands in the list, by the hash of its name.
    #[serde(skip)]
    places: HashMap<u64, usize>,
}

impl Sample {
    pub(crate) fn new(affected: Vec<Affected>, truncated: bool) -> Self {
        let mut sample = Self { affected, truncated, places: HashMap::new() };
        sample.index();
        sample
    }

    /// Counts an incident that joins: everything it was seen for so far.
    pub(crate) fn join(&mut self, identity: &Identity, incident: &Incident, limit: usize) {
        let place = place_of(identity);
        if let Some(affected) = self.places.get(&place).and_then(|at| self.affected.get_mut(*at)) {
            affected.first_seen = affected.first_seen.min(incident.first_seen);
            affected.last_seen = affected.last_seen.max(incident.pulse.last_seen);
            affected.count += incident.pulse.count;
        } else if self.affected.len() < limit {
            self.places.insert(place, self.affected.len());
            self.affected.push(Affected {
                kind: identity.kind.clone(),
                name: identity.resource.clone(),
                namespace: identity.namespace.clone(),
                first_seen: incident.first_seen,
                last_seen: incident.pulse.last_seen,
                count: incident.pulse.count,
            });
        } else {
            self.truncated = true;
        }
    }

    /// Counts one more signal about a resource.
    pub(crate) fn repeat(&mut self, identity: &Identity, now: Timestamp) {
        if let Some(at) = self.places.get(&place_of(identity))
            && let Some(affected) = self.affected.get_mut(*at)
        {
            affected.last_seen = affected.last_seen.max(now);
            affected.count += 1;
        }
    }

    /// Finds the places again after the list was read from disk.
    pub(crate) fn index(&mut self) {
        let place = |(at, affected): (usize, &Affected)| {
            (hash_of([&affected.kind, &affected.name, &affected.namespace]), at)
        };
        self.places = self.affected.iter().enumerate().map(place).collect();
    }
}

fn place_of(identity: &Identity) -> u64 {
    hash_of([&identity.kind, &identity.resource, &identity.namespace])
}

/// Only for finding a place again in this process, so a quick hash will do.
fn hash_of(parts: [&str; 3]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}
