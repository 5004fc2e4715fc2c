//! What every store can do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use compact_str::CompactString;
use seawall_engine::{Explanation, MemberRecord, StormRecord};
use seawall_model::{
    Decision, Fingerprint, Policy, RemediationRequestStatus, RequestDoc, RequestRef, RequestState, Signal,
    Timestamp,
};
use tokio::sync::broadcast;

use crate::StoreError;

pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The one place that changes state.
pub trait StateStore: Send + Sync + 'static {
    /// How the store is called in metrics and logs: `embedded` or `redis`.
    fn kind(&self) -> &'static str;

    /// Decides the signals in order and as a whole: either every decision is durable when this returns, or none is
    /// acknowledged. `decisions[i]` belongs to `signals[i]`. A caller that goes away cancels nothing.
    fn decide(&self, signals: Vec<Signal>) -> StoreFuture<'_, Vec<Decision>>;

    /// A page of requests, by namespace and name.
    fn requests(&self, filter: RequestFilter, page: Page) -> StoreFuture<'_, RequestPage>;

    /// One request; [`StoreError::NotFound`] when there is none.
    fn request(&self, reference: RequestRef) -> StoreFuture<'_, RequestRecord>;

    /// Merges a worker's report into the status of a request and returns the result.
    fn patch_status(&self, reference: RequestRef, patch: StatusPatch) -> StoreFuture<'_, RequestRecord>;

    /// A page of open and recently ended storms, the newest first.
    fn storms(&self, page: Page) -> StoreFuture<'_, StormPage>;

    /// One storm by its id with a page of its members; [`StoreError::NotFound`] when there is none.
    fn storm(&self, id: String, members: Page) -> StoreFuture<'_, StormDetail>;

    /// Why a problem is where it is; [`StoreError::NotFound`] when nothing is known about it.
    fn explain(&self, fingerprint: Fingerprint) -> StoreFuture<'_, Explanation>;

    /// Published changes from now on, at most one per request and flush interval. A receiver that lags asks for
    /// `requests` with [`RequestFilter::since`] what it missed.
    fn changes(&self) -> broadcast::Receiver<Change>;

    fn health(&self) -> Health;

    fn stats(&self) -> Arc<Stats>;

    /// Decides everything from the next batch on by these rules.
    fn set_policy(&self, policy: Arc<Policy>);

    /// Makes what was accepted durable and lets go of the data. Later calls are refused as unavailable.
    fn close(&self) -> StoreFuture<'_, ()>;
}

/// Part of a list: at most `limit` items after `after`, the `next` of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: usize,
    pub after: Option<String>,
}

/// Which requests to list; nothing set means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    pub namespace: Option<CompactString>,
    /// `status.overallPhase`, compared without case, spaces, `-` and `_`; empty text means no phase yet.
    pub phase: Option<String>,
    pub fingerprint: Option<Fingerprint>,
    pub storm: Option<bool>,
    /// Only those changed after this revision.
    pub since: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RequestRecord {
    pub doc: RequestDoc,
    pub state: RequestState,
    pub status: Option<RemediationRequestStatus>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RequestPage {
    pub items: Vec<RequestRecord>,
    /// Everything up to this revision is contained.
    pub revision: u64,
    pub next: Option<String>,
}

/// A JSON merge patch (RFC 7396) for the status.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusPatch(pub serde_json::Map<String, serde_json::Value>);

#[derive(Clone, Debug, PartialEq)]
pub struct StormPage {
    pub items: Vec<StormRecord>,
    pub revision: u64,
    pub next: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StormDetail {
    pub storm: StormRecord,
    pub members: Vec<MemberRecord>,
    pub next: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// A published change of a request.
#[derive(Clone, Debug)]
pub struct Change {
    pub revision: u64,
    pub kind: ChangeKind,
    pub reference: RequestRef,
    /// The request before it was deleted.
    pub deleted: Option<Arc<RequestRecord>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub available: bool,
    /// Why not, for people.
    pub reason: Option<String>,
}

/// Gauges and totals since start; a snapshot taken after the last commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    pub incidents_open: u64,
    pub requests_open: u64,
    /// Open storms by rule.
    pub storms_open: Vec<(Arc<str>, u64)>,
    /// Requests that are decided but not in the sink yet (held).
    pub publish_pending: u64,
    /// Since when the oldest of them is due.
    pub oldest_pending_since: Option<Timestamp>,
    pub outages: u64,
    pub outage_seconds: f64,
    pub commits: u64,
    pub commit_seconds: f64,
    /// Requests that came to exist in the sink, updates of them, deletions after retention.
    pub published_created: u64,
    pub published_updated: u64,
    pub published_deleted: u64,
    /// Firing signals that did not become a request of their own.
    pub requests_avoided: u64,
    /// Times the store found everything gone that had been there.
    pub state_losses: u64,
}
