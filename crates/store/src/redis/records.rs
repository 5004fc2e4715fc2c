//! What lies in the server, read as requests and storms. The scripts write these; `scripts/state.lua` has the same fields.

use bytes::Bytes;
use compact_str::CompactString;
use seawall_engine::{MemberRecord, Opening, StormRecord, ToldIncident, ToldStorm, is_open};
use seawall_model::{
    Affected, Fingerprint, Identity, Millis, Phase, Policy, RequestDoc, RequestId, RequestRef, RequestState,
    StormState, Timestamp,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::link::LinkError;
use super::wire::{self, DocBody, decode, moment, parse_ref, storm_type, unreadable};

/// An incident. Times are milliseconds, 0 for none.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub first_seen: i64,
    pub count: u64,
    pub last_seen: i64,
    pub resolved_at: i64,
    pub flaps: u32,
    severity: u8,
    priority: u8,
    path: u8,
    pub phase: u8,
    pub released_at: i64,
    pub hold_until: i64,
    sequence: u64,
    _counted_in: i64,
    pub generation: u32,
    /// Number of the storm it is a member of, 0 for none.
    pub storm: u64,
    seen: u32,
    opening: u8,
    _order: u64,
    _flushing: bool,
    links: Vec<CompactString>,
    namespace: CompactString,
    name: CompactString,
    kind: CompactString,
    resource: CompactString,
    /// Left out by the first versions.
    #[serde(default)]
    _told: i64,
}

/// What a storm is and was opened with.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    _fingerprint: Bytes,
    reference: CompactString,
    rule: String,
    storm_type: CompactString,
    pattern: String,
    pub group: String,
    group_by: Vec<CompactString>,
    threshold: u32,
    counted: u32,
    window: Millis,
    _quiet: i64,
    _max_duration: i64,
    _flush: i64,
    _sample: u64,
    opened_at: i64,
}

/// What changes about a storm.
#[derive(Debug, Deserialize)]
pub(super) struct Course {
    first_seen: i64,
    last_seen: i64,
    ended_at: i64,
    successor: CompactString,
    alert_count: u64,
    occurrences: u64,
    resolved_at: i64,
    severity: u8,
    priority: u8,
    path: u8,
    phase: u8,
    released_at: i64,
    _hold_until: i64,
    sequence: u64,
    supersedes: Vec<CompactString>,
    related: Vec<CompactString>,
    _living: u64,
    _unresolved: u64,
    _sampled: u64,
    truncated: bool,
    _flushing: bool,
}

pub(super) struct Storm {
    pub facts: Facts,
    pub course: Course,
}

/// The state of a request as the scripts return it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum StateWire {
    /// What it is, fingerprint or facts, incident or course, [`Resources`], when it last changed, epoch.
    Closed(IgnoredAny, Bytes, Bytes, Resources, IgnoredAny, u64),
    /// What it is, facts, course, resources.
    Storm(IgnoredAny, Bytes, Bytes, Vec<Bytes>),
    /// What it is, fingerprint, incident.
    Incident(IgnoredAny, IgnoredAny, Bytes),
}

/// The fourth field of a closed state: of a storm its resources, of an incident what superseded it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Resources {
    Storm(Vec<Bytes>),
    SupersededBy(CompactString),
}

fn id(name: &str) -> Result<RequestId, LinkError> {
    name.parse().map_err(unreadable)
}

fn ids(names: &[CompactString]) -> Result<Vec<RequestId>, LinkError> {
    names.iter().map(|name| id(name)).collect()
}

fn optional_id(name: &str) -> Result<Option<RequestId>, LinkError> {
    if name.is_empty() { Ok(None) } else { id(name).map(Some) }
}

impl Row {
    pub fn request_state(&self, superseded_by: &str, epoch: u64) -> Result<RequestState, LinkError> {
        Ok(RequestState {
            severity: wire::severity(self.severity)?,
            priority: wire::priority(self.priority)?,
            path: wire::path(self.path)?,
            occurrences: self.count,
            first_seen: Timestamp::from_millis(self.first_seen),
            last_seen: Timestamp::from_millis(self.last_seen),
            resolved_at: moment(self.resolved_at),
            superseded_by: optional_id(superseded_by)?,
            related: ids(&self.links)?,
            storm: None,
            epoch,
            sequence: self.sequence,
        })
    }

    pub fn identity(&self, cluster: &str) -> Identity {
        Identity {
            cluster: cluster.into(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            resource: self.resource.clone(),
        }
    }

    pub fn member(&self, fingerprint: Fingerprint, cluster: &str) -> MemberRecord {
        MemberRecord {
            fingerprint,
            identity: self.identity(cluster),
            first_seen: Timestamp::from_millis(self.first_seen),
            last_seen: Timestamp::from_millis(self.last_seen),
            count: self.count,
            resolved: self.resolved_at != 0,
        }
    }

    pub fn told(&self, fingerprint: Fingerprint, cluster: &str, policy: &Policy) -> ToldIncident {
        let own = RequestId { prefix: fingerprint.prefix(), generation: self.generation };
        ToldIncident {
            fingerprint,
            identity: self.identity(cluster),
            first_seen: Timestamp::from_millis(self.first_seen),
            count: self.count,
            last_seen: Timestamp::from_millis(self.last_seen),
            resolved_at: moment(self.resolved_at),
            flaps: self.flaps,
            released_at: moment(self.released_at),
            is_held: self.hold_until != 0,
            seen: self.seen,
            opening: match self.opening {
                1 => Opening::Held,
                2 => Opening::Joined,
                3 => Opening::Tripped,
                4 => Opening::Continued,
                5 => Opening::Recalled,
                _ => Opening::Alone,
            },
            own: RequestRef::locate(&self.namespace, own, &policy.fallback_namespace),
        }
    }

    /// Whether a further firing signal would be a duplicate. `group_runs`: the group of its storm has an open storm.
    pub fn is_open(
        &self,
        policy: &Policy,
        storm: Option<&Storm>,
        group_runs: bool,
        now: Timestamp,
    ) -> Result<bool, LinkError> {
        let last_seen = Timestamp::from_millis(self.last_seen);
        let Some(storm) = storm else {
            let phase = wire::phase(self.phase)?;
            return Ok(is_open(policy, phase, moment(self.released_at), last_seen, now));
        };
        if storm.is_running() || (!storm.course.successor.is_empty() && group_runs) {
            return Ok(true);
        }
        Ok(is_open(policy, storm.phase()?, moment(storm.course.released_at), last_seen, now))
    }
}

impl Storm {
    pub fn decode(facts: &[u8], course: &[u8]) -> Result<Self, LinkError> {
        Ok(Self { facts: decode(facts)?, course: decode(course)? })
    }

    pub fn is_running(&self) -> bool {
        self.course.ended_at == 0
    }

    fn phase(&self) -> Result<Phase, LinkError> {
        wire::phase(self.course.phase)
    }

    fn group_by(&self) -> Vec<(CompactString, CompactString)> {
        let pairs = self.facts.group_by.chunks_exact(2);
        pairs.map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    pub fn request_state(&self, resources: &[Bytes], epoch: u64) -> Result<RequestState, LinkError> {
        let course = &self.course;
        let (first_seen, last_seen) =
            (Timestamp::from_millis(course.first_seen), Timestamp::from_millis(course.last_seen));
        Ok(RequestState {
            severity: wire::severity(course.severity)?,
            priority: wire::priority(course.priority)?,
            path: wire::path(course.path)?,
            occurrences: course.occurrences,
            first_seen,
            last_seen,
            resolved_at: moment(course.resolved_at),
            superseded_by: None,
            related: ids(&course.related)?,
            storm: Some(StormState {
                rule: self.facts.rule.as_str().into(),
                storm_type: self.facts.storm_type.clone(),
                pattern: self.facts.pattern.as_str().into(),
                window: self.facts.window,
                group_by: self.group_by(),
                alert_count: course.alert_count,
                affected: affected(resources)?,
                truncated: course.truncated,
                first_seen,
                last_seen,
                ended_at: moment(course.ended_at),
                successor: optional_id(&course.successor)?,
                supersedes: ids(&course.supersedes)?,
            }),
            epoch,
            sequence: course.sequence,
        })
    }

    pub fn record(&self) -> Result<StormRecord, LinkError> {
        let request = parse_ref(&self.facts.reference)?;
        Ok(StormRecord {
            id: request.id.to_string().trim_start_matches("rr-").to_owned(),
            rule: self.facts.rule.as_str().into(),
            storm_type: storm_type(&self.facts.storm_type),
            pattern: self.facts.pattern.as_str().into(),
            group_by: self.group_by(),
            request,
            alert_count: self.course.alert_count,
            occurrence_count: self.course.occurrences,
            opened_at: Timestamp::from_millis(self.facts.opened_at),
            last_seen: Timestamp::from_millis(self.course.last_seen),
            ended_at: moment(self.course.ended_at),
            successor: optional_id(&self.course.successor)?,
        })
    }

    pub fn told(&self) -> Result<ToldStorm, LinkError> {
        Ok(ToldStorm {
            record: self.record()?,
            threshold: self.facts.threshold,
            counted: self.facts.counted,
            window: self.facts.window,
            released_at: moment(self.course.released_at),
        })
    }
}

/// The affected resources in the order in which they came; `resources` is name and place in turn.
fn affected(resources: &[Bytes]) -> Result<Vec<Affected>, LinkError> {
    let mut listed = Vec::with_capacity(resources.len() / 2);
    for pair in resources.chunks_exact(2) {
        let name = std::str::from_utf8(&pair[0]).map_err(unreadable)?;
        let mut parts = name.split('\0');
        let mut part =
            || parts.next().map(CompactString::from).ok_or_else(|| unreadable("a resource is cut off"));
        let (kind, resource, namespace) = (part()?, part()?, part()?);
        let (place, first_seen, last_seen, count): (u64, i64, i64, u64) = decode(&pair[1])?;
        let affected = Affected {
            kind,
            name: resource,
            namespace,
            first_seen: Timestamp::from_millis(first_seen),
            last_seen: Timestamp::from_millis(last_seen),
            count,
        };
        listed.push((place, affected));
    }
    listed.sort_by_key(|(place, _)| *place);
    Ok(listed.into_iter().map(|(_, affected)| affected).collect())
}

impl StateWire {
    pub fn request_state(&self, epoch: u64) -> Result<RequestState, LinkError> {
        match self {
            Self::Incident(_, _, row) => decode::<Row>(row)?.request_state("", epoch),
            Self::Storm(_, facts, course, resources) => {
                Storm::decode(facts, course)?.request_state(resources, epoch)
            }
            Self::Closed(_, _, row, Resources::SupersededBy(by), _, epoch) => {
                decode::<Row>(row)?.request_state(by, *epoch)
            }
            Self::Closed(_, facts, course, Resources::Storm(resources), _, epoch) => {
                Storm::decode(facts, course)?.request_state(resources, *epoch)
            }
        }
    }
}

/// What lies in `d`: the fingerprint, when the signal was received, the previous request, and the rest.
#[derive(Deserialize)]
struct DocWire(Bytes, i64, CompactString, Bytes);

pub(super) fn fingerprint(bytes: &[u8]) -> Result<Fingerprint, LinkError> {
    bytes.try_into().map(Fingerprint::from_bytes).map_err(|_| unreadable("a fingerprint is cut off"))
}

pub(super) fn request_doc(reference: RequestRef, bytes: &[u8]) -> Result<RequestDoc, LinkError> {
    let DocWire(own, received, previous, body) = decode(bytes)?;
    let body = DocBody::unpack(&body)?;
    Ok(RequestDoc {
        fingerprint: fingerprint(&own)?,
        reference,
        identity: body.identity,
        api_version: body.api_version,
        environment: body.environment,
        firing_time: body.firing_time,
        received_time: Timestamp::from_millis(received),
        previous: optional_id(&previous)?,
        detail: body.detail,
    })
}
