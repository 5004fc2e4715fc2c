//! `durability: aof` and `wait`: what is acknowledged is in the server's append-only file, or in one of its replicas.

use std::sync::Arc;
use std::time::Duration;

use seawall_testkit::redis::{Engine, RedisServer};
use seawall_testkit::{Alert, Random, SeawallBuilder, eventually};

use super::{clients, listed_everywhere, replicas, senders};
use crate::load::{CONFIG, Load, balanced};
use crate::support::{SOON, fire, lasting, samples, scene, scene_alone};

const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_has_everything_acknowledged_in_its_append_only_file() {
    let scene = scene_alone().await;
    let mut random = Random::new();
    println!("seed {}", random.seed());
    let server = RedisServer::builder(scene.path(), "valkey").engine(Engine::Valkey);
    let mut server = server.arg("appendonly", "yes").arg("appendfsync", "everysec").start().await;
    let recipe = |it: SeawallBuilder| {
        // A sync comes once a second.
        let it = it.config(CONFIG).redis(&server).redis_option("durability", "aof");
        it.redis_option("waitTimeout", "3s")
    };
    let replicas = replicas(&scene, 2, recipe).await;
    let clients = clients(&replicas);
    let mut senders = senders(&clients);
    // Whoever waits for the disk sends no second alert meanwhile.
    (senders.count, senders.patience) = (64, Duration::from_secs(10));
    let load = Load::start(Arc::default(), &senders, &mut random);

    for _ in 0..KILLS {
        load.goes_on(random.between(50..150)).await;
        let waited: String = server.ask(&["INFO", "commandstats"]);
        assert!(waited.contains("cmdstat_waitaof"), "answers wait for the disk: {waited}");
        server.kill9();
        // Sometimes shorter and sometimes longer than calls are repeated.
        lasting(Duration::from_millis(random.between(0..2_000))).await;
        server.restart().await;
    }
    load.goes_on(50).await;

    let book = load.stop().await;
    for client in &clients {
        balanced(&book, client).await;
    }
    listed_everywhere(&clients, "").await;
    println!("{} acknowledged, {} without a clear answer", book.acknowledged(), book.unknown());
}

#[tokio::test]
async fn a_server_that_cannot_promise_its_disk_is_refused_at_start() {
    let scene = scene().await;
    let old = RedisServer::builder(scene.path(), "redis").arg("appendonly", "yes").start().await;
    let valkey = RedisServer::builder(scene.path(), "valkey").engine(Engine::Valkey).start().await;
    for (server, name, reason) in [
        (&old, "on-redis", "needs a server with WAITAOF (Redis 7.2, Valkey), which this one lacks"),
        (&valkey, "on-valkey", "set appendonly yes at the server"),
    ] {
        let builder = scene.seawall(name).redis(server).redis_option("durability", "aof");
        let refusal = builder.try_start().await.expect_err("it cannot keep the promise");
        assert_eq!(refusal.code, Some(1), "{}", refusal.said);
        assert!(refusal.said.contains(reason), "{}", refusal.said);
        assert!(refusal.said.contains(&format!("127.0.0.1:{}", server.port())), "{}", refusal.said);
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_until_there_is_a_replica_that_confirms_it() {
    let scene = scene().await;
    let primary = RedisServer::start(&scene, "primary").await;
    let seawall = scene.seawall("seawall").redis(&primary).redis_option("durability", "wait");
    let seawall = seawall.redis_option("waitTimeout", "300ms").start().await;
    let client = seawall.client();
    let alert = Alert::new("DiskFull", "prod", "db-0");
    let refused = fire(&client, &alert).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.retry_after().is_some());
    let class = ["store=\"redis\"", "class=\"not_replicated\""];
    assert!(samples(&client).await.sum("seawall_state_errors_total", &class) >= 1.0);

    let _replica = RedisServer::builder(scene.path(), "replica")
        .arg("replicaof", &format!("127.0.0.1 {}", primary.port()))
        .arg("repl-diskless-sync-delay", "0")
        .start()
        .await;
    eventually(SOON, || async {
        let answer = fire(&client, &alert).await;
        if answer.status.is_success() { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1, "what was refused may be there and is not doubled");
}
