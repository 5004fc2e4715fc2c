//! What every store can do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use seawall_engine::{Explanation, MemberRecord, StormRecord};
use seawall_model::{
    Decision, Fingerprint, Policy, RemediationRequestStatus, RequestDoc, RequestRef, RequestState, Signal,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, watch};

use crate::{SharedLimits, StoreError};

/// How long the one who publishes has before it is told again of what is still not placed.
pub(crate) const AGAIN: Duration = Duration::from_secs(15);
/// Requests that may wait to be published before the store keeps them to itself for a moment: more than a sink takes
/// between two looks of the store.
pub(crate) const TOLD: usize = 4096;

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

    /// Requests that do not exist outside the state store as they are now, when [`Policy::published`] says that they should:
    /// each when it changes, and again from time to time until [`StateStore::placed`] says that it does. With several
    /// replicas one of them at a time is told of a request. The one receiver there is, for the one who publishes; the store
    /// keeps what does not fit into the channel. None when it was taken before.
    fn unpublished(&self) -> Option<mpsc::Receiver<RequestRef>>;

    /// Notes that a request exists as it was at `placement.sequence`. Everybody who listens to
    /// [`StateStore::placements`] hears of it. Notes never go back to an earlier sequence.
    fn placed(&self, reference: RequestRef, placement: Placement) -> StoreFuture<'_, ()>;

    /// Requests that were noted to exist, by whichever replica, from now on.
    fn placements(&self) -> broadcast::Receiver<RequestRef>;

    /// Takes note that somebody deleted a request where it was published: its incident is over, without a cooldown, and it
    /// is not published again. Says whether that was news.
    fn deleted(&self, reference: RequestRef) -> StoreFuture<'_, bool>;

    /// Whether requests may exist outside that this store does not know, because its state is new or was lost, when
    /// [`Policy::published`] says that they exist there. What they may be about is not decided then, for doubling is worse
    /// than waiting: those calls are refused as [`Failure::Incomplete`](crate::Failure) until [`StateStore::adopt`].
    fn incomplete(&self) -> watch::Receiver<bool>;

    /// Takes over the open requests that exist outside and that are not known here, all at once, and what counted on
    /// them. What is known goes before what they say. They are published again, so that they carry a newer epoch.
    fn adopt(&self, open: Vec<RequestRecord>) -> StoreFuture<'_, ()>;

    /// Limits that all replicas keep together, where there can be several.
    fn shared_limits(self: Arc<Self>) -> Option<Arc<dyn SharedLimits>> {
        None
    }

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
    /// Where it was published; none while it was not, and always none when requests live in the state store.
    pub placement: Option<Placement>,
}

/// Where a request exists outside the state store, and since which change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Not where the request was to be when that namespace did not exist.
    pub namespace: CompactString,
    /// Not the request's own name when that was taken.
    pub name: CompactString,
    pub uid: CompactString,
    /// The change that was written last, as in [`RequestState`].
    pub sequence: u64,
    /// Somebody deleted it: it is not to exist any more.
    pub deleted: bool,
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
    /// Times the store found everything gone that had been there, or took over requests that it did not know.
    pub state_losses: u64,
}
