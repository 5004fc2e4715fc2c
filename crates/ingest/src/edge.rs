//! What all requests share.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::Request;
use compact_str::{CompactString, format_compact};
use http::HeaderMap;
use http::header::USER_AGENT;
use parking_lot::RwLock;
use seawall_engine::normalise::Normaliser;
use seawall_model::{Clock, Timestamp};
use seawall_store::{SharedLimits, Sink, StateStore, StoreError};
use seawall_telemetry::{Metrics, RouteMetrics, SourceMetrics, StateSnapshot, StoreMetrics};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::EdgeSettings;
use crate::audit::AuditLog;
use crate::auth::{Authenticator, Identities};
use crate::events::EventsStatus;
use crate::places::{Place, Places};
use crate::problem::Problem;
use crate::rate::RateLimiter;
use crate::router::ROUTES;
use crate::signals::Source;
use crate::turns::Turns;

/// How the store sink is called in metrics.
const STORE_SINK: &str = "store";
/// The route label of requests that match none.
const UNMATCHED: &str = "unmatched";

/// The state that the routes share: where decisions are made, what is allowed, and what is counted.
pub struct Edge {
    store: Arc<dyn StateStore>,
    /// Where requests exist besides the store; nothing when they live there alone.
    sink: Arc<OnceLock<Arc<dyn Sink>>>,
    /// Where decisions are recorded; nothing when they are not.
    audit: OnceLock<Arc<AuditLog>>,
    normaliser: RwLock<Arc<Normaliser>>,
    settings: EdgeSettings,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Says who is asking and what they may do; without it everybody may do everything.
    authenticator: Option<Authenticator>,
    rate: RateLimiter,
    turns: Arc<Turns>,
    /// How the watch of Kubernetes events is doing.
    events: Arc<EventsStatus>,
    pub(crate) store_metrics: StoreMetrics,
    routes: HashMap<&'static str, RouteMetrics>,
    unmatched: RouteMetrics,
    sources: [SourceMetrics; 3],
    places: Arc<Places>,
    buffered: AtomicU64,
    draining: AtomicBool,
    /// Work that goes on when the client has left.
    tasks: TaskTracker,
    streams: CancellationToken,
    request_ids: RequestIds,
}

impl Edge {
    /// Also tells `metrics` to read the state of `store` per scrape.
    pub fn new(
        store: Arc<dyn StateStore>,
        normaliser: Arc<Normaliser>,
        settings: EdgeSettings,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        authenticator: Option<Authenticator>,
    ) -> Arc<Self> {
        let sink = Arc::new(OnceLock::<Arc<dyn Sink>>::new());
        let events = Arc::<EventsStatus>::default();
        let (state, outside, watch, now) = (store.clone(), sink.clone(), events.clone(), clock.clone());
        metrics.set_state_source(move || {
            let events_watched = watch.is_watching();
            let snapshot = StateSnapshot { events_watched, ..snapshot(state.as_ref(), now.now()) };
            match outside.get() {
                Some(sink) => published(snapshot, sink.as_ref(), now.now()),
                None => snapshot,
            }
        });
        Arc::new(Self {
            store_metrics: metrics.store(store.kind()),
            routes: ROUTES.iter().map(|route| (*route, metrics.route(route))).collect(),
            unmatched: metrics.route(UNMATCHED),
            sources: Source::ALL.map(|source| metrics.source(source.as_str())),
            store,
            sink,
            rate: RateLimiter::new(settings.rate.clone()),
            places: Places::new(settings.limits.concurrent_requests),
            turns: Arc::default(),
            audit: OnceLock::new(),
            normaliser: RwLock::new(normaliser),
            settings,
            metrics,
            clock,
            authenticator,
            events,
            buffered: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            streams: CancellationToken::new(),
            request_ids: RequestIds::new(),
        })
    }

    /// Bodies that arrive from now on are normalised by these rules.
    pub fn set_normaliser(&self, normaliser: Arc<Normaliser>) {
        *self.normaliser.write() = normaliser;
    }

    /// Whoever asks from now on is one of these, where anybody is asked who they are.
    pub fn set_identities(&self, identities: &Arc<Identities>) {
        if let Some(authenticator) = &self.authenticator {
            authenticator.set_identities(identities);
        }
    }

    /// New requests are answered as created only when they exist there. To be said before the first request, and once.
    pub fn set_sink(&self, sink: Arc<dyn Sink>) {
        if self.sink.set(sink).is_err() {
            tracing::error!("there is a sink already; the second one is not asked");
        }
    }

    /// What is decided is recorded there. To be said before the first request, and once.
    pub fn set_audit(&self, audit: Arc<AuditLog>) {
        if self.audit.set(audit).is_err() {
            tracing::error!("there is an audit log already; nothing is written to the second one");
        }
    }

    pub(crate) fn audit(&self) -> Option<&Arc<AuditLog>> {
        self.audit.get()
    }

    /// Senders are limited for all replicas together. To be said before the first request, and once.
    pub fn share_limits(&self, limits: Arc<dyn SharedLimits>) {
        self.rate.share(limits);
    }

    pub(crate) const fn rate(&self) -> &RateLimiter {
        &self.rate
    }

    pub(crate) const fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    /// Readiness says no from now on; everything is still answered. Answers ask clients to connect elsewhere.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn settings(&self) -> &EdgeSettings {
        &self.settings
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub fn normaliser(&self) -> Arc<Normaliser> {
        self.normaliser.read().clone()
    }

    pub(crate) const fn authenticator(&self) -> Option<&Authenticator> {
        self.authenticator.as_ref()
    }

    pub(crate) fn events(&self) -> &EventsStatus {
        &self.events
    }

    pub(crate) fn store(&self) -> &Arc<dyn StateStore> {
        &self.store
    }

    pub(crate) fn sink(&self) -> Option<&Arc<dyn Sink>> {
        self.sink.get()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn stop_streams(&self) {
        self.streams.cancel();
    }

    /// Resolves when streams that have no end of their own must end.
    pub(crate) fn streams(&self) -> &CancellationToken {
        &self.streams
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn route(&self, matched: Option<&str>) -> &RouteMetrics {
        matched.and_then(|path| self.routes.get(path)).unwrap_or(&self.unmatched)
    }

    pub(crate) fn source(&self, source: Source) -> &SourceMetrics {
        &self.sources[source as usize]
    }

    /// Whether whoever sends this takes a 4xx for the end of the matter.
    pub(crate) fn gives_up(&self, headers: &HeaderMap) -> bool {
        let agent = headers.get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
        self.settings.retryable_for.iter().any(|name| agent.starts_with(name.as_bytes()))
    }

    pub(crate) fn next_request_id(&self) -> CompactString {
        self.request_ids.next()
    }

    /// A place for one more request; nothing when as many as allowed are being answered.
    pub(crate) fn enter(&self, request: &mut Request) -> Option<Place> {
        self.places.take(self.rate.resolve(request))
    }

    /// Refuses a body that does not fit now. Nothing is set aside for it yet: what is only announced must not keep others
    /// out.
    pub(crate) fn require_room(&self, announced: u64) -> Result<(), Problem> {
        self.check_room(self.buffered.load(Ordering::Relaxed), announced)
    }

    /// Takes `bytes` more from the budget into `held`.
    pub(crate) fn hold(&self, held: &mut Held, bytes: u64) -> Result<(), Problem> {
        held.bytes += bytes;
        self.check_room(self.buffered.fetch_add(bytes, Ordering::Relaxed), bytes)
    }

    fn check_room(&self, taken: u64, more: u64) -> Result<(), Problem> {
        if taken.saturating_add(more) > self.settings.limits.buffered_bytes {
            return Err(Problem::saturated(
                "the bodies that are being read fill the memory set aside for them",
            ));
        }
        Ok(())
    }

    pub(crate) fn held(self: &Arc<Self>) -> Held {
        Held { edge: self.clone(), bytes: 0 }
    }

    /// Counts a failed call to the state store. What could not be made durable could not be published either where the sink
    /// is the state store.
    pub(crate) fn note_store_error(&self, error: &StoreError) {
        let Some(class) = error.class() else { return };
        tracing::debug!(%error, "state store call failed");
        self.metrics.state_error(self.store.kind(), class);
        if self.sink().is_none() {
            self.metrics.publish_error(STORE_SINK, class);
        }
    }
}

/// Bytes of a body taken from the budget, given back when nothing of the body is held any more.
pub(crate) struct Held {
    edge: Arc<Edge>,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.edge.buffered.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Ids that are unique in this process, and almost surely among all: a random beginning and a number.
struct RequestIds {
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        // The standard library's hasher is seeded from the system's randomness; ids need to differ, not to be secret.
        let random = RandomState::new().build_hasher().finish();
        Self { prefix: random as u32, next: AtomicU64::new(random >> 48) }
    }

    fn next(&self) -> CompactString {
        // At most 24 bytes, so it needs no memory of its own for the first 2^60 requests.
        format_compact!("{:08x}-{:x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

fn snapshot(store: &dyn StateStore, now: Timestamp) -> StateSnapshot {
    let stats = store.stats();
    StateSnapshot {
        store: store.kind(),
        sink: STORE_SINK,
        available: store.health().available,
        incidents_open: stats.incidents_open,
        requests_open: stats.requests_open,
        storms_open: stats.storms_open.clone(),
        publish_pending: stats.publish_pending,
        oldest_pending_seconds: seconds_since(stats.oldest_pending_since, now),
        outages: stats.outages,
        outage_seconds: stats.outage_seconds,
        losses: stats.state_losses,
        publishes: stats.commits,
        publish_seconds: stats.commit_seconds,
        published_created: stats.published_created,
        published_updated: stats.published_updated,
        published_deleted: stats.published_deleted,
        requests_avoided: stats.requests_avoided,
        events_watched: None,
    }
}

/// The same where the commits of the store publish nothing.
fn published(state: StateSnapshot, sink: &dyn Sink, now: Timestamp) -> StateSnapshot {
    let (health, stats) = (sink.health(), sink.stats());
    let oldest = seconds_since(health.oldest_pending_since, now);
    StateSnapshot {
        sink: sink.kind(),
        publish_pending: state.publish_pending.max(health.pending),
        oldest_pending_seconds: oldest.max(state.oldest_pending_seconds),
        publishes: 0,
        publish_seconds: 0.0,
        published_created: stats.created,
        published_updated: stats.updated,
        published_deleted: stats.deleted,
        ..state
    }
}

fn seconds_since(since: Option<Timestamp>, now: Timestamp) -> f64 {
    let millis = since.map_or(0, |since| (now - since).max(0));
    Duration::from_millis(millis.unsigned_abs()).as_secs_f64()
}
