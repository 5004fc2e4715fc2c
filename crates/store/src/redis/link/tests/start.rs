//! What is refused at the start, and how it is said.

use seawall_testkit::redis::{Engine, RedisCluster, Sentinels};

use super::*;
use crate::redis::{RedisDurability, RedisMode};

fn with(url: &str, change: impl FnOnce(&mut RedisOptions)) -> RedisOptions {
    let mut options = RedisOptions::standalone(url);
    change(&mut options);
    options
}

const AOF: RedisDurability = RedisDurability::Aof { timeout: Duration::from_secs(2) };

#[tokio::test]
async fn options_that_cannot_work_are_refused_with_what_to_write() {
    let url = "redis://127.0.0.1:1";
    for (options, word) in [
        (with("http://me:secret@host", |_| {}), "redis://"),
        (with(url, |options| options.urls.clear()), "state.redis.urls"),
        (with(url, |options| options.urls.push("rediss://127.0.0.1:2".to_owned())), "mixes"),
        (with(url, |options| options.connections = 0), "connections"),
        (with(url, |options| options.timeout = Duration::ZERO), "timeout"),
        (with(url, |options| options.key_prefix = "a{b}".to_owned()), "keyPrefix"),
        (
            with("rediss://127.0.0.1:1", |options| options.tls_ca = Some("/missing.pem".into())),
            "/missing.pem",
        ),
    ] {
        let reason = refusal(options).await;
        assert!(reason.contains(word) && !reason.contains("secret"), "{reason}");
    }
}

#[tokio::test]
async fn the_disk_cannot_be_promised_by_a_server_without_the_command() {
    let directory = directory();
    let server = RedisServer::builder(directory.path(), "redis").arg("appendonly", "yes").start().await;
    let reason = refusal(with(&server.url(), |options| options.durability = AOF)).await;
    assert!(reason.contains("WAITAOF") && reason.contains("durability"), "{reason}");
}

#[tokio::test]
async fn the_disk_is_promised_only_with_an_append_only_file() {
    let directory = directory();
    let server = RedisServer::builder(directory.path(), "valkey").engine(Engine::Valkey).start().await;
    let options = with(&server.url(), |options| options.durability = AOF);
    let reason = refusal(options.clone()).await;
    assert!(reason.contains("appendonly"), "{reason}");
    server.set_config("appendfsync", "always");
    server.set_config("appendonly", "yes");
    let linked = Linked::open(options).await.unwrap();
    assert_eq!(linked.count().await.unwrap(), done());
    linked.close().await;
}

#[tokio::test]
async fn missing_replicas_are_no_reason_not_to_start_but_nothing_is_acknowledged() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let within = Duration::from_millis(100);
    let options = with(&server.url(), |options| {
        options.durability = RedisDurability::Wait { replicas: 1, timeout: within };
    });
    let linked = Linked::open(options).await.unwrap();
    let error = linked.count().await.unwrap_err();
    assert_eq!((error.class, error.ambiguous), (Failure::NotReplicated, true), "{}", error.reason);
    assert!(linked.links.health().available, "reading and other calls go on");
    let replica = RedisServer::builder(directory.path(), "replica")
        .arg("replicaof", &format!("127.0.0.1 {}", server.port()))
        .start()
        .await;
    linked.recovered().await;
    assert_eq!(replica.ask::<i64>(&["EXISTS", KEY]), 1);
    linked.close().await;
}

#[tokio::test]
async fn a_mode_that_does_not_fit_the_server_is_refused() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let reason = refusal(with(&server.url(), |options| options.mode = RedisMode::Cluster)).await;
    assert!(reason.contains("cluster") && reason.contains(&server.port().to_string()), "{reason}");
    let sentinel = RedisMode::Sentinel { master: "seawall".to_owned() };
    let reason = refusal(with(&server.url(), |options| options.mode = sentinel)).await;
    assert!(reason.contains("is not a Sentinel"), "{reason}");

    let cluster = RedisCluster::start_in(directory.path(), "cluster").await;
    let reason = refusal(RedisOptions::standalone(&cluster.urls()[0])).await;
    assert!(reason.contains("set state.redis.mode to cluster"), "{reason}");

    let sentinels = Sentinels::start_in(directory.path(), "sentinels").await;
    let reason = refusal(RedisOptions::standalone(&sentinels.urls()[0])).await;
    assert!(reason.contains("this is a Sentinel"), "{reason}");
    let mut options = RedisOptions::standalone("");
    options.urls = sentinels.urls();
    options.mode = RedisMode::Sentinel { master: "other".to_owned() };
    let reason = refusal(options).await;
    assert!(reason.contains("`other`"), "{reason}");
}

#[tokio::test]
async fn a_replica_is_waited_for_and_then_unavailable() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let replica = RedisServer::builder(directory.path(), "replica")
        .arg("replicaof", &format!("127.0.0.1 {}", server.port()))
        .start()
        .await;
    let options = with(&replica.url(), |options| options.timeout = Duration::from_millis(100));
    assert_eq!(unavailable(options).await, Failure::ReadOnly);
}
