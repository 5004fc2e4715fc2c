//! A server that is slow, full, gone or empty: nothing is acknowledged that is not durable, and everything goes on afterwards.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::{ManualClock, Policy, Stopwatch};
use seawall_store::{Failure, RedisOptions, RedisStore, StateStore, StoreError};
use seawall_testkit::redis::RedisServer;
use tempfile::TempDir;

use super::open;
use crate::support::{Alert, START, counted, eventually, pods};

const TIMEOUT: Duration = Duration::from_secs(1);

struct Faulty {
    server: RedisServer,
    store: Arc<RedisStore>,
    _directory: TempDir,
}

impl Faulty {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server =
            RedisServer::builder(directory.path(), "redis").arg("maxmemory-policy", "noeviction").start();
        let server = server.await;
        let options = RedisOptions { timeout: TIMEOUT, ..RedisOptions::standalone(&server.url()) };
        let store = open(&options, &Policy::default(), &ManualClock::at(START)).await;
        Self { server, store, _directory: directory }
    }

    async fn send(&self, alert: &Alert) -> Result<(), StoreError> {
        self.store.decide(vec![alert.firing()]).await.map(drop)
    }

    /// Fails in bounded time, and the store says so.
    async fn is_refused(&self, alert: &Alert) -> Failure {
        let began = Stopwatch::start();
        let refused = self.send(alert).await;
        assert!(began.elapsed() < 4 * TIMEOUT, "{:?} for {refused:?}", began.elapsed());
        let Err(StoreError::Unavailable { class, retry_after, .. }) = refused else { panic!("{refused:?}") };
        assert!(retry_after > Duration::ZERO);
        class
    }

    async fn is_available_again(&self) {
        eventually("the store is available", async || {
            let health = self.store.health();
            if health.available { Ok(()) } else { Err(health) }
        })
        .await;
    }

    async fn notices_the_loss(&self) {
        eventually("the loss is noticed", async || {
            let losses = self.store.stats().state_losses;
            if losses == 1 { Ok(()) } else { Err(losses) }
        })
        .await;
    }

    async fn counted(&self) -> u64 {
        let all = seawall_store::Page { limit: 1_000, after: None };
        counted(&self.store.requests(Default::default(), all).await.unwrap().items)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_waited_for_in_bounded_time() {
    let faulty = Faulty::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    faulty.send(&alert).await.unwrap();
    faulty.server.pause();
    assert_eq!(faulty.is_refused(&alert).await, Failure::Timeout);
    assert!(!faulty.store.health().available);
    // The next ones do not even wait.
    let began = Stopwatch::start();
    for _ in 0..100 {
        faulty.is_refused(&alert).await;
    }
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    faulty.server.resume();
    faulty.is_available_again().await;
    faulty.send(&alert).await.unwrap();
    // What was on its way when the server stood still may be counted.
    assert!((2..=3).contains(&faulty.counted().await), "{}", faulty.counted().await);
    let stats = faulty.store.stats();
    assert_eq!(stats.outages, 1);
    assert!(stats.outage_seconds > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_empty_is_used_again() {
    let mut faulty = Faulty::start().await;
    let alerts = pods("shop", "Crash", 3);
    faulty.send(&alerts[0]).await.unwrap();
    faulty.server.kill9();
    let class = faulty.is_refused(&alerts[1]).await;
    assert!(matches!(class, Failure::Refused | Failure::Reset), "{class:?}");
    faulty.server.restart().await;
    faulty.is_available_again().await;
    faulty.notices_the_loss().await;
    faulty.send(&alerts[1]).await.unwrap();
    assert_eq!(faulty.counted().await, 1, "the first one is gone with the server's memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_acknowledges_nothing_and_loses_nothing() {
    let faulty = Faulty::start().await;
    let alerts = pods("shop", "Crash", 8);
    faulty.send(&alerts[0]).await.unwrap();
    faulty.server.set_config("maxmemory", "1");
    for alert in &alerts[1..4] {
        assert_eq!(faulty.is_refused(alert).await, Failure::OutOfMemory);
    }
    assert!(!faulty.store.health().available);
    faulty.server.set_config("maxmemory", "0");
    faulty.is_available_again().await;
    faulty.send(&alerts[0]).await.unwrap();
    assert_eq!(faulty.counted().await, 2, "nothing of what was refused is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_became_a_replica_is_not_written_to() {
    let faulty = Faulty::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    faulty.send(&alert).await.unwrap();
    faulty.server.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    faulty.is_refused(&alert).await;
    faulty.server.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    faulty.is_available_again().await;
    faulty.send(&alert).await.unwrap();
    assert_eq!(faulty.counted().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_server_starts_afresh_and_that_is_said() {
    let faulty = Faulty::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    faulty.send(&alert).await.unwrap();
    faulty.server.flush_all();
    // Between the loss and its being noticed, and after it.
    faulty.send(&alert).await.unwrap();
    faulty.notices_the_loss().await;
    faulty.send(&alert).await.unwrap();
    assert_eq!(faulty.counted().await, 2);
}
