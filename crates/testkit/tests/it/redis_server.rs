use std::time::Duration;

use seawall_testkit::redis::{Engine, RedisServer};
use tempfile::TempDir;

fn directory() -> TempDir {
    TempDir::with_prefix("seawall-redis-").unwrap()
}

#[tokio::test]
async fn a_server_answers_and_keeps_nothing_over_a_restart() {
    let home = directory();
    let mut server = RedisServer::start_in(home.path(), "redis").await;
    let port = server.port();
    server.ask::<()>(&["SET", "key", "value"]);
    assert_eq!(server.ask::<String>(&["GET", "key"]), "value");
    assert!(server.memory() > 0);

    server.restart().await;
    assert_eq!(server.port(), port);
    assert_eq!(server.key_count(), 0, "nothing is kept unless the test asks for it");
}

#[tokio::test]
async fn several_servers_live_side_by_side() {
    let home = directory();
    let (one, two) = tokio::join!(
        RedisServer::start_in(home.path(), "one"),
        RedisServer::builder(home.path(), "two").password("secret").start()
    );
    two.ask::<()>(&["SET", "key", "value"]);
    assert_eq!(one.key_count(), 0);
    assert_eq!(two.key_count(), 1);
    assert!(
        redis::Client::open(format!("redis://127.0.0.1:{}", two.port()))
            .unwrap()
            .get_connection()
            .is_ok_and(|mut stranger| redis::cmd("GET").arg("key").query::<String>(&mut stranger).is_err())
    );
}

#[tokio::test]
async fn what_was_appended_and_synced_survives_a_kill() {
    let home = directory();
    let mut server = RedisServer::builder(home.path(), "redis")
        .arg("--appendonly", "yes")
        .arg("appendfsync", "always")
        .start()
        .await;
    server.ask::<()>(&["SET", "key", "value"]);
    server.kill9();
    assert!(server.try_connection().is_err());
    server.restart().await;
    assert_eq!(server.ask::<String>(&["GET", "key"]), "value");

    server.terminate().await;
    server.restart().await;
    assert_eq!(server.key_count(), 1);
}

#[tokio::test]
async fn only_valkey_can_be_asked_to_wait_for_its_disk() {
    let home = directory();
    let wait = ["WAITAOF", "1", "0", "1000"];
    for (engine, name) in [(Engine::Redis, "redis"), (Engine::Valkey, "valkey")] {
        let server =
            RedisServer::builder(home.path(), name).engine(engine).arg("appendonly", "yes").start().await;
        server.ask::<()>(&["SET", "key", "value"]);
        let synced = server.try_ask::<(u64, u64)>(&wait);
        match engine {
            Engine::Redis => assert!(synced.is_err(), "{synced:?}"),
            Engine::Valkey => assert!(synced.is_ok(), "{synced:?}"),
        }
    }
}

#[tokio::test]
async fn a_paused_server_is_silent_and_goes_on_where_it_was() {
    let home = directory();
    let server = RedisServer::start_in(home.path(), "redis").await;
    let mut connection = server.connection();
    server.pause();
    connection.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let silent = redis::cmd("SET").arg("key").arg(1).query::<()>(&mut connection).unwrap_err();
    assert!(silent.is_timeout(), "{silent}");

    server.resume();
    // The command that timed out runs all the same.
    super::has_keys(&server, 1).await;
}

#[tokio::test]
async fn keys_without_expiry_are_found_among_many() {
    let home = directory();
    let server = RedisServer::start_in(home.path(), "redis").await;
    assert!(server.keys_without_expiry().is_empty());
    let mut pipeline = redis::pipe();
    for number in 0..3_000 {
        pipeline.cmd("SET").arg(format!("dies-{number}")).arg(1).arg("EX").arg(1_000);
    }
    pipeline.cmd("SET").arg("stays").arg(1).cmd("HSET").arg("{tag}stays").arg("field").arg(1);
    pipeline.query::<()>(&mut server.connection()).unwrap();
    assert_eq!(server.keys_without_expiry(), ["stays", "{tag}stays"]);
    assert_eq!(server.keys().len(), 3_002);
    server.flush_all();
    assert_eq!(server.key_count(), 0);
}

#[tokio::test]
async fn settings_and_scripts_can_be_changed_while_it_runs() {
    let home = directory();
    let server = RedisServer::start_in(home.path(), "redis").await;
    server.set_config("maxmemory", "100kb");
    assert!(server.try_ask::<()>(&["SET", "key", "value"]).is_err(), "an empty server needs more than that");
    server.set_config("maxmemory", "0");
    server.ask::<()>(&["SET", "key", "value"]);

    let script: String = server.ask(&["SCRIPT", "LOAD", "return 7"]);
    assert_eq!(server.ask::<u64>(&["EVALSHA", &script, "0"]), 7);
    server.script_flush();
    assert!(server.try_ask::<u64>(&["EVALSHA", &script, "0"]).is_err());
}

#[tokio::test]
async fn users_can_be_given_rights_of_their_own() {
    let home = directory();
    let server = RedisServer::builder(home.path(), "redis")
        .arg("user", "seawall on >secret ~seawall:* +@all")
        .start()
        .await;
    let login = format!("redis://seawall:secret@127.0.0.1:{}", server.port());
    let mut user = redis::Client::open(login).unwrap().get_connection().unwrap();
    assert!(redis::cmd("GET").arg("other:key").query::<Option<String>>(&mut user).is_err());
    redis::cmd("SET").arg("seawall:key").arg(1).query::<()>(&mut user).unwrap();
}
