//! A state store in memory that is told what to have published, and remembers what it is told about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_model::{
    Context, Decision, Detail, Fingerprint, Identity, Packer, Policy, Priority, RemediationPath,
    RemediationRequestStatus, RequestDoc, RequestId, RequestRef, RequestState, Severity, Signal, SignalType,
    Timestamp,
};
use seawall_store::{
    Change, Explanation, Health, Page, Placement, RequestFilter, RequestPage, RequestRecord, StateStore,
    Stats, StatusPatch, StoreError, StoreFuture, StormDetail, StormPage,
};
use serde_json::{Map, Value};
use tokio::sync::{broadcast, mpsc, watch};

use crate::scene::SOON;

pub const NOW: Timestamp = Timestamp::from_millis(1_793_530_800_000);

pub struct FakeStore {
    requests: Mutex<BTreeMap<String, RequestRecord>>,
    tell: mpsc::Sender<RequestRef>,
    told: Mutex<Option<mpsc::Receiver<RequestRef>>>,
    placements: broadcast::Sender<RequestRef>,
    incomplete: watch::Sender<bool>,
    adopted: Mutex<Vec<RequestRecord>>,
}

impl Default for FakeStore {
    fn default() -> Self {
        let (tell, told) = mpsc::channel(4_096);
        Self {
            requests: Mutex::default(),
            tell,
            told: Mutex::new(Some(told)),
            placements: broadcast::Sender::new(4_096),
            incomplete: watch::Sender::new(false),
            adopted: Mutex::default(),
        }
    }
}

/// A request about a pod, in its first version.
pub fn record(namespace: &str, pod: &str) -> RequestRecord {
    let identity = Identity {
        cluster: "".into(),
        namespace: namespace.into(),
        name: "PodCrashLooping".into(),
        kind: "Pod".into(),
        resource: pod.into(),
    };
    let fingerprint = Fingerprint::of(None, ["PodCrashLooping", namespace, "Pod", pod], []);
    let id = RequestId::open(&fingerprint, NOW, None);
    let alert = format!(r#"{{"labels":{{"alertname":"PodCrashLooping","pod":"{pod}"}},"annotations":{{}}}}"#);
    let doc = RequestDoc {
        fingerprint,
        reference: RequestRef::locate(namespace, id, "default"),
        identity,
        api_version: Some("v1".into()),
        environment: "production".into(),
        firing_time: NOW,
        received_time: NOW,
        previous: None,
        detail: Detail {
            signal_type: SignalType::PrometheusAlert,
            source: "alertmanager".into(),
            payload: Packer::default().pack(alert.as_bytes()),
            context: Arc::new(Context::default()),
        },
    };
    let state = RequestState {
        severity: Severity::Critical,
        priority: Priority::P0,
        path: RemediationPath::Aggressive,
        occurrences: 1,
        first_seen: NOW,
        last_seen: NOW,
        resolved_at: None,
        superseded_by: None,
        related: Vec::new(),
        storm: None,
        epoch: 1,
        sequence: 1,
    };
    RequestRecord { doc, state, status: None, placement: None }
}

impl FakeStore {
    /// Takes a record in, or its newer version, and says that it is to be published.
    pub fn put(&self, record: &RequestRecord) {
        let mut record = record.clone();
        let reference = record.doc.reference.clone();
        let mut requests = self.requests.lock();
        if let Some(before) = requests.get_mut(&reference.to_string()) {
            record.placement = before.placement.take().or(record.placement);
            record.status = before.status.take();
        }
        requests.insert(reference.to_string(), record);
        drop(requests);
        self.tell(&reference);
    }

    pub fn tell(&self, reference: &RequestRef) {
        self.tell.try_send(reference.clone()).expect("the queue of a test is long enough");
    }

    /// The same requests in another process.
    pub fn reopened(&self) -> Self {
        Self { requests: Mutex::new(self.requests.lock().clone()), ..Self::default() }
    }

    /// As if the state had been lost: what the sink hands over.
    pub async fn adopted(&self) -> Vec<RequestRecord> {
        self.lose();
        let mut incomplete = self.incomplete.subscribe();
        let found = tokio::time::timeout(SOON, incomplete.wait_for(|incomplete| !incomplete)).await;
        found.expect("the open requests are handed over").expect("the store is there");
        std::mem::take(&mut self.adopted.lock())
    }

    pub fn lose(&self) {
        self.incomplete.send_replace(true);
    }

    pub fn is_incomplete(&self) -> bool {
        *self.incomplete.borrow()
    }

    pub fn forget(&self, reference: &RequestRef) {
        self.requests.lock().remove(&reference.to_string());
    }

    pub fn get(&self, reference: &RequestRef) -> RequestRecord {
        self.requests.lock()[&reference.to_string()].clone()
    }

    pub fn placement(&self, reference: &RequestRef) -> Option<Placement> {
        self.get(reference).placement
    }

    pub fn phase(&self, reference: &RequestRef) -> Option<String> {
        self.get(reference).status?.overall_phase
    }

    fn change<T>(
        &self,
        reference: &RequestRef,
        change: impl FnOnce(&mut RequestRecord) -> T,
    ) -> Result<T, StoreError> {
        let what = format!("request `{reference}`");
        let mut requests = self.requests.lock();
        requests.get_mut(&reference.to_string()).map(change).ok_or(StoreError::NotFound { what })
    }
}

fn nothing<'a, T>() -> StoreFuture<'a, T> {
    Box::pin(async { Err(StoreError::NotFound { what: "what this test needs none of".to_owned() }) })
}

impl StateStore for FakeStore {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn decide(&self, _: Vec<Signal>) -> StoreFuture<'_, Vec<Decision>> {
        nothing()
    }

    fn requests(&self, _: RequestFilter, page: Page) -> StoreFuture<'_, RequestPage> {
        let requests = self.requests.lock();
        let after = page.after.unwrap_or_default();
        let mut left = requests.iter().filter(|(key, _)| **key > after);
        let items: Vec<_> = left.by_ref().take(page.limit).map(|(_, record)| record.clone()).collect();
        let next = left.next().and(items.last()).map(|last| last.doc.reference.to_string());
        Box::pin(async { Ok(RequestPage { items, revision: 1, next }) })
    }

    fn request(&self, reference: RequestRef) -> StoreFuture<'_, RequestRecord> {
        Box::pin(async move { self.change(&reference, |record| record.clone()) })
    }

    fn patch_status(&self, reference: RequestRef, patch: StatusPatch) -> StoreFuture<'_, RequestRecord> {
        Box::pin(async move {
            let set: Map<String, Value> = patch.0.into_iter().filter(|(_, value)| !value.is_null()).collect();
            let status: RemediationRequestStatus = serde_json::from_value(set.into()).expect("a status");
            self.change(&reference, |record| {
                record.status = Some(status);
                record.clone()
            })
        })
    }

    fn storms(&self, _: Page) -> StoreFuture<'_, StormPage> {
        nothing()
    }

    fn storm(&self, _: String, _: Page) -> StoreFuture<'_, StormDetail> {
        nothing()
    }

    fn explain(&self, _: Fingerprint) -> StoreFuture<'_, Explanation> {
        nothing()
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        broadcast::Sender::new(1).subscribe()
    }

    fn unpublished(&self) -> Option<mpsc::Receiver<RequestRef>> {
        self.told.lock().take()
    }

    fn placed(&self, reference: RequestRef, placement: Placement) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.change(&reference, |record| {
                if record.placement.as_ref().is_none_or(|before| before.sequence <= placement.sequence) {
                    record.placement = Some(placement);
                }
            })?;
            // Nobody may be listening.
            let _ = self.placements.send(reference);
            Ok(())
        })
    }

    fn placements(&self) -> broadcast::Receiver<RequestRef> {
        self.placements.subscribe()
    }

    fn deleted(&self, reference: RequestRef) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.change(&reference, |record| {
                let placement = record.placement.as_mut();
                placement.is_some_and(|placement| !std::mem::replace(&mut placement.deleted, true))
            })
        })
    }

    fn incomplete(&self) -> watch::Receiver<bool> {
        self.incomplete.subscribe()
    }

    fn adopt(&self, open: Vec<RequestRecord>) -> StoreFuture<'_, ()> {
        let mut requests = self.requests.lock();
        for record in &open {
            // As if it had been listed before anybody worked on it.
            let record = RequestRecord { status: None, ..record.clone() };
            requests.entry(record.doc.reference.to_string()).or_insert(record);
        }
        drop(requests);
        *self.adopted.lock() = open;
        self.incomplete.send_replace(false);
        Box::pin(async { Ok(()) })
    }

    fn health(&self) -> Health {
        Health { available: true, reason: None }
    }

    fn stats(&self) -> Arc<Stats> {
        Arc::default()
    }

    fn set_policy(&self, _: Arc<Policy>) {}

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}
