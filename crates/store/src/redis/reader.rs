//! Looking at the state. Nothing here is on the way of an alert, so it may ask every partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::{FromRedisValue, Value};
use seawall_engine::Explanation;
use seawall_model::{Fingerprint, RemediationRequestStatus, RequestRef};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::link::LinkError;
use super::partition::{Partition, sibling};
use super::records::{self, Row, StateWire, Storm, request_doc};
use super::store::Core;
use super::wire::{self, Summary, decode, parse_ref, unreadable};
use crate::read::{from_request, matches, page_of};
use crate::{
    Page, Placement, RequestFilter, RequestPage, RequestRecord, StoreError, StormDetail, StormPage,
    StormRecord,
};

/// Requests that are read at once.
const CHUNK: usize = 500;
/// Partitions that are asked at the same time.
const SIDE_BY_SIDE: usize = 16;

/// What lies in `t`; nothing for an empty one.
pub(super) fn status(json: &[u8]) -> Result<Option<RemediationRequestStatus>, LinkError> {
    if json.is_empty() { Ok(None) } else { serde_json::from_slice(json).map(Some).map_err(unreadable) }
}

/// What lies in `k`; nothing for an empty one.
fn placement(bytes: &[u8]) -> Result<Option<Placement>, LinkError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (namespace, name, uid, sequence, deleted) = decode(bytes)?;
    Ok(Some(Placement { namespace, name, uid, sequence, deleted }))
}

pub(super) fn typed<T: FromRedisValue>(value: Value) -> Result<T, LinkError> {
    T::from_redis_value(value).map_err(unreadable)
}

/// Runs some of them at a time and puts what they return into one list.
async fn together<T, F>(asked: impl Iterator<Item = F>) -> Result<Vec<T>, LinkError>
where
    F: Future<Output = Result<Vec<T>, LinkError>>,
{
    // Made before they are run: a stream that makes them as it goes would not be `Send`.
    let asked: Vec<F> = asked.collect();
    stream::iter(asked).buffer_unordered(SIDE_BY_SIDE).try_concat().await
}

/// What lies about one storm.
#[derive(Default)]
struct Halves {
    facts: Option<Vec<u8>>,
    course: Option<Vec<u8>>,
}

/// Names say which problem they are about, but for the second half of its fingerprint.
fn may_be(name: &str, filter: &RequestFilter) -> bool {
    let of = |fingerprint: Fingerprint| format!("/rr-{:016x}-", fingerprint.prefix());
    filter.fingerprint.is_none_or(|fingerprint| name.contains(&of(fingerprint)))
}

#[derive(Deserialize)]
struct Found(u64, Vec<FoundRequest>);

#[derive(Deserialize)]
#[serde(untagged)]
enum FoundRequest {
    Request(Bytes, Bytes, Bytes, StateWire),
    Missing(IgnoredAny),
}

impl Core {
    pub(super) async fn list(
        self: &Arc<Self>,
        filter: RequestFilter,
        page: Page,
    ) -> Result<RequestPage, StoreError> {
        let since = filter.since.filter(|since| *since != 0);
        let filter = RequestFilter { since, ..filter };
        // Asked before anything is read: what changes meanwhile may be missing here, and is newer than this.
        let revision = self.links.server_time().await?.saturating_sub(1);
        let partitions = self.candidates(filter.namespace.as_deref()).await?;
        let mut after = page.after;
        let mut items: Vec<RequestRecord> = Vec::new();
        loop {
            let names = self.names(&partitions, &filter, after.take()).await?;
            let last = names.last().map(|(name, _)| name.clone());
            let full = names.len() == CHUNK;
            let names = names.into_iter().filter(|(name, _)| may_be(name, &filter)).collect();
            let wanted = |record: &RequestRecord| {
                since.is_none_or(|since| record.state.sequence > since) && matches(record, &filter)
            };
            for record in self.load(names).await?.into_iter().filter(wanted) {
                if items.len() == page.limit {
                    let next = items.last().map(|record| record.doc.reference.to_string());
                    return Ok(RequestPage { items, revision, next });
                }
                items.push(record);
            }
            if !full {
                return Ok(RequestPage { items, revision, next: None });
            }
            after = last;
        }
    }

    /// Partitions that may have requests in this namespace.
    async fn candidates(&self, namespace: Option<&str>) -> Result<Vec<Arc<str>>, LinkError> {
        let fallback = self.rules().policy.fallback_namespace.clone();
        let all = self.registered().await?;
        let may_have = |partition: &Partition| match (&partition.namespace, namespace) {
            (Some(own), Some(wanted)) => {
                let id = seawall_model::RequestId { prefix: 0, generation: 0 };
                RequestRef::locate(own, id, &fallback).namespace == wanted
            }
            _ => true,
        };
        let wanted = all.into_iter().filter(|(partition, _)| may_have(partition));
        Ok(wanted.map(|(partition, _)| self.keys.record(&partition).into()).collect())
    }

    /// The next requests by name that may match, each with the record of its partition.
    async fn names(
        &self,
        partitions: &[Arc<str>],
        filter: &RequestFilter,
        after: Option<String>,
    ) -> Result<Vec<(String, Arc<str>)>, LinkError> {
        let start = match (&after, &filter.namespace) {
            (Some(after), _) => format!("({after}"),
            (None, Some(namespace)) => format!("[{namespace}/"),
            (None, None) => "-".to_owned(),
        };
        // `0` follows `/`.
        let end = filter.namespace.as_ref().map_or("+".to_owned(), |namespace| format!("({namespace}0"));
        let (start, end) = (&start, &end);
        let asked = partitions.iter().map(|record| async move {
            let mut ask = redis::pipe();
            ask.cmd("ZRANGEBYLEX").arg(sibling(record, "n")).arg(start).arg(end);
            ask.arg("LIMIT").arg(0).arg(CHUNK);
            let names: Vec<String> = typed(self.one(&ask, record).await?)?;
            Ok::<_, LinkError>(names.into_iter().map(|name| (name, Arc::clone(record))).collect::<Vec<_>>())
        });
        let mut names: Vec<_> = together(asked).await?;
        names.sort_unstable();
        names.truncate(CHUNK);
        Ok(names)
    }

    /// Reads requests, in the order of their names. Held ones do not exist.
    async fn load(&self, names: Vec<(String, Arc<str>)>) -> Result<Vec<RequestRecord>, LinkError> {
        let mut by_partition: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
        for (name, record) in names {
            by_partition.entry(record).or_default().push(name);
        }
        let loads = by_partition.into_iter().map(|(record, names)| async move {
            let args: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            let value = self.run(&self.scripts.requests, &record, &args, false).await?;
            let Found(epoch, found) = decode(&wire::text(value)?)?;
            let mut records = Vec::with_capacity(names.len());
            for (name, found) in names.iter().zip(found) {
                let (doc, json, placed, state) = match found {
                    FoundRequest::Request(doc, json, placed, state) => (doc, json, placed, state),
                    FoundRequest::Missing(_) => continue,
                };
                records.push(RequestRecord {
                    doc: request_doc(parse_ref(name)?, &doc)?,
                    state: state.request_state(epoch)?,
                    status: status(&json)?,
                    placement: placement(&placed)?,
                });
            }
            Ok::<_, LinkError>(records)
        });
        let mut records: Vec<RequestRecord> = together(loads).await?;
        records.sort_by_cached_key(|record| record.doc.reference.to_string());
        Ok(records)
    }

    /// The partition that has a request; nothing when no partition has it.
    pub(super) async fn find_request(&self, reference: &RequestRef) -> Result<Option<Arc<str>>, LinkError> {
        let name = &reference.to_string();
        for record in self.candidates(Some(&reference.namespace)).await? {
            let mut ask = redis::pipe();
            ask.cmd("HEXISTS").arg(sibling(&record, "d")).arg(name);
            if typed(self.one(&ask, &record).await?)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    pub(super) async fn get(&self, reference: RequestRef) -> Result<RequestRecord, StoreError> {
        let missing = || StoreError::NotFound { what: format!("request {reference}") };
        let record = self.find_request(&reference).await?.ok_or_else(missing)?;
        self.load(vec![(reference.to_string(), record)]).await?.pop().ok_or_else(missing)
    }

    pub(super) async fn summary(&self, record: &str) -> Result<Summary, LinkError> {
        let value = self.run(&self.scripts.summary, record, &[], false).await?;
        decode(&wire::text(value)?)
    }

    /// One command's answer.
    pub(super) async fn one(&self, ask: &redis::Pipeline, key: &str) -> Result<Value, LinkError> {
        let answers = self.pipe(ask, key).await?;
        answers.into_iter().next().ok_or_else(|| unreadable("no answer"))
    }

    /// All storms of a partition by number.
    async fn storms_in(&self, record: &str) -> Result<BTreeMap<u64, Storm>, LinkError> {
        let mut ask = redis::pipe();
        ask.cmd("HGETALL").arg(sibling(record, "s"));
        let fields: Vec<(Vec<u8>, Vec<u8>)> = typed(self.one(&ask, record).await?)?;
        let mut halves: BTreeMap<u64, Halves> = BTreeMap::new();
        for (field, value) in fields {
            let Some((kind @ (b'f' | b'c'), number)) = field.split_last() else { continue };
            // The other fields begin with a letter: they name the storm of a request.
            let Some(number) = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()) else {
                continue;
            };
            let halves = halves.entry(number).or_default();
            *(if *kind == b'f' { &mut halves.facts } else { &mut halves.course }) = Some(value);
        }
        let whole = halves.into_iter().filter_map(|(number, halves)| match halves {
            Halves { facts: Some(facts), course: Some(course) } => {
                Some(Storm::decode(&facts, &course).map(|storm| (number, storm)))
            }
            _ => None,
        });
        whole.collect()
    }

    pub(super) async fn storms(&self, page: Page) -> Result<StormPage, StoreError> {
        let revision = self.links.server_time().await?.saturating_sub(1);
        let records = self.candidates(None).await?;
        let asked = records.iter().map(|record| async move {
            let storms = self.storms_in(record).await?;
            storms.values().map(Storm::record).collect::<Result<Vec<_>, _>>()
        });
        let mut all: Vec<StormRecord> = together(asked).await?;
        all.sort_by(|one, other| other.opened_at.cmp(&one.opened_at).then_with(|| one.id.cmp(&other.id)));
        let (items, next) = page_of(all, &page);
        Ok(StormPage { items, revision, next })
    }

    pub(super) async fn storm(&self, id: String, page: Page) -> Result<StormDetail, StoreError> {
        let missing = || StoreError::NotFound { what: format!("storm {id}") };
        for (partition, _) in self.registered().await? {
            let record = self.keys.record(&partition);
            for (number, storm) in self.storms_in(&record).await? {
                let view = storm.record()?;
                if view.id == id {
                    let members = self.members(&record, &partition, number).await?;
                    let (members, next) = page_of(members, &page);
                    return Ok(StormDetail { storm: view, members, next });
                }
            }
        }
        Err(missing())
    }

    /// The members of a storm in the order in which they joined, without those that moved on or ended.
    async fn members(
        &self,
        record: &str,
        partition: &Partition,
        storm: u64,
    ) -> Result<Vec<seawall_engine::MemberRecord>, LinkError> {
        let mut ask = redis::pipe();
        ask.cmd("LRANGE").arg(sibling(record, &format!("m:{storm}"))).arg(0).arg(-1);
        let joined: Vec<Vec<u8>> = typed(self.one(&ask, record).await?)?;
        let mut members = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for part in joined.chunks(CHUNK) {
            let mut ask = redis::pipe();
            ask.cmd("HMGET").arg(sibling(record, "i")).arg(part);
            let rows: Vec<Option<Vec<u8>>> = typed(self.one(&ask, record).await?)?;
            for (own, row) in part.iter().zip(rows) {
                let Some(row) = row.map(|row| decode::<Row>(&row)).transpose()? else { continue };
                if row.storm == storm && seen.insert(own.clone()) {
                    members.push(row.member(records::fingerprint(own)?, &partition.cluster));
                }
            }
        }
        Ok(members)
    }

    /// An explanation from what is open or, when the incident is over, from its last request.
    pub(super) async fn explain(
        self: &Arc<Self>,
        fingerprint: Fingerprint,
    ) -> Result<Explanation, StoreError> {
        let partitions = self.registered().await?;
        for (partition, _) in &partitions {
            let record = self.keys.record(partition);
            let mut ask = redis::pipe();
            ask.cmd("HGET").arg(sibling(&record, "i")).arg(fingerprint.as_bytes());
            let row: Option<Vec<u8>> = typed(self.one(&ask, &record).await?)?;
            if let Some(row) = row {
                return Ok(self.explain_row(&record, partition, fingerprint, decode(&row)?).await?);
            }
        }
        let filter = RequestFilter { fingerprint: Some(fingerprint), ..RequestFilter::default() };
        let page = self.list(filter, Page { limit: 100, after: None }).await?;
        let last = page.items.into_iter().max_by_key(|record| record.doc.reference.id.generation);
        last.map(|record| from_request(fingerprint, record))
            .ok_or(StoreError::NotFound { what: format!("fingerprint {fingerprint}") })
    }

    async fn explain_row(
        &self,
        record: &str,
        partition: &Partition,
        fingerprint: Fingerprint,
        row: Row,
    ) -> Result<Explanation, LinkError> {
        let storms = if row.storm == 0 { BTreeMap::new() } else { self.storms_in(record).await? };
        let storm = storms.get(&row.storm);
        let runs = |group: &str| storms.values().any(|it| it.facts.group == group && it.is_running());
        let group_runs = storm.is_some_and(|storm| runs(&storm.facts.group));
        let policy = Arc::clone(&self.rules().policy);
        let open = row.is_open(&policy, storm, group_runs, self.clock.now())?;
        let told = row.told(fingerprint, &partition.cluster, &policy);
        let storm = storm.map(Storm::told).transpose()?;
        Ok(Explanation::tell(&policy, told, storm, open))
    }
}
