//! What people and programs may look at.

use std::sync::Arc;

use compact_str::CompactString;
use seawall_model::{Fingerprint, Identity, RequestId, RequestRef, Timestamp};

use crate::engine::Engine;
use crate::incident::Moment;
use crate::storm::{Storm, storm_type};

/// A storm without its members.
#[derive(Clone, Debug, PartialEq)]
pub struct StormRecord {
    /// The name of its request without `rr-`.
    pub id: String,
    pub rule: Arc<str>,
    pub storm_type: &'static str,
    pub pattern: Arc<str>,
    pub group_by: Vec<(CompactString, CompactString)>,
    pub request: RequestRef,
    pub alert_count: u64,
    pub occurrence_count: u64,
    pub opened_at: Timestamp,
    pub last_seen: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// The request of the storm that continues this one.
    pub successor: Option<RequestId>,
}

/// A problem that belongs to a storm.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberRecord {
    pub fingerprint: Fingerprint,
    pub identity: Identity,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub count: u64,
    pub resolved: bool,
}

impl Storm {
    pub(crate) fn view(&self) -> StormRecord {
        StormRecord {
            id: storm_id(&self.facts.request.id),
            rule: self.facts.rule.clone(),
            storm_type: storm_type(&self.facts.storm_type),
            pattern: self.facts.pattern.clone(),
            group_by: self.facts.group_by.clone(),
            request: self.facts.request.clone(),
            alert_count: self.course.alert_count,
            occurrence_count: self.course.occurrences,
            opened_at: self.facts.opened_at,
            last_seen: self.course.last_seen,
            ended_at: self.course.ended_at,
            successor: self.course.successor,
        }
    }
}

fn storm_id(request: &RequestId) -> String {
    request.to_string().trim_start_matches("rr-").to_owned()
}

impl Engine {
    /// Storms that are open or remembered, the newest first.
    pub fn storm_views(&self) -> Vec<StormRecord> {
        let mut storms: Vec<StormRecord> = self.storms.iter().map(|(_, storm)| storm.view()).collect();
        storms.sort_by(|one, other| other.opened_at.cmp(&one.opened_at).then_with(|| one.id.cmp(&other.id)));
        storms
    }

    /// A storm by its id, with at most `limit` members from the `skip`-th on in the order in which they joined, and
    /// whether there are more.
    pub fn storm_view(
        &self,
        id: &str,
        skip: usize,
        limit: usize,
    ) -> Option<(StormRecord, Vec<MemberRecord>, bool)> {
        let request: RequestId = format!("rr-{id}").parse().ok()?;
        let index = *self.storm_of_request.get(&request)?;
        let storm = self.storms.get(index)?;
        let current = storm.members.iter().filter_map(|member| self.incidents.get(*member));
        // A place may since have been taken by another incident, and a member may have moved on.
        let mut members = current.filter(|incident| incident.storm == index).skip(skip);
        let page = members.by_ref().take(limit).map(|incident| MemberRecord {
            fingerprint: incident.fingerprint,
            identity: incident.identity(),
            first_seen: incident.first_seen,
            last_seen: incident.pulse.last_seen,
            count: incident.pulse.count,
            resolved: incident.pulse.resolved_at != Moment::NONE,
        });
        let page = page.collect();
        Some((storm.view(), page, members.next().is_some()))
    }

    /// Open storms by rule, in the order of the rules' names.
    pub fn open_storms(&self) -> Vec<(Arc<str>, u64)> {
        let mut open = std::collections::BTreeMap::new();
        for (_, storm) in self.storms.iter().filter(|(_, storm)| storm.is_open()) {
            *open.entry(storm.facts.rule.clone()).or_insert(0) += 1;
        }
        open.into_iter().collect()
    }

    /// Requests in memory that exist: of single incidents, and of storms.
    pub fn live_request_count(&self) -> usize {
        let members: u64 = self.storms.iter().map(|(_, storm)| storm.living).sum();
        let single = self.incidents.len().saturating_sub(usize::try_from(members).unwrap_or(usize::MAX));
        (single + self.storms.len()).saturating_sub(self.held)
    }
}
