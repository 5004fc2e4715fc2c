//! Partitions over the slots of a cluster, and a slot that is on its way.

use std::sync::Arc;
use std::time::Duration;

use seawall_model::{DecisionKind, ManualClock, Policy};
use seawall_store::{
    Failure, Page, RedisMode, RedisOptions, RedisStore, RequestFilter, RequestRecord, StateStore, StoreError,
};
use seawall_testkit::redis::RedisCluster;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::open;
use crate::support::{Alert, START, counted, eventually, of_kind, pods};

struct Clustered {
    cluster: RedisCluster,
    store: Arc<RedisStore>,
    _directory: TempDir,
}

impl Clustered {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = RedisCluster::start_in(directory.path(), "cluster").await;
        let options = RedisOptions {
            urls: cluster.urls(),
            mode: RedisMode::Cluster,
            timeout: Duration::from_secs(5),
            ..RedisOptions::standalone("")
        };
        let store = open(&options, &Policy::default(), &ManualClock::at(START)).await;
        Self { cluster, store, _directory: directory }
    }

    async fn requests(&self) -> Result<Vec<RequestRecord>, StoreError> {
        let all = Page { limit: 10_000, after: None };
        Ok(self.store.requests(RequestFilter::default(), all).await?.items)
    }

    /// The keys of the one partition there is.
    fn partition(&self) -> Vec<String> {
        let keys = self.cluster.nodes().iter().flat_map(|node| node.keys());
        keys.filter(|key| key.contains('{') && !key.contains("{partitions}")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_spread_over_the_nodes_and_are_decided_alike() {
    let clustered = Clustered::start().await;
    let mut senders = JoinSet::new();
    for team in 0..30 {
        let store = Arc::clone(&clustered.store);
        senders.spawn(async move {
            let alerts = pods(&format!("team-{team}"), "Crash", 15);
            store.decide(alerts.iter().map(Alert::firing).collect()).await.unwrap()
        });
    }
    for decisions in senders.join_all().await {
        assert_eq!(of_kind(&decisions, DecisionKind::Created), 1);
    }
    let requests = clustered.requests().await.unwrap();
    assert_eq!((requests.len(), counted(&requests)), (30, 450));
    for node in clustered.cluster.nodes() {
        assert!(node.keys().iter().any(|key| key.contains("}:p")), "a node has nothing");
        assert_eq!(node.keys_without_expiry(), Vec::<String>::new());
    }
}

/// With some keys here and some there a script would take what is there for missing, and open it a second time.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_while_the_keys_of_a_partition_are_on_their_way() {
    let clustered = Clustered::start().await;
    let alerts = pods("shop", "Crash", 12);
    for alert in &alerts {
        let _ = clustered.store.decide(vec![alert.firing()]).await.unwrap();
    }
    let keys = clustered.partition();
    let incidents = keys.iter().find(|key| key.ends_with("}:i")).unwrap();
    let slot = clustered.cluster.slot_of(incidents);
    let from = clustered.cluster.node_of_slot(slot);
    let to = (from + 1) % 3;
    clustered.cluster.begin_migration(slot, to);
    let port = clustered.cluster.nodes()[to].port().to_string();
    let moved: String =
        clustered.cluster.nodes()[from].ask(&["MIGRATE", "127.0.0.1", &port, incidents, "0", "5000"]);
    assert_eq!(moved, "OK");
    let refused = clustered.store.decide(vec![alerts[3].firing()]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { class: Failure::ClusterDown, .. })),
        "{refused:?}"
    );
    assert!(clustered.cluster.finish_migration(slot, to).await > 1);
    let decision =
        eventually("the slot has arrived", async || clustered.store.decide(vec![alerts[3].firing()]).await)
            .await
            .remove(0);
    assert_eq!((decision.kind, decision.count), (DecisionKind::Duplicate, 2));
    let requests = clustered.requests().await.unwrap();
    assert_eq!((requests.len(), counted(&requests)), (1, 13));
}
