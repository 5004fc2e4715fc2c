//! What is acknowledged survives what the configuration says it survives.

use futures_util::future::join_all;
use seawall_testkit::redis::{Engine, RedisServerBuilder};

use super::*;
use crate::redis::RedisDurability;

/// Callers at once, each of a partition of its own.
const CALLERS: usize = 40;

fn key(number: usize) -> String {
    format!("seawall:1:{{eu/{number}}}:count")
}

fn options(server: &RedisServer, durability: RedisDurability) -> RedisOptions {
    RedisOptions { durability, ..RedisOptions::standalone(&server.url()) }
}

fn valkey(directory: &TempDir) -> RedisServerBuilder {
    RedisServer::builder(directory.path(), "valkey").engine(Engine::Valkey).arg("appendonly", "yes")
}

impl Linked {
    async fn count_everywhere(&self) -> Vec<Result<Value, LinkError>> {
        let script = Script::new(COUNT);
        let calls = (0..CALLERS).map(|number| {
            let (links, script) = (&self.links, &script);
            async move { links.run(script, &key(number), &[b"done"], true).await }
        });
        join_all(calls).await
    }
}

/// How often a command was called.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let info: String = server.ask(&["INFO", "commandstats"]);
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn what_the_disk_has_confirmed_survives_a_kill() {
    let directory = directory();
    let mut server = valkey(&directory).arg("appendfsync", "always").start().await;
    let aof = RedisDurability::Aof { timeout: Duration::from_secs(5) };
    let linked = Linked::open(options(&server, aof)).await.unwrap();
    let mut acknowledged = vec![0_i64; CALLERS];
    for _ in 0..3 {
        for (count, answer) in acknowledged.iter_mut().zip(linked.count_everywhere().await) {
            answer.unwrap();
            *count += 1;
        }
    }
    server.restart().await;
    for (number, count) in acknowledged.iter().enumerate() {
        assert_eq!(server.ask::<i64>(&["GET", &key(number)]), *count, "partition {number}");
    }
    linked.close().await;
}

#[tokio::test]
async fn callers_share_a_confirmation_that_takes_long() {
    let directory = directory();
    let server = valkey(&directory).arg("appendfsync", "everysec").start().await;
    let aof = RedisDurability::Aof { timeout: Duration::from_secs(5) };
    let linked = Linked::open(options(&server, aof)).await.unwrap();
    let before = calls(&server, "waitaof");
    for answer in linked.count_everywhere().await {
        answer.unwrap();
    }
    let confirmations = calls(&server, "waitaof") - before;
    // The first caller of each of the four connections goes alone, everybody else shares the next. The scripts were
    // not known, so once more.
    assert!(confirmations <= 16, "{confirmations} for {CALLERS} callers");
    linked.close().await;
}

#[tokio::test]
async fn missing_replicas_are_never_taken_for_an_outage_however_many_wait() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let wait = RedisDurability::Wait { replicas: 1, timeout: Duration::from_millis(300) };
    let options = RedisOptions { timeout: Duration::from_millis(300), ..options(&server, wait) };
    let linked = Linked::open(options).await.unwrap();
    for answer in linked.count_everywhere().await {
        let error = answer.unwrap_err();
        assert_eq!((error.class, error.ambiguous), (Failure::NotReplicated, true), "{}", error.reason);
    }
    assert!(linked.links.health().available);
    assert_eq!(linked.links.outages().0, 0);
    linked.close().await;
}

#[tokio::test]
async fn a_call_that_writes_nothing_is_confirmed_too() {
    let directory = directory();
    let server = RedisServer::start_in(directory.path(), "redis").await;
    let wait = RedisDurability::Wait { replicas: 1, timeout: Duration::from_millis(100) };
    let linked = Linked::open(options(&server, wait)).await.unwrap();
    // As a repeated call, whose writes were made over a connection that is gone: there is nothing that this connection
    // could wait for, yet nothing is confirmed.
    let repeated = Script::new("return redis.call('GET', KEYS[1])");
    for _ in 0..2 {
        let error = linked.links.run(&repeated, KEY, &[], true).await.unwrap_err();
        assert_eq!(error.class, Failure::NotReplicated);
    }
    linked.links.run(&repeated, KEY, &[], false).await.unwrap();
    linked.close().await;
}
