use seawall_testkit::redis::{Engine, RedisCluster};
use tempfile::TempDir;

fn directory() -> TempDir {
    TempDir::with_prefix("seawall-cluster-").unwrap()
}

/// Writes as a client does: to the node that it takes for the owner, and on to where that one sends it.
fn set(cluster: &RedisCluster, keys: std::ops::Range<u32>) {
    let slot = cluster.slot_of("{tag}");
    for number in keys {
        let (key, owner) = (format!("{{tag}}{number}"), &cluster.nodes()[cluster.node_of_slot(slot)]);
        let Err(error) = owner.try_ask::<()>(&["SET", &key, "value"]) else { continue };
        let (address, _) = error.redirect_node().unwrap_or_else(|| panic!("{error}"));
        let next = cluster.nodes().iter().find(|node| node.url().ends_with(address)).unwrap();
        assert_eq!(error.kind(), redis::ErrorKind::Server(redis::ServerErrorKind::Ask));
        let mut asking = redis::pipe();
        asking.cmd("ASKING").ignore().cmd("SET").arg(key).arg("value");
        asking.query::<()>(&mut next.connection()).unwrap();
    }
}

#[tokio::test]
async fn a_slot_moves_with_its_keys_while_it_is_written_to() {
    let home = directory();
    let cluster = RedisCluster::start_in(home.path(), "cluster").await;
    set(&cluster, 0..250);
    let slot = cluster.slot_of("{tag}");
    let from = cluster.node_of_slot(slot);
    let to = (from + 1) % cluster.nodes().len();
    assert_eq!(cluster.nodes()[from].key_count(), 250);

    cluster.begin_migration(slot, to);
    assert_eq!(cluster.node_of_slot(slot), from, "a slot on its way has not arrived");
    // Keys that are not where the slot still is are sent on.
    set(&cluster, 250..300);
    assert_eq!(cluster.nodes()[from].key_count(), 250);
    assert_eq!(cluster.finish_migration(slot, to).await, 250);

    assert_eq!(cluster.node_of_slot(slot), to);
    assert_eq!(cluster.nodes()[to].key_count(), 300);
    assert_eq!(cluster.nodes()[from].key_count(), 0);
    set(&cluster, 300..310);
    assert_eq!(cluster.migrate_slot(slot, from).await, 310);
}

#[tokio::test]
async fn a_node_that_was_killed_comes_back_to_its_slots() {
    let home = directory();
    let mut cluster = RedisCluster::builder(home.path(), "cluster").without_full_coverage().start().await;
    let slot = cluster.slot_of("{tag}");
    let node = cluster.node_of_slot(slot);
    cluster.kill_node(node);
    let other = &cluster.nodes()[(node + 1) % 3];
    let own = (0..).map(|number: u32| format!("key-{number}")).find(|key| {
        let slot = cluster.slot_of(key);
        cluster.node_of_slot(slot) == (node + 1) % 3
    });
    other.ask::<()>(&["SET", &own.unwrap(), "served while a neighbour is dead"]);

    cluster.restart_node(node).await;
    assert_eq!(cluster.node_of_slot(slot), node);
    set(&cluster, 0..10);
}

#[tokio::test]
async fn a_replica_takes_over_for_a_master_that_was_killed() {
    let home = directory();
    let mut cluster =
        RedisCluster::builder(home.path(), "cluster").engine(Engine::Valkey).replicas().start().await;
    assert_eq!(cluster.urls().len(), 6);
    set(&cluster, 0..10);
    let slot = cluster.slot_of("{tag}");
    let master = cluster.node_of_slot(slot);
    super::has_keys(&cluster.nodes()[master + 3], 10).await;

    cluster.kill_node(master);
    let heir = cluster.failed_over(master).await;
    assert_ne!(heir, master);
    assert_eq!(cluster.node_of_slot(slot), heir);
    assert_eq!(cluster.nodes()[heir].key_count(), 10);

    cluster.restart_node(master).await;
    assert_eq!(cluster.node_of_slot(slot), heir, "the old master is now the replica");
    set(&cluster, 10..20);
}
