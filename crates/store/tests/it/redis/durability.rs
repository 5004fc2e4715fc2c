//! What an acknowledgement has survived, by killing the server.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::{ManualClock, Policy};
use seawall_store::{
    Failure, Page, RedisDurability, RedisOptions, RedisStore, RequestFilter, StateStore, StoreError,
};
use seawall_testkit::redis::{Engine, RedisServer};
use tokio::task::JoinSet;

use super::open;
use crate::support::{Alert, START, counted, eventually};

fn options(server: &RedisServer, durability: RedisDurability) -> RedisOptions {
    RedisOptions { durability, timeout: Duration::from_secs(5), ..RedisOptions::standalone(&server.url()) }
}

/// Sends until the server is gone; returns how many signals were acknowledged.
async fn send_until_gone(store: &Arc<RedisStore>, sender: usize) -> u64 {
    let mut acknowledged = 0;
    for nth in 0.. {
        let alerts =
            (0..5).map(|pod| Alert::new(&format!("team-{sender}"), "Crash", &format!("web-{nth}-{pod}")));
        match store.decide(alerts.map(|alert| alert.firing()).collect()).await {
            Ok(decisions) => acknowledged += decisions.len() as u64,
            Err(_) => break,
        }
    }
    acknowledged
}

async fn counted_in(store: &RedisStore) -> Result<u64, StoreError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.requests(RequestFilter::default(), Page { limit: 500, after }).await?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(counted(&all));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_aof_what_was_acknowledged_survives_the_death_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = RedisServer::builder(directory.path(), "valkey")
        .engine(Engine::Valkey)
        .arg("appendonly", "yes")
        .arg("appendfsync", "always")
        .start()
        .await;
    let options = options(&server, RedisDurability::Aof { timeout: Duration::from_secs(2) });
    let store = open(&options, &Policy::default(), &ManualClock::at(START)).await;
    let mut acknowledged = 0;
    for round in 0..3 {
        let mut senders = JoinSet::new();
        for sender in 0..4 {
            let store = Arc::clone(&store);
            senders.spawn(async move { send_until_gone(&store, 10 * round + sender).await });
        }
        eventually("something was acknowledged", async || {
            let commits = store.stats().commits;
            if commits > 100 * (round as u64 + 1) { Ok(()) } else { Err(commits) }
        })
        .await;
        server.kill9();
        acknowledged += senders.join_all().await.into_iter().sum::<u64>();
        server.restart().await;
        let found = eventually("the store is back", async || counted_in(&store).await).await;
        assert!(found >= acknowledged, "{found} of {acknowledged}");
        // What was on its way when the server died may be counted: four senders, one batch each.
        assert!(found <= acknowledged + 4 * 5 * (round as u64 + 1), "{found} of {acknowledged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_wait_nothing_is_acknowledged_that_no_replica_has() {
    let directory = tempfile::tempdir().unwrap();
    let primary = RedisServer::start_in(directory.path(), "primary").await;
    let replica = RedisServer::builder(directory.path(), "replica")
        .arg("replicaof", &format!("127.0.0.1 {}", primary.port()))
        .start()
        .await;
    eventually("the replica is in step", async || {
        let connected: u64 = primary.info("replication", "connected_slaves");
        let link: String = replica.info("replication", "master_link_status");
        if (connected, link.as_str()) == (1, "up") { Ok(()) } else { Err((connected, link)) }
    })
    .await;
    let wait = RedisDurability::Wait { replicas: 1, timeout: Duration::from_millis(500) };
    let store = open(&options(&primary, wait), &Policy::default(), &ManualClock::at(START)).await;
    for nth in 0..50 {
        let _ =
            store.decide(vec![Alert::new("shop", "Crash", &format!("web-{nth}")).firing()]).await.unwrap();
    }
    let fields: u64 = replica
        .keys()
        .iter()
        .filter(|key| key.ends_with(":i"))
        .map(|key| replica.ask::<u64>(&["HLEN", key]))
        .sum();
    assert_eq!(fields, 50, "the replica has every incident");
    replica.pause();
    let refused = store.decide(vec![Alert::new("shop", "Crash", "late").firing()]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { class: Failure::NotReplicated, .. })),
        "{refused:?}"
    );
    replica.resume();
    eventually("the replica confirms again", async || {
        store.decide(vec![Alert::new("shop", "Crash", "late").firing()]).await
    })
    .await;
}
