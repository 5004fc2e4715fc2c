//! Taking over what exists outside when the state is new or was lost.
//!
//! That it was taken over is noted by a key beside the registry, which vanishes with it. Every partition of the registry has
//! a record then, if only an empty one. So a partition without a record is begun only when that key is there and the
//! partition is new to the registry: then nothing can have been in it.

use std::collections::BTreeMap;

use compact_str::CompactString;
use seawall_engine::{AdoptedIncident, AdoptedStorm, Adoption, OpenRequest};
use seawall_model::{Phase, Policy, RequestId, RequestState, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

use super::link::LinkError;
use super::partition::Partition;
use super::registry::KEPT;
use super::store::{Core, random_name};
use super::wire::{self, DocBody, decode, phase_number};
use crate::read::phase_of;
use crate::{Health, INCOMPLETE, RequestRecord, StoreError};

/// How often, and how long apart, to look whether another replica has begun the partition that it has just registered.
const LOOKS: usize = 10;
const BETWEEN: Duration = Duration::from_millis(20);

/// What a lane does with a partition that has no record.
pub(super) enum Beginning {
    /// Nothing can have been in it.
    Begin,
    /// Somebody else may have begun it meanwhile.
    LookAgain,
}

impl Core {
    pub(super) fn health(&self) -> Health {
        let health = self.links.health();
        if health.available && *self.incomplete.borrow() {
            return Health { available: false, reason: Some(INCOMPLETE.to_owned()) };
        }
        health
    }

    /// Looks whether the open requests outside have been taken over since the server's data began, by whichever replica.
    pub(super) async fn check_whole(&self) -> Result<bool, LinkError> {
        if !self.rules().policy.published {
            return Ok(true);
        }
        let whole = self.keys.whole();
        let mut ask = redis::pipe();
        ask.cmd("GETEX").arg(&whole).arg("PX").arg(KEPT);
        let found: Option<String> = super::reader::typed(self.one(&ask, &whole).await?)?;
        if found.is_some() {
            let before = std::mem::replace(&mut *self.adopted.lock(), found.clone());
            if before != found {
                self.noted.expire();
            }
        }
        self.incomplete
            .send_if_modified(|incomplete| std::mem::replace(incomplete, found.is_none()) != found.is_none());
        Ok(found.is_some())
    }

    /// What to do about a partition that has no record. `looks` counts how often that was asked for this call.
    pub(super) async fn begin(&self, partition: &Partition, looks: usize) -> Result<Beginning, LinkError> {
        if !self.check_whole().await? {
            return self.wait_for_adoption().await;
        }
        if self.noted.is_unborn(partition) {
            return Ok(Beginning::Begin);
        }
        if looks < LOOKS {
            tokio::time::sleep(BETWEEN).await;
            return Ok(Beginning::LookAgain);
        }
        tracing::error!(
            cluster = %partition.cluster,
            namespace = partition.namespace.as_deref().unwrap_or("*"),
            "the state of a namespace that was there is gone; all open requests are read again"
        );
        let whole = self.keys.whole();
        let mut forget = redis::pipe();
        forget.cmd("DEL").arg(&whole);
        self.pipe(&forget, &whole).await?;
        self.incomplete.send_replace(true);
        self.wait_for_adoption().await
    }

    async fn wait_for_adoption(&self) -> Result<Beginning, LinkError> {
        let mut incomplete: watch::Receiver<bool> = self.incomplete.subscribe();
        match timeout(self.options.timeout, incomplete.wait_for(|incomplete| !incomplete)).await {
            Ok(Ok(_)) => Ok(Beginning::Begin),
            _ => Err(LinkError::incomplete(INCOMPLETE)),
        }
    }

    /// Takes over the open requests that exist outside, partition by partition.
    pub(super) async fn adopt(&self, open: Vec<RequestRecord>) -> Result<(), StoreError> {
        let rules = self.rules();
        let mut by_partition: BTreeMap<Partition, Vec<RequestRecord>> = BTreeMap::new();
        for record in open {
            let partition = Partition::holding(&rules.policy, &record.doc.identity);
            by_partition.entry(partition).or_default().push(record);
        }
        for (partition, _) in self.registered().await? {
            by_partition.entry(partition).or_default();
        }
        let mut taken = 0;
        for (partition, records) in by_partition {
            self.register(&partition).await?;
            let record = self.keys.record(&partition);
            let docs: Vec<Vec<u8>> = records.iter().map(|it| DocBody::of(&it.doc)).collect();
            let call = self.call(&rules.wire, AdoptCall::new(&rules.policy, &records, self.clock.now()));
            let mut args: Vec<&[u8]> = vec![&call];
            args.extend(docs.iter().map(Vec::as_slice));
            let value = self.run(&self.scripts.adopt, &record, &args, true).await?;
            let Answer(adopted, due) = decode(&wire::text(value)?)?;
            taken += adopted;
            if due != 0 {
                self.publisher.schedule(&record, due);
            }
        }
        if taken > 0 {
            self.counters.lock().state_lost();
            tracing::warn!(requests = taken, "open requests were taken over from the cluster");
        }
        let whole = self.keys.whole();
        let mut note = redis::pipe();
        note.cmd("SET").arg(&whole).arg(random_name()).arg("PX").arg(KEPT);
        self.pipe(&note, &whole).await?;
        self.incomplete.send_replace(false);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Answer(u64, i64);

/// The places of requests count from one.
#[derive(Serialize)]
struct AdoptCall {
    epoch: u64,
    requests: Vec<RequestWire>,
    incidents: Vec<IncidentWire>,
    storms: Vec<StormWire>,
}

#[derive(Serialize)]
struct RequestWire {
    #[serde(rename = "ref")]
    reference: String,
    /// Hex.
    fingerprint: String,
    generation: u32,
    received: i64,
    previous: String,
    /// JSON, empty for none.
    status: String,
    /// Where it is; empty when that is not known.
    namespace: CompactString,
    name: CompactString,
    uid: CompactString,
}

#[derive(Serialize)]
struct IncidentWire {
    /// 0 for a member of a storm.
    request: usize,
    closed: bool,
    superseded_by: String,
    fingerprint: String,
    namespace: CompactString,
    name: CompactString,
    kind: CompactString,
    resource: CompactString,
    generation: u32,
    first_seen: i64,
    last_seen: i64,
    count: u64,
    resolved_at: i64,
    severity: u8,
    priority: u8,
    path: u8,
    phase: u8,
    links: Vec<String>,
}

#[derive(Serialize)]
struct StormWire {
    request: usize,
    closed: bool,
    rule: String,
    #[serde(rename = "type")]
    storm_type: CompactString,
    pattern: String,
    group: String,
    group_by: Vec<CompactString>,
    threshold: u32,
    window: i64,
    quiet: i64,
    max_duration: i64,
    flush: i64,
    opened_at: i64,
    first_seen: i64,
    last_seen: i64,
    ended_at: i64,
    successor: String,
    alert_count: u64,
    occurrences: u64,
    resolved_at: i64,
    severity: u8,
    priority: u8,
    path: u8,
    phase: u8,
    supersedes: Vec<String>,
    related: Vec<String>,
    truncated: bool,
    affected: Vec<(String, i64, i64, u64)>,
    members: Vec<IncidentWire>,
}

fn millis(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::as_millis)
}

fn names(ids: &[RequestId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn name(id: Option<RequestId>) -> String {
    id.as_ref().map(ToString::to_string).unwrap_or_default()
}

impl AdoptCall {
    fn new(policy: &Policy, records: &[RequestRecord], now: Timestamp) -> Self {
        let open: Vec<OpenRequest<'_>> = records
            .iter()
            .map(|it| OpenRequest { doc: &it.doc, state: &it.state, phase: phase_of(it.status.as_ref()) })
            .collect();
        let adoption = Adoption::of(policy, &open, now);
        let (mut incidents, mut storms) = (Vec::new(), Vec::new());
        for (at, incident) in &adoption.incidents {
            incidents.push(IncidentWire::own(*at, incident, &open[*at], false));
        }
        for storm in adoption.storms {
            storms.push(StormWire::new(&storm, &open[storm.request], false));
        }
        for at in adoption.closed {
            let OpenRequest { doc, state, .. } = open[at];
            match &state.storm {
                None => {
                    incidents.push(IncidentWire::own(at, &AdoptedIncident::of(&open[at]), &open[at], true))
                }
                Some(shown) => {
                    storms.push(StormWire::new(&AdoptedStorm::of(policy, at, doc, shown), &open[at], true));
                }
            }
        }
        let epoch = records.iter().map(|record| record.state.epoch).max().map_or(0, |epoch| epoch + 1);
        Self { epoch, requests: records.iter().map(RequestWire::new).collect(), incidents, storms }
    }
}

impl RequestWire {
    fn new(record: &RequestRecord) -> Self {
        let RequestRecord { doc, status, placement, .. } = record;
        let placement = placement.clone();
        let (namespace, name_there, uid) =
            placement.map_or_else(Default::default, |it| (it.namespace, it.name, it.uid));
        Self {
            reference: doc.reference.to_string(),
            fingerprint: doc.fingerprint.to_string(),
            generation: doc.reference.id.generation,
            received: doc.received_time.as_millis(),
            previous: name(doc.previous),
            // A status that was read as JSON is written as JSON.
            status: status.as_ref().and_then(|it| serde_json::to_string(it).ok()).unwrap_or_default(),
            namespace,
            name: name_there,
            uid,
        }
    }
}

impl IncidentWire {
    fn own(at: usize, incident: &AdoptedIncident, request: &OpenRequest<'_>, closed: bool) -> Self {
        let OpenRequest { state, phase, .. } = request;
        Self {
            request: at + 1,
            closed,
            superseded_by: name(state.superseded_by),
            links: names(&state.related),
            ..Self::member(incident, state, *phase)
        }
    }

    fn member(incident: &AdoptedIncident, state: &RequestState, phase: Phase) -> Self {
        let identity = incident.identity.clone();
        Self {
            request: 0,
            closed: false,
            superseded_by: String::new(),
            fingerprint: incident.fingerprint.to_string(),
            namespace: identity.namespace,
            name: identity.name,
            kind: identity.kind,
            resource: identity.resource,
            generation: incident.generation,
            first_seen: incident.first_seen.as_millis(),
            last_seen: incident.last_seen.as_millis(),
            count: incident.count,
            resolved_at: millis(incident.resolved_at),
            severity: wire::severity_number(state.severity),
            priority: wire::priority_number(state.priority),
            path: wire::path_number(state.path),
            phase: phase_number(phase),
            links: Vec::new(),
        }
    }
}

impl StormWire {
    fn new(adopted: &AdoptedStorm, request: &OpenRequest<'_>, closed: bool) -> Self {
        let AdoptedStorm { rule, shown, .. } = adopted;
        let state = request.state;
        let affected = shown.affected.iter().map(|it| {
            let resource = format!("{}\0{}\0{}", it.kind, it.name, it.namespace);
            (resource, it.first_seen.as_millis(), it.last_seen.as_millis(), it.count)
        });
        let members = adopted
            .members
            .iter()
            .map(|member| IncidentWire::member(member, state, Phase::Waiting))
            .collect();
        Self {
            request: adopted.request + 1,
            closed,
            rule: shown.rule.to_string(),
            storm_type: shown.storm_type.clone(),
            pattern: shown.pattern.to_string(),
            group: adopted.group_name(),
            group_by: adopted
                .group_by
                .iter()
                .flat_map(|(field, value)| [field.clone(), value.clone()])
                .collect(),
            threshold: rule.threshold,
            window: rule.window,
            quiet: rule.quiet,
            max_duration: rule.max_duration,
            flush: rule.flush,
            opened_at: adopted.opened_at.as_millis(),
            first_seen: state.first_seen.as_millis(),
            last_seen: state.last_seen.as_millis(),
            ended_at: millis(shown.ended_at),
            successor: name(shown.successor),
            alert_count: shown.alert_count,
            occurrences: state.occurrences,
            resolved_at: millis(state.resolved_at),
            severity: wire::severity_number(state.severity),
            priority: wire::priority_number(state.priority),
            path: wire::path_number(state.path),
            phase: phase_number(request.phase),
            supersedes: names(&shown.supersedes),
            related: names(&state.related),
            truncated: adopted.truncated,
            affected: affected.collect(),
            members,
        }
    }
}
