//! A state store in memory whose answers a test chooses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::{
    Decision, DecisionKind, Fingerprint, Policy, RemediationRequestStatus, RequestDoc, RequestId, RequestRef,
    RequestState, Signal, StormSummary, Timestamp,
};
use seawall_store::{
    Change, ChangeKind, ExplainedDecision, Explanation, Failure, Health, MemberRecord, Page, RequestFilter,
    RequestPage, RequestRecord, StateStore, Stats, StatusPatch, StoreError, StoreFuture, StormDetail,
    StormPage, StormRecord,
};
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, broadcast};

pub const NOW: Timestamp = Timestamp::from_millis(1_793_530_800_000);
/// The one storm there is.
pub const STORM: &str = "a4453471a6f8e847-1793530800";

pub struct FakeStore {
    data: Mutex<Data>,
    changes: broadcast::Sender<Change>,
    /// Decisions wait here; [`FakeStore::hold`] and [`FakeStore::release`] work it.
    gate: Semaphore,
}

#[derive(Default)]
struct Data {
    requests: BTreeMap<String, RequestRecord>,
    counts: BTreeMap<Fingerprint, u64>,
    revision: u64,
    batches: usize,
    asked: Vec<String>,
    signals: BTreeMap<String, usize>,
    failure: Option<StoreError>,
}

impl Default for FakeStore {
    fn default() -> Self {
        Self {
            data: Mutex::default(),
            changes: broadcast::channel(8).0,
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl FakeStore {
    /// Calls fail with this from now on.
    pub fn fail(&self, failure: Option<StoreError>) {
        self.data.lock().failure = failure;
    }

    pub fn unavailable() -> StoreError {
        let retry_after = Duration::from_millis(2500);
        StoreError::Unavailable {
            class: Failure::Disk,
            reason: "no space left on device".to_owned(),
            retry_after,
        }
    }

    /// Decisions wait from now on.
    pub fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn release(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS - self.gate.available_permits());
    }

    /// Batches that came, decided or not.
    pub fn batches(&self) -> usize {
        self.data.lock().batches
    }

    /// What the first signal of every batch is about, in the order in which they came.
    pub fn asked(&self) -> Vec<String> {
        self.data.lock().asked.clone()
    }

    /// Signals that were decided.
    pub fn signals(&self) -> usize {
        self.data.lock().signals.values().sum()
    }

    /// Signals of this namespace that were decided.
    pub fn signals_in(&self, namespace: &str) -> usize {
        self.data.lock().signals.get(namespace).copied().unwrap_or_default()
    }

    /// Changes a request without telling anybody, and returns the revision of that.
    pub fn touch(&self, name: &str) -> u64 {
        let revision = self.data.lock().revision + 1;
        self.touch_at(name, revision);
        revision
    }

    /// The same as part of the commit with this revision.
    pub fn touch_at(&self, name: &str, revision: u64) {
        let mut data = self.data.lock();
        data.revision = revision;
        let record = data.requests.values_mut().find(|record| *record.doc.identity.name == *name).unwrap();
        record.state.sequence = revision;
    }

    /// Says that requests changed, as one commit.
    pub fn announce(&self, kind: ChangeKind, names: &[&str]) {
        let data = self.data.lock();
        for name in names {
            let record = data.requests.values().find(|record| *record.doc.identity.name == **name).unwrap();
            let deleted = (kind == ChangeKind::Deleted).then(|| Arc::new(record.clone()));
            let reference = record.doc.reference.clone();
            // Nobody may be listening.
            let _ = self.changes.send(Change { revision: record.state.sequence, kind, reference, deleted });
        }
    }

    /// Loses everything, as a store does whose disk was replaced.
    pub fn lose_everything(&self) {
        *self.data.lock() = Data::default();
    }

    fn check(&self) -> Result<(), StoreError> {
        self.data.lock().failure.clone().map_or(Ok(()), Err)
    }
}

/// The name of an alert says what is decided: `Storm…` joins the storm, `Held…` is accepted, `Panic…` panics.
fn decide(data: &mut Data, signal: &Signal) -> Decision {
    assert!(!signal.identity.name.starts_with("Panic"), "as the test asked for");
    let count = data.counts.entry(signal.fingerprint).or_default();
    let known = *count > 0;
    if !signal.resolved {
        *count += 1;
    }
    let storm = signal.identity.name.starts_with("Storm");
    let held = signal.identity.name.starts_with("Held");
    let kind = match (signal.resolved, known) {
        (true, _) => DecisionKind::Resolved,
        (_, true) => DecisionKind::Duplicate,
        _ if storm => DecisionKind::Aggregated,
        _ if held => DecisionKind::Accepted,
        _ => DecisionKind::Created,
    };
    let id = RequestId::open(&signal.fingerprint, NOW, None);
    let reference = RequestRef::locate(&signal.identity.namespace, id, "default");
    let decision = Decision {
        kind,
        request: (!held && *count > 0).then(|| reference.clone()),
        count: *count,
        first_seen: NOW,
        last_seen: NOW + 1500,
        storm: storm.then(|| StormSummary {
            rule: "namespace-rate".into(),
            storm_type: "rate",
            pattern: "StormAlert in prod".into(),
            alert_count: 15,
        }),
        opened_storm: false,
    };
    if kind == DecisionKind::Created {
        data.revision += 1;
        let record = record(signal, reference, data.revision);
        data.requests.insert(record.doc.reference.to_string(), record);
    }
    decision
}

fn record(signal: &Signal, reference: RequestRef, sequence: u64) -> RequestRecord {
    let doc = RequestDoc {
        fingerprint: signal.fingerprint,
        reference,
        identity: signal.identity.clone(),
        api_version: signal.api_version.clone(),
        environment: signal.environment.clone(),
        firing_time: signal.firing_time,
        received_time: NOW,
        previous: None,
        detail: signal.detail.clone(),
    };
    let state = RequestState {
        severity: signal.severity,
        priority: signal.priority,
        path: signal.path,
        occurrences: 1,
        first_seen: NOW,
        last_seen: NOW,
        resolved_at: None,
        superseded_by: None,
        related: Vec::new(),
        storm: None,
        epoch: 1,
        sequence,
    };
    RequestRecord { doc, state, status: None, placement: None }
}

impl StateStore for FakeStore {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn decide(&self, signals: Vec<Signal>) -> StoreFuture<'_, Vec<Decision>> {
        Box::pin(async move {
            {
                let mut data = self.data.lock();
                data.batches += 1;
                data.asked.extend(signals.first().map(|signal| signal.identity.namespace.to_string()));
            }
            drop(self.gate.acquire().await);
            self.check()?;
            let mut data = self.data.lock();
            let before = data.revision;
            let decisions: Vec<_> = signals.iter().map(|signal| decide(&mut data, signal)).collect();
            for signal in signals {
                *data.signals.entry(signal.identity.namespace.to_string()).or_default() += 1;
            }
            for record in data.requests.values().filter(|record| record.state.sequence > before) {
                let (revision, reference) = (record.state.sequence, record.doc.reference.clone());
                let _ =
                    self.changes.send(Change { revision, kind: ChangeKind::Added, reference, deleted: None });
            }
            Ok(decisions)
        })
    }

    fn requests(&self, filter: RequestFilter, page: Page) -> StoreFuture<'_, RequestPage> {
        Box::pin(async move {
            self.check()?;
            let data = self.data.lock();
            let after = page.after.unwrap_or_default();
            let found = data.requests.iter().filter(|(key, record)| {
                **key > after
                    && filter.since.is_none_or(|since| record.state.sequence > since)
                    && filter
                        .namespace
                        .as_ref()
                        .is_none_or(|namespace| *namespace == record.doc.reference.namespace)
            });
            let mut items: Vec<_> = found.map(|(_, record)| record.clone()).take(page.limit + 1).collect();
            let more = items.len() > page.limit;
            items.truncate(page.limit);
            let next = more.then(|| items.last().unwrap().doc.reference.to_string());
            Ok(RequestPage { items, revision: data.revision, next })
        })
    }

    fn request(&self, reference: RequestRef) -> StoreFuture<'_, RequestRecord> {
        Box::pin(async move {
            self.check()?;
            let what = format!("request `{reference}`");
            let data = self.data.lock();
            data.requests.get(&reference.to_string()).cloned().ok_or(StoreError::NotFound { what })
        })
    }

    fn patch_status(&self, reference: RequestRef, patch: StatusPatch) -> StoreFuture<'_, RequestRecord> {
        Box::pin(async move {
            self.check()?;
            let mut data = self.data.lock();
            let what = format!("request `{reference}`");
            let record =
                data.requests.get_mut(&reference.to_string()).ok_or(StoreError::NotFound { what })?;
            let merged: Map<String, Value> =
                patch.0.into_iter().filter(|(_, value)| !value.is_null()).collect();
            let status = serde_json::from_value::<RemediationRequestStatus>(merged.into());
            record.status = Some(status.map_err(|error| StoreError::Invalid { reason: error.to_string() })?);
            Ok(record.clone())
        })
    }

    fn storms(&self, _: Page) -> StoreFuture<'_, StormPage> {
        Box::pin(async move {
            self.check()?;
            Ok(StormPage { items: vec![storm()], revision: 7, next: None })
        })
    }

    fn storm(&self, id: String, members: Page) -> StoreFuture<'_, StormDetail> {
        Box::pin(async move {
            if id != STORM {
                return Err(StoreError::NotFound { what: format!("storm `{id}`") });
            }
            let fingerprint = Fingerprint::of(None, ["PodCrashLooping", "prod", "Pod", "web-1"], []);
            let member = MemberRecord {
                fingerprint,
                identity: seawall_model::Identity {
                    cluster: "".into(),
                    namespace: "prod".into(),
                    name: "PodCrashLooping".into(),
                    kind: "Pod".into(),
                    resource: "web-1".into(),
                },
                first_seen: NOW,
                last_seen: NOW,
                count: 3,
                resolved: false,
            };
            let next = (members.limit == 1).then(|| "more".to_owned());
            Ok(StormDetail { storm: storm(), members: vec![member], next })
        })
    }

    fn explain(&self, fingerprint: Fingerprint) -> StoreFuture<'_, Explanation> {
        Box::pin(async move {
            let data = self.data.lock();
            let what = format!("fingerprint `{fingerprint}`");
            let record = data.requests.values().find(|record| record.doc.fingerprint == fingerprint);
            let record = record.ok_or(StoreError::NotFound { what })?;
            Ok(Explanation {
                fingerprint,
                identity: record.doc.identity.clone(),
                open: true,
                request: Some(record.doc.reference.clone()),
                storm: None,
                decisions: vec![ExplainedDecision {
                    at: NOW,
                    decision: "created",
                    rule: None,
                    reason: "first signal of this problem".to_owned(),
                }],
            })
        })
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn unpublished(&self) -> Option<tokio::sync::mpsc::Receiver<RequestRef>> {
        None
    }

    fn placed(&self, _: RequestRef, _: seawall_store::Placement) -> StoreFuture<'_, ()> {
        Box::pin(async { Err(StoreError::NotFound { what: "placements".to_owned() }) })
    }

    fn placements(&self) -> broadcast::Receiver<RequestRef> {
        broadcast::Sender::new(1).subscribe()
    }

    fn deleted(&self, _: RequestRef) -> StoreFuture<'_, bool> {
        Box::pin(async { Err(StoreError::NotFound { what: "placements".to_owned() }) })
    }

    fn incomplete(&self) -> tokio::sync::watch::Receiver<bool> {
        tokio::sync::watch::channel(false).1
    }

    fn adopt(&self, _: Vec<RequestRecord>) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn health(&self) -> Health {
        let reason = self.data.lock().failure.as_ref().map(StoreError::to_string);
        Health { available: reason.is_none(), reason }
    }

    fn stats(&self) -> Arc<Stats> {
        let data = self.data.lock();
        Arc::new(Stats { incidents_open: data.counts.len() as u64, ..Stats::default() })
    }

    fn set_policy(&self, _: Arc<Policy>) {}

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

fn storm() -> StormRecord {
    let request: RequestId = format!("rr-{STORM}").parse().unwrap();
    StormRecord {
        id: STORM.to_owned(),
        rule: "namespace-rate".into(),
        storm_type: "rate",
        pattern: "PodCrashLooping in prod".into(),
        group_by: vec![("namespace".into(), "prod".into()), ("alertname".into(), "PodCrashLooping".into())],
        request: RequestRef { namespace: "prod".into(), id: request },
        alert_count: 15,
        occurrence_count: 20,
        opened_at: NOW,
        last_seen: NOW + 1000,
        ended_at: None,
        successor: None,
    }
}
