//! Limits that replicas keep together.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use seawall_model::{ManualClock, Policy};
use seawall_store::{SharedLimit, StateStore};
use seawall_testkit::redis::RedisServer;
use tokio::task::JoinSet;

use super::{open, patient};
use crate::support::{START, eventually};

fn limit(requests: u32, window: Duration, burst: u32) -> SharedLimit {
    let number = |number| NonZeroU32::new(number).unwrap();
    SharedLimit { requests: number(requests), window, burst: number(burst) }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_take_exactly_as_many_as_one_may() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let clock = ManualClock::at(START);
    let mut limits = Vec::new();
    for _ in 0..2 {
        let store: Arc<dyn StateStore> = open(&patient(&server.url()), &Policy::default(), &clock).await;
        limits.push(store.shared_limits().expect("several replicas have limits together"));
    }
    let hourly = limit(50, Duration::from_secs(3600), 50);
    let mut callers = JoinSet::new();
    for nth in 0..200 {
        let limits = Arc::clone(&limits[nth % 2]);
        callers.spawn(async move { limits.take("cl\0i:ent \u{1f980}", hourly).await.unwrap() });
    }
    let waits: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(waits.len(), 150);
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(72)), "{waits:?}");
    assert_eq!(limits[0].take("another", hourly).await.unwrap(), None);
    assert_eq!(server.keys_without_expiry(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_comes_back_with_time_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let store: Arc<dyn StateStore> =
        open(&patient(&server.url()), &Policy::default(), &ManualClock::at(START)).await;
    let limits = store.shared_limits().unwrap();
    let quick = limit(10, Duration::from_secs(2), 2);
    assert_eq!(limits.take("client", quick).await.unwrap(), None);
    assert_eq!(limits.take("client", quick).await.unwrap(), None);
    assert!(limits.take("client", quick).await.unwrap().is_some());
    eventually("there is one again", async || {
        limits.take("client", quick).await.unwrap().map_or(Ok(()), Err)
    })
    .await;
    let of_limits = |key: &String| key.contains(":{l");
    eventually("nothing is left", async || match server.keys().iter().any(of_limits) {
        true => Err("something is"),
        false => Ok(()),
    })
    .await;
}
