//! The doctor and real servers.

use std::time::Duration;

use seawall_testkit::free_port;
use seawall_testkit::redis::{Engine, RedisCluster, RedisServer, Sentinels};

use super::*;
use crate::redis::{RedisDurability, RedisMode};

async fn found(options: &RedisOptions, level: Level) -> Vec<String> {
    let findings = examine(options).await;
    findings.into_iter().filter(|finding| finding.level == level).map(|finding| finding.what).collect()
}

fn has(found: &[String], word: &str) {
    assert!(found.iter().any(|what| what.contains(word)), "{word}: {found:#?}");
}

#[tokio::test]
async fn a_server_as_it_comes_is_unsafe_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::builder(directory.path(), "redis")
        .arg("maxmemory", "100mb")
        .arg("maxmemory-policy", "allkeys-lru")
        .start()
        .await;
    let options = RedisOptions::standalone(&server.url());
    let found = found(&options, Level::Unsafe).await;
    has(&found, "allkeys-lru");
    has(&found, "keeps nothing on disk");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with(&format!("127.0.0.1:{}", server.port())), "{found:#?}");
    assert_eq!(server.key_count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn a_server_that_is_well_kept_is_fine() {
    let directory = tempfile::tempdir().unwrap();
    let server = RedisServer::builder(directory.path(), "valkey")
        .engine(Engine::Valkey)
        .arg("maxmemory", "100mb")
        .arg("appendonly", "yes")
        .arg("appendfsync", "always")
        .start()
        .await;
    let mut options = RedisOptions::standalone(&server.url());
    options.durability = RedisDurability::Aof { timeout: Duration::from_secs(1) };
    let findings = examine(&options).await;
    assert!(findings.iter().all(|finding| finding.level == Level::Fine), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.what.contains("valkey")), "{findings:#?}");
}

#[tokio::test]
async fn what_cannot_work_has_failed() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = RedisOptions::standalone(&format!("redis://127.0.0.1:{}", free_port()));
    has(&found(&options, Level::Failed).await, "nobody listens there (refused)");
    options.urls = vec!["http://nothing".to_owned()];
    has(&found(&options, Level::Failed).await, "http://nothing");

    let user = "limited on >secret ~seawall:* resetchannels -@all +get";
    let server = RedisServer::builder(directory.path(), "redis").arg("user", user).start().await;
    options.urls = vec![format!("redis://limited:secret@127.0.0.1:{}", server.port())];
    options.durability = RedisDurability::Aof { timeout: Duration::from_secs(1) };
    let failed = found(&options, Level::Failed).await;
    for word in ["run scripts", "send messages", "hear messages"] {
        has(&failed, word);
    }
    let warned = found(&options, Level::Warning).await;
    for word in ["memory, persistence and replicas could not be looked at", "appendfsync"] {
        has(&warned, word);
    }
    options.urls = vec![server.url()];
    has(&found(&options, Level::Failed).await, "WAITAOF");
    options.mode = RedisMode::Cluster;
    has(&found(&options, Level::Failed).await, "no node of a cluster");
}

#[tokio::test]
async fn the_primary_of_sentinels_and_every_master_of_a_cluster_are_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let sentinels = Sentinels::start_in(directory.path(), "ha").await;
    let mut options = RedisOptions::standalone("");
    options.urls = sentinels.urls();
    options.mode = RedisMode::Sentinel { master: sentinels.master_name().to_owned() };
    options.durability = RedisDurability::Wait { replicas: 2, timeout: Duration::from_secs(1) };
    has(&found(&options, Level::Fine).await, "2 replicas are connected, 2 have to confirm");
    has(&found(&options, Level::Warning).await, "min-replicas-to-write is 0");

    let cluster = RedisCluster::builder(directory.path(), "cluster").without_full_coverage().start().await;
    options = RedisOptions::standalone(&cluster.urls()[0]);
    options.mode = RedisMode::Cluster;
    let fine = found(&options, Level::Fine).await;
    for node in cluster.nodes() {
        has(&fine, &format!("127.0.0.1:{}: the cluster is whole", node.port()));
    }
    assert!(found(&options, Level::Failed).await.is_empty());
}
