//! Several replicas on one server: who publishes, and what becomes of the work of one that died or slept.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::{DecisionKind, ManualClock, Millis, Policy, Signal, Timestamp};
use seawall_store::{Page, RedisOptions, RedisStore, RequestFilter, RequestRecord, StateStore};
use seawall_testkit::redis::RedisServer;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{open, patient};
use crate::support::{Alert, SECOND, START, counted, eventually, of_kind, pods, storm_of};

const LEASE: Millis = 15 * SECOND;

struct Replicas {
    server: RedisServer,
    stores: Vec<Arc<RedisStore>>,
    clock: ManualClock,
    now: Timestamp,
    options: RedisOptions,
    _directory: TempDir,
}

impl Replicas {
    /// Nothing is done but what the test asks for, and what replicas ask each other for.
    async fn start(count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = RedisServer::start_in(directory.path(), "redis").await;
        let options = RedisOptions {
            lease: Duration::from_millis(LEASE as u64),
            look: Duration::from_secs(3600),
            ..patient(&server.url())
        };
        let clock = ManualClock::at(START);
        let mut replicas =
            Self { server, stores: Vec::new(), clock, now: START, options, _directory: directory };
        for _ in 0..count {
            replicas.add().await;
        }
        replicas
    }

    async fn add(&mut self) {
        self.stores.push(open(&self.options, &Policy::default(), &self.clock).await);
    }

    fn pass(&mut self, millis: Millis) {
        self.now = self.now + millis;
        self.clock.set(self.now);
    }

    /// Dies without giving anything back.
    fn kill(&mut self, nth: usize) {
        drop(self.stores.remove(nth));
    }

    async fn requests(&self) -> Vec<RequestRecord> {
        let all = Page { limit: 10_000, after: None };
        self.stores[0].requests(RequestFilter::default(), all).await.unwrap().items
    }

    async fn wait_for_requests(&self, count: usize) -> Vec<RequestRecord> {
        eventually(&format!("{count} requests"), async || {
            let requests = self.requests().await;
            if requests.len() == count { Ok(requests) } else { Err(requests) }
        })
        .await
    }

    /// Each signal by a caller of its own, all at once, over all replicas in turn.
    async fn deliver_everywhere(&self, signals: Vec<Signal>) -> Vec<seawall_model::Decision> {
        let mut callers = JoinSet::new();
        for (nth, signal) in signals.into_iter().enumerate() {
            let store = Arc::clone(&self.stores[nth % self.stores.len()]);
            callers.spawn(async move { store.decide(vec![signal]).await.unwrap() });
        }
        callers.join_all().await.into_iter().flatten().collect()
    }
}

async fn fire(store: &RedisStore, alert: &Alert) {
    let _ = store.decide(vec![alert.firing()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_alerts_over_three_replicas_are_one_request_a_hundred_times() {
    let replicas = Replicas::start(3).await;
    for round in 0..100 {
        let alerts = pods(&format!("shop-{round}"), "Crash", 15);
        let decisions = replicas.deliver_everywhere(alerts.iter().map(Alert::firing).collect()).await;
        assert_eq!(of_kind(&decisions, DecisionKind::Created), 1, "round {round}: {decisions:?}");
    }
    let requests = replicas.requests().await;
    assert_eq!(requests.len(), 100);
    for request in requests {
        assert_eq!((storm_of(&request).alert_count, request.state.occurrences), (15, 15));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_identical_alerts_over_three_replicas_are_one_request() {
    let replicas = Replicas::start(3).await;
    let alert = Alert::new("shop", "Crash", "web-0");
    replicas.deliver_everywhere(vec![alert.firing(); 100]).await;
    let requests = replicas.requests().await;
    assert_eq!((requests.len(), counted(&requests)), (1, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_claim_publishes_what_another_one_held() {
    let mut replicas = Replicas::start(2).await;
    let alerts = pods("shop", "Crash", 3);
    fire(&replicas.stores[0], &alerts[0]).await;
    // The first one has the claim; the second holds back a request, which the first learns of.
    fire(&replicas.stores[1], &alerts[1]).await;
    fire(&replicas.stores[1], &alerts[2]).await;
    assert_eq!(replicas.requests().await.len(), 1);
    replicas.pass(SECOND);
    replicas.wait_for_requests(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_of_a_dead_replica_is_taken_over_when_its_lease_is_over_and_the_epoch_rises() {
    let mut replicas = Replicas::start(2).await;
    let alerts = pods("shop", "Crash", 2);
    fire(&replicas.stores[0], &alerts[0]).await;
    fire(&replicas.stores[0], &alerts[1]).await;
    let before = replicas.requests().await.remove(0).state;
    replicas.kill(0);
    replicas.pass(LEASE - SECOND);
    replicas.stores[0].catch_up().await.unwrap();
    assert_eq!(replicas.requests().await.len(), 1, "the lease of the dead one is not over");
    replicas.pass(SECOND);
    replicas.stores[0].catch_up().await.unwrap();
    let requests = replicas.requests().await;
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(request.state.epoch > before.epoch, "{} after {}", request.state.epoch, before.epoch);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_ends_in_order_gives_its_claims_back() {
    let mut replicas = Replicas::start(2).await;
    let alerts = pods("shop", "Crash", 2);
    fire(&replicas.stores[0], &alerts[0]).await;
    fire(&replicas.stores[0], &alerts[1]).await;
    replicas.stores[0].close().await.unwrap();
    replicas.kill(0);
    replicas.pass(SECOND);
    replicas.stores[0].catch_up().await.unwrap();
    assert_eq!(replicas.requests().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_wakes_up_late_changes_nothing() {
    let mut replicas = Replicas::start(2).await;
    let alerts = pods("shop", "Crash", 4);
    fire(&replicas.stores[0], &alerts[0]).await;
    // It sleeps for longer than its lease, and the other one takes over.
    replicas.pass(LEASE);
    replicas.stores[1].catch_up().await.unwrap();
    fire(&replicas.stores[0], &alerts[1]).await;
    fire(&replicas.stores[0], &alerts[2]).await;
    let taken_over = replicas.requests().await.remove(0).state.epoch;
    // Asking changes nothing, neither the state nor the claim: the second is published, the third is held.
    replicas.stores[0].catch_up().await.unwrap();
    assert_eq!(replicas.requests().await.len(), 2);
    assert_eq!(replicas.requests().await.remove(0).state.epoch, taken_over, "the stale one claimed");
    replicas.pass(SECOND);
    replicas.wait_for_requests(3).await;
    assert!(replicas.requests().await.iter().all(|request| request.state.epoch == taken_over));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_neither_ends_nor_reopens_anything() {
    let replicas = Replicas::start(1).await;
    let behind = ManualClock::at(START + -(120 * SECOND));
    let late = open(&replicas.options, &Policy::default(), &behind).await;
    let alerts = pods("shop", "Crash", 12);
    for (nth, alert) in alerts.iter().enumerate() {
        let store = if nth % 2 == 0 { &replicas.stores[0] } else { &late };
        fire(store, alert).await;
    }
    for alert in &alerts {
        let decision = late.decide(vec![alert.firing()]).await.unwrap().remove(0);
        assert_eq!(decision.kind, DecisionKind::Duplicate);
        assert_eq!(decision.last_seen, START, "time goes back");
    }
    let requests = replicas.requests().await;
    assert_eq!((requests.len(), counted(&requests)), (1, 24));
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_of_every_replica_are_told() {
    let replicas = Replicas::start(3).await;
    let mut watchers: Vec<_> = replicas.stores.iter().map(|store| store.changes()).collect();
    fire(&replicas.stores[0], &Alert::new("shop", "Crash", "web-0")).await;
    for watcher in &mut watchers {
        let told = tokio::time::timeout(Duration::from_secs(20), watcher.recv()).await;
        assert_eq!(told.unwrap().unwrap().reference.namespace, "shop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_between_calls_loses_nothing() {
    let mut replicas = Replicas::start(3).await;
    let mut sent = 0;
    for round in 0..6 {
        let alerts = pods(&format!("shop-{}", round % 2), "Crash", 20);
        replicas.deliver_everywhere(alerts.iter().map(Alert::firing).collect()).await;
        sent += alerts.len() as u64;
        replicas.kill(round % 3);
        replicas.add().await;
        replicas.pass(SECOND);
    }
    replicas.pass(LEASE);
    replicas.stores[0].catch_up().await.unwrap();
    let requests = replicas.requests().await;
    assert_eq!(counted(&requests), sent);
    assert_eq!(requests.len(), 2, "one storm in each namespace");
    assert!(replicas.server.key_count() < 60);
}
