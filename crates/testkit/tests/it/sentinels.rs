use seawall_testkit::redis::{Engine, Sentinels};
use tempfile::TempDir;

fn directory() -> TempDir {
    TempDir::with_prefix("seawall-sentinels-").unwrap()
}

#[tokio::test]
async fn a_replica_becomes_the_primary_and_the_old_one_its_replica() {
    let home = directory();
    let mut redis = Sentinels::start_in(home.path(), "redis").await;
    assert_eq!(redis.urls().len(), 3);
    assert_eq!(redis.primary(), 0);
    redis.servers()[0].ask::<()>(&["SET", "key", "value"]);
    for replica in &redis.servers()[1..] {
        super::has_keys(replica, 1).await;
    }

    let old = redis.kill_primary();
    let new = redis.failed_over(old).await;
    assert_ne!(new, old);
    assert_eq!(redis.primary(), new);
    assert_eq!(redis.servers()[new].ask::<String>(&["GET", "key"]), "value");

    redis.restart(old).await;
    redis.rejoined(old).await;
    assert_eq!(redis.servers()[old].ask::<String>(&["GET", "key"]), "value");
    let refused = redis.servers()[old].try_ask::<()>(&["SET", "key", "other"]).unwrap_err();
    assert_eq!(refused.code(), Some("READONLY"));
}

#[tokio::test]
async fn a_primary_that_was_paused_finds_itself_replaced() {
    let home = directory();
    let redis =
        Sentinels::builder(home.path(), "valkey").engine(Engine::Valkey).password("secret").start().await;
    redis.servers()[0].pause();
    let new = redis.failed_over(0).await;
    redis.servers()[0].resume();
    redis.rejoined(0).await;
    assert_eq!(redis.primary(), new);
}
