//! A primary dies under load: Sentinels choose another one, and everything goes on there.

use std::sync::Arc;

use seawall_testkit::Random;
use seawall_testkit::redis::Sentinels;

use super::{clients, listed_everywhere, replicas, senders, storms};
use crate::load::{CONFIG, Load, STORMS, balanced};
use crate::support::{samples, scene_alone};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_of_the_primary_loses_nothing_that_a_replica_has_confirmed() {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let servers = Sentinels::builder(scene.path(), "redis").arg("min-replicas-to-write", "1");
    let mut servers = servers.arg("min-replicas-max-lag", "10").start().await;
    let recipe = |it: seawall_testkit::SeawallBuilder| {
        it.config(CONFIG).sentinels(&servers).redis_option("durability", "wait")
    };
    let replicas = replicas(&scene, 2, recipe).await;
    let clients = clients(&replicas);
    let load = Load::start(Arc::default(), &senders(&clients), &mut random);
    load.goes_on(500).await;

    let dead = servers.kill_primary();
    let new = servers.failed_over(dead).await;
    assert_ne!(new, dead);
    load.goes_on(500).await;
    // It comes back empty, and takes itself for the primary until the Sentinels notice.
    servers.restart(dead).await;
    load.goes_on(500).await;

    let book = load.stop().await;
    for client in &clients {
        let ledger = balanced(&book, client).await;
        assert_eq!(storms(&ledger.requests), STORMS, "every storm is one request");
        let outages = samples(client).await.sum("seawall_state_outages_total", &["store=\"redis\""]);
        assert!(outages >= 1.0, "the crash was noticed");
    }
    listed_everywhere(&clients, "").await;
    println!("{} acknowledged, {} without a clear answer", book.acknowledged(), book.unknown());
}
