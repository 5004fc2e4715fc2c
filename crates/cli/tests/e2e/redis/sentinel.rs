//! A primary dies under load: Sentinels choose another one, and everything goes on there.

use std::sync::Arc;

use seawall_testkit::redis::Sentinels;
use seawall_testkit::{Client, Random, Scene, Seawall, SeawallBuilder};

use super::{clients, listed_everywhere, replicas, senders, storms};
use crate::load::{CONFIG, Load, STORMS, balanced};
use crate::support::{samples, scene_alone};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_of_the_primary_loses_nothing_that_a_replica_has_confirmed() {
    let scene = scene_alone().await;
    let mut cast = Cast::start(&scene).await;
    let dead = cast.servers.kill_primary();
    cast.servers.failed_over(dead).await;
    cast.load.goes_on(500).await;
    // It comes back empty, and takes itself for the primary until the Sentinels notice.
    cast.servers.restart(dead).await;
    cast.has_everything().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_stands_still_until_another_one_has_taken_over_loses_nothing_either() {
    let scene = scene_alone().await;
    let cast = Cast::start(&scene).await;
    let old = cast.servers.primary();
    cast.servers.servers()[old].pause();
    cast.servers.failed_over(old).await;
    cast.load.goes_on(500).await;
    // What was on its way to it when it stood still is still decided there, and confirmed by nobody.
    cast.servers.servers()[old].resume();
    cast.has_everything().await;
}

/// Two replicas on a primary with two of its own, under load.
struct Cast {
    servers: Sentinels,
    clients: Vec<Client>,
    load: Load,
    _replicas: Vec<Seawall>,
}

impl Cast {
    async fn start(scene: &Scene) -> Self {
        let mut random = Random::new();
        println!("seed {}", random.seed());
        let servers = Sentinels::builder(scene.path(), "redis").arg("min-replicas-to-write", "1");
        let servers = servers.arg("min-replicas-max-lag", "10").start().await;
        let recipe =
            |it: SeawallBuilder| it.config(CONFIG).sentinels(&servers).redis_option("durability", "wait");
        let replicas = replicas(scene, 2, recipe).await;
        let clients = clients(&replicas);
        let load = Load::start(Arc::default(), &senders(&clients), &mut random);
        load.goes_on(500).await;
        Self { servers, clients, load, _replicas: replicas }
    }

    async fn has_everything(self) {
        self.load.goes_on(500).await;
        let book = self.load.stop().await;
        for client in &self.clients {
            let ledger = balanced(&book, client).await;
            assert_eq!(storms(&ledger.requests), STORMS, "every storm is one request");
            let outages = samples(client).await.sum("seawall_state_outages_total", &["store=\"redis\""]);
            assert!(outages >= 1.0, "the outage was noticed");
        }
        listed_everywhere(&self.clients, "").await;
        println!("{} acknowledged, {} without a clear answer", book.acknowledged(), book.unknown());
    }
}
