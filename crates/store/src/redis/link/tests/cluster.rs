//! Slots that move, and nodes that fail alone.

use seawall_testkit::redis::RedisCluster;
use tokio::time::Instant;

use super::*;
use crate::redis::link::slot::slot;
use crate::redis::link::{Heard, LinkError};
use crate::redis::{RedisDurability, RedisMode};

fn options(cluster: &RedisCluster) -> RedisOptions {
    let mut options = RedisOptions::standalone("");
    options.urls = cluster.urls();
    options.mode = RedisMode::Cluster;
    options
}

/// A key on each of the first three nodes.
fn key_on(cluster: &RedisCluster, node: usize) -> String {
    (0..)
        .map(|number| format!("seawall:1:{{eu/{number}}}:count"))
        .find(|key| cluster.node_of_slot(slot(key)) == node)
        .unwrap()
}

impl Linked {
    async fn count_at(&self, key: &str) -> Result<Value, LinkError> {
        self.links.run(&Script::new(COUNT), key, &[b"done"], true).await
    }
}

#[tokio::test]
async fn every_node_is_reached_and_slots_are_followed_where_they_go() {
    let directory = directory();
    let cluster = RedisCluster::start_in(directory.path(), "cluster").await;
    // One address is enough to find the others.
    let mut options = options(&cluster);
    options.urls.truncate(1);
    options.timeout = PATIENCE;
    let linked = Linked::open(options).await.unwrap();
    for node in 0..3 {
        let key = key_on(&cluster, node);
        linked.count_at(&key).await.unwrap();
        assert_eq!(cluster.nodes()[node].ask::<i64>(&["EXISTS", &key]), 1);
    }
    let key = key_on(&cluster, 0);
    assert_eq!(slot(&key), cluster.slot_of(&key));

    // On its way: keys that are there, keys that are gone already, several of them at once.
    cluster.begin_migration(slot(&key), 1);
    let there = key.replace(":count", ":other");
    linked.links.pipe(&command(&["SET", &there, "1", "PX", "60000"]), &there).await.unwrap();
    let moved: Vec<String> =
        cluster.nodes()[1].ask(&["CLUSTER", "GETKEYSINSLOT", &slot(&key).to_string(), "9"]);
    assert_eq!(moved, [there.as_str()]);
    let mut both = command(&["INCR", &key]);
    both.cmd("INCR").arg(&there).cmd("GET").arg(&key);
    let answers = linked.links.pipe(&both, &key).await.unwrap();
    assert_eq!(answers, [Value::Int(2), Value::Int(2), Value::BulkString(b"2".to_vec())]);
    // A script may have to wait until the slot has arrived.
    let (counted, _) = tokio::join!(linked.count_at(&key), cluster.finish_migration(slot(&key), 1));
    counted.unwrap();
    linked.count_at(&key).await.unwrap();
    assert_eq!(cluster.nodes()[1].ask::<i64>(&["GET", &key]), 4, "moved, and counted once");
    assert_eq!(linked.links.outages().0, 0);
    assert!(linked.links.server_time().await.unwrap() > 0);
    linked.close().await;
}

#[tokio::test]
async fn a_node_that_is_paused_fails_its_own_keys_alone() {
    let directory = directory();
    let cluster = RedisCluster::builder(directory.path(), "cluster").without_full_coverage().start().await;
    let mut options = options(&cluster);
    options.timeout = Duration::from_millis(400);
    let linked = Linked::open(options).await.unwrap();
    let (ill, well) = (key_on(&cluster, 0), key_on(&cluster, 1));
    linked.count_at(&ill).await.unwrap();
    cluster.nodes()[0].pause();
    let error = linked.count_at(&ill).await.unwrap_err();
    assert_eq!((error.class, error.ambiguous), (Failure::Timeout, true), "{}", error.reason);
    assert!(!linked.links.health().available);
    for _ in 0..20 {
        let began = Instant::now();
        linked.count_at(&well).await.unwrap();
        assert!(linked.count_at(&ill).await.is_err());
        assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    }
    cluster.nodes()[0].resume();
    let began = Instant::now();
    seawall_testkit::eventually(PATIENCE, || async {
        linked.count_at(&ill).await.map_err(|error| error.reason)
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    seawall_testkit::eventually(PATIENCE, || async {
        let health = linked.links.health();
        if health.available { Ok(()) } else { Err(format!("{health:?}")) }
    })
    .await;
    assert_eq!(linked.links.outages().0, 1);
    linked.close().await;
}

#[tokio::test]
async fn a_replica_takes_over_and_confirms_what_was_written() {
    let directory = directory();
    let mut cluster = RedisCluster::builder(directory.path(), "cluster").replicas().start().await;
    let mut options = options(&cluster);
    options.durability = RedisDurability::Wait { replicas: 1, timeout: Duration::from_secs(2) };
    let linked = Linked::open(options).await.unwrap();
    let mut heard = linked.links.subscribe("seawall:1:changes".to_owned());
    assert_eq!(heard.recv().await, Some(Heard::Gap));
    let key = key_on(&cluster, 0);
    for _ in 0..10 {
        linked.count_at(&key).await.unwrap();
    }
    cluster.kill_node(0);
    let error = linked.count_at(&key).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    let heir = cluster.failed_over(0).await;
    // Nobody is left to confirm there.
    let error = seawall_testkit::eventually(PATIENCE, || async {
        match linked.count_at(&key).await {
            Err(error) if error.class == Failure::NotReplicated => Ok(error),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(error.ambiguous);
    assert!(cluster.nodes()[heir].ask::<i64>(&["GET", &key]) > 10, "nothing confirmed was lost");
    cluster.restart_node(0).await;
    seawall_testkit::eventually(PATIENCE, || async {
        linked.count_at(&key).await.map_err(|error| error.reason)?;
        let health = linked.links.health();
        if health.available { Ok(()) } else { Err(format!("{health:?}")) }
    })
    .await;
    // The subscriber may have listened at the node that died.
    linked.links.pipe(&command(&["PUBLISH", "seawall:1:changes", "after"]), &key).await.unwrap();
    let heard_it = async {
        loop {
            match heard.recv().await {
                Some(Heard::Gap) => {
                    linked
                        .links
                        .pipe(&command(&["PUBLISH", "seawall:1:changes", "after"]), &key)
                        .await
                        .unwrap();
                }
                Some(Heard::Message(_)) => return,
                None => panic!("the subscription ended"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard_it).await.unwrap();
    linked.close().await;
}

#[tokio::test]
async fn a_cluster_that_is_down_says_so_until_it_is_whole_again() {
    let directory = directory();
    let mut cluster = RedisCluster::start_in(directory.path(), "cluster").await;
    let linked = Linked::open(options(&cluster)).await.unwrap();
    let well = key_on(&cluster, 1);
    linked.count_at(&well).await.unwrap();
    cluster.kill_node(0);
    // The others notice after a while, and then serve nobody.
    seawall_testkit::eventually(PATIENCE, || async {
        match linked.count_at(&well).await {
            Err(error) if error.class == Failure::ClusterDown => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let made = || cluster.nodes()[1].info::<u64>("stats", "total_connections_received");
    let before = made();
    for _ in 0..100 {
        assert_eq!(linked.count_at(&well).await.unwrap_err().class, Failure::ClusterDown);
    }
    let more = made() - before;
    assert!(more < 50, "{more} connections for 100 calls");
    cluster.restart_node(0).await;
    seawall_testkit::eventually(PATIENCE, || async {
        linked.count_at(&well).await.map_err(|error| error.reason)?;
        let health = linked.links.health();
        if health.available { Ok(()) } else { Err(format!("{health:?}")) }
    })
    .await;
    assert_eq!(linked.links.outages().0, 1);
    linked.close().await;
}
