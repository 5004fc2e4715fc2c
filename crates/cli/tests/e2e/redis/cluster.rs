//! Namespaces spread over the masters of a cluster, and slots move between these while they are in use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use seawall_testkit::redis::{RedisCluster, RedisServer};
use seawall_testkit::{Alert, Random, SeawallBuilder};

use super::{clients, listed_everywhere, replicas, senders, storms};
use crate::load::{CONFIG, Load, STORMS, balanced};
use crate::support::{lasting, scene_alone};

/// Slots that are moved.
const MOVES: usize = 6;
/// How long a slot stays on its way without, and then with some of its keys. The last one takes longer than calls wait.
const ON_ITS_WAY: [u64; MOVES] = [10, 50, 100, 200, 300, 1_500];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slots_that_move_while_they_are_in_use_lose_nothing_and_double_nothing() {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let cluster = RedisCluster::start(&scene, "redis").await;
    let replicas = replicas(&scene, 2, |it| it.config(CONFIG).redis_cluster(&cluster)).await;
    let clients = clients(&replicas);
    let load = Load::start(Arc::default(), &senders(&clients), &mut random);
    load.goes_on(500).await;
    assert!(cluster.nodes().iter().all(|node| node.key_count() > 0), "all nodes are in use");

    let mut moved = 0;
    for (nth, slot) in fullest_slots(&cluster).into_iter().enumerate() {
        let from = cluster.node_of_slot(slot);
        let to = (from + 1) % cluster.nodes().len();
        cluster.begin_migration(slot, to);
        let millis = ON_ITS_WAY[nth];
        lasting(Duration::from_millis(millis)).await;
        moved += cluster.migrate_keys(slot, to, &half(cluster.keys_of_slot(slot), nth % 2 == 0));
        lasting(Duration::from_millis(millis)).await;
        moved += cluster.finish_migration(slot, to).await;
        assert_eq!(cluster.node_of_slot(slot), to);
        load.goes_on(100).await;
    }
    assert!(moved > MOVES, "{moved} keys were moved");

    let book = load.stop().await;
    for client in &clients {
        let ledger = balanced(&book, client).await;
        assert_eq!(storms(&ledger.requests), STORMS, "every storm is one request");
    }
    listed_everywhere(&clients, "").await;
    for node in cluster.nodes() {
        assert_eq!(node.keys_without_expiry(), [""; 0]);
    }
    println!("{} acknowledged, {} without a clear answer", book.acknowledged(), book.unknown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_master_that_crashes_with_what_its_replica_never_saw_loses_nothing_that_was_confirmed() {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let mut cluster = RedisCluster::builder(scene.path(), "redis").replicas().start().await;
    let recipe =
        |it: SeawallBuilder| it.config(CONFIG).redis_cluster(&cluster).redis_option("durability", "wait");
    let replicas = replicas(&scene, 2, recipe).await;
    let clients = clients(&replicas);
    let load = Load::start(Arc::default(), &senders(&clients), &mut random);
    load.goes_on(500).await;

    // The master that has what is not of one namespace alone; masters come before their replicas.
    let has_registry = |node: &RedisServer| node.keys().iter().any(|key| key.contains("partitions"));
    let crashing = cluster.nodes().iter().position(has_registry).expect("somebody has the registry");
    let replica = crashing + cluster.nodes().len() / 2;
    cluster.nodes()[replica].pause();
    cluster.nodes()[crashing].ask::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    for late in 0..20 {
        let alert = Alert::new("DiskFull", &format!("late-{late}"), "db-0");
        load.book.fire(&clients[0], &[alert]).await.expect("an answer");
    }
    cluster.kill_node(crashing);
    cluster.nodes()[replica].resume();
    assert_eq!(cluster.failed_over(crashing).await, replica);
    // Without one that confirms there, the new master's namespaces would stay refused.
    cluster.restart_node(crashing).await;
    load.goes_on(500).await;

    let book = load.stop().await;
    for client in &clients {
        let ledger = balanced(&book, client).await;
        assert_eq!(storms(&ledger.requests), STORMS, "every storm is one request");
    }
    listed_everywhere(&clients, "").await;
    println!("{} acknowledged, {} without a clear answer", book.acknowledged(), book.unknown());
}

/// The slots with most keys: those of storms, and then others.
fn fullest_slots(cluster: &RedisCluster) -> Vec<u16> {
    let mut keys: HashMap<String, (usize, String)> = HashMap::new();
    for key in cluster.nodes().iter().flat_map(|node| node.keys()) {
        if let Some((_, rest)) = key.split_once('{')
            && let Some((tag, _)) = rest.split_once('}')
        {
            keys.entry(tag.to_owned()).or_insert((0, key.clone())).0 += 1;
        }
    }
    let mut keys: Vec<_> = keys.into_values().collect();
    keys.sort_unstable_by(|one, other| other.cmp(one));
    keys.iter().take(MOVES).map(|(_, key)| cluster.slot_of(key)).collect()
}

/// Half of the keys of a slot, with the records of its partitions or without them.
fn half(mut keys: Vec<String>, with_records: bool) -> Vec<String> {
    keys.sort_by_key(|key| (key.ends_with(":p") != with_records, key.clone()));
    keys.truncate(keys.len().div_ceil(2));
    keys
}
