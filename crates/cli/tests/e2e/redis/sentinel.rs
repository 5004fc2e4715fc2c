//! A primary dies under load: Sentinels choose another one, and everything goes on there.

use std::sync::Arc;
use std::time::Duration;

use seawall_testkit::redis::{RedisServer, Sentinels};
use seawall_testkit::{Client, Random, Scene, Seawall, SeawallBuilder};

use super::{clients, listed_everywhere, replicas, senders, storms};
use crate::load::{CONFIG, Load, STORMS, balanced};
use crate::support::{lasting, samples, scene_alone};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_of_the_primary_loses_nothing_that_a_replica_has_confirmed() {
    let scene = scene_alone().await;
    let mut cast = Cast::start(&scene, &[]).await;
    cast.separate_replicas();
    // Whatever it takes now, nobody else ever sees.
    lasting(Duration::from_secs(1)).await;
    let dead = cast.servers.kill_primary();
    cast.replicas(dead).for_each(RedisServer::resume);
    cast.servers.failed_over(dead).await;
    cast.load.goes_on(500).await;
    // It comes back empty, and takes itself for the primary until the Sentinels notice.
    cast.servers.restart(dead).await;
    cast.has_everything().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_stands_still_until_another_one_has_taken_over_loses_nothing_either() {
    let scene = scene_alone().await;
    let settings = [("min-replicas-to-write", "1"), ("min-replicas-max-lag", "10")];
    let cast = Cast::start(&scene, &settings).await;
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
    async fn start(scene: &Scene, settings: &[(&str, &str)]) -> Self {
        let mut random = Random::new();
        println!("seed {}", random.seed());
        let servers = Sentinels::builder(scene.path(), "redis");
        let servers = settings.iter().fold(servers, |servers, (name, value)| servers.arg(name, value));
        let servers = servers.start().await;
        let recipe =
            |it: SeawallBuilder| it.config(CONFIG).sentinels(&servers).redis_option("durability", "wait");
        let replicas = replicas(scene, 2, recipe).await;
        let clients = clients(&replicas);
        let load = Load::start(Arc::default(), &senders(&clients), &mut random);
        load.goes_on(500).await;
        Self { servers, clients, load, _replicas: replicas }
    }

    /// The servers that are not the primary.
    fn replicas(&self, primary: usize) -> impl Iterator<Item = &RedisServer> {
        let servers = self.servers.servers().iter().enumerate();
        servers.filter(move |(number, _)| *number != primary).map(|(_, server)| server)
    }

    /// Lets the replicas stand still, and cuts their connections: what is on its way would still reach them.
    fn separate_replicas(&self) {
        let primary = self.servers.primary();
        self.replicas(primary).for_each(RedisServer::pause);
        self.servers.servers()[primary].ask::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]);
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
