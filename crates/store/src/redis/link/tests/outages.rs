//! Everything that can keep one server from answering.

use seawall_testkit::redis::RedisServerBuilder;
use seawall_testkit::{eventually, free_port};
use tokio::time::Instant;

use super::*;
use crate::redis::Credentials;

/// What an answer that waits for nothing takes at most, on a loaded machine.
const AT_ONCE: Duration = Duration::from_millis(200);

/// The recovery that is promised.
const RECOVERY: Duration = Duration::from_secs(1);

fn impatient(server: &RedisServer) -> RedisOptions {
    RedisOptions { timeout: Duration::from_millis(400), ..RedisOptions::standalone(&server.url()) }
}

fn server(directory: &TempDir) -> RedisServerBuilder {
    RedisServer::builder(directory.path(), "redis")
}

impl Linked {
    /// Calls until one fails with this class, which must not take long.
    async fn fails(&self, class: Failure) -> LinkError {
        let error = eventually(PATIENCE, || async {
            match self.count().await {
                Err(error) => Ok(error),
                Ok(_) => Err("a call succeeded"),
            }
        })
        .await;
        assert_eq!(error.class, class, "{}", error.reason);
        error
    }

    /// An outage is known: calls fail at once, for the same reason, and have surely not been executed.
    async fn fails_at_once(&self, class: Failure) {
        for _ in 0..20 {
            let began = Instant::now();
            let error = self.count().await.unwrap_err();
            assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
            assert_eq!((error.class, error.ambiguous), (class, false), "{}", error.reason);
        }
        let health = self.links.health();
        assert!(!health.available && health.reason.is_some(), "{health:?}");
    }

    fn outages(&self) -> u64 {
        self.links.outages().0
    }
}

#[tokio::test]
async fn nobody_there_is_said_after_a_few_deadlines_and_not_refused_for_good() {
    let mut options = RedisOptions::standalone(&format!("redis://127.0.0.1:{}", free_port()));
    options.timeout = Duration::from_millis(50);
    assert_eq!(unavailable(options).await, Failure::Refused);
}

#[tokio::test]
async fn a_start_waits_a_little_for_the_server() {
    let directory = directory();
    let mut server = server(&directory).start().await;
    server.kill9();
    let options = RedisOptions::standalone(&server.url());
    let (linked, ()) = tokio::join!(Linked::open(options), server.restart());
    linked.unwrap().close().await;
}

#[tokio::test]
async fn a_paused_server_costs_each_caller_one_deadline_and_then_nothing() {
    let directory = directory();
    let server = server(&directory).start().await;
    let linked = Linked::open(impatient(&server)).await.unwrap();
    linked.count().await.unwrap();
    server.pause();
    let began = Instant::now();
    let calls = (0..50).map(|_| linked.count());
    for answer in futures_util::future::join_all(calls).await {
        let error = answer.unwrap_err();
        assert_eq!((error.class, error.ambiguous), (Failure::Timeout, true), "{}", error.reason);
    }
    assert!(began.elapsed() < Duration::from_millis(400) + AT_ONCE, "{:?}", began.elapsed());
    linked.fails_at_once(Failure::Timeout).await;
    let (count, seconds) = linked.links.outages();
    assert!(count == 1 && seconds < began.elapsed().as_secs_f64(), "{count} {seconds}");
    server.resume();
    let began = Instant::now();
    linked.recovered().await;
    assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
    assert_eq!(linked.outages(), 1);
    linked.close().await;
}

#[tokio::test]
async fn a_server_that_was_killed_is_found_again_without_a_herd() {
    let directory = directory();
    let mut server = server(&directory).start().await;
    let linked = Linked::to(&server).await;
    linked.count().await.unwrap();
    server.kill9();
    let error = linked.count().await.unwrap_err();
    assert!(matches!(error.class, Failure::Reset | Failure::Refused), "{}", error.reason);
    let class = error.class;
    linked.fails_at_once(class).await;
    server.restart().await;
    let began = Instant::now();
    linked.recovered().await;
    assert!(began.elapsed() < RECOVERY, "{:?}", began.elapsed());
    let made: u64 = server.info("stats", "total_connections_received");
    // Those of the fixture itself, one of the probe, and one for the partition.
    assert!(made < 30, "{made} connections were made");
    linked.close().await;
}

#[tokio::test]
async fn a_full_server_is_an_outage_until_it_has_room() {
    let directory = directory();
    let server = server(&directory).arg("maxmemory-policy", "noeviction").start().await;
    let linked = Linked::to(&server).await;
    linked.count().await.unwrap();
    server.set_config("maxmemory", "1");
    let error = linked.fails(Failure::OutOfMemory).await;
    assert!(!error.reason.is_empty());
    linked.fails_at_once(Failure::OutOfMemory).await;
    server.set_config("maxmemory", "0");
    linked.recovered().await;
    assert_eq!(linked.outages(), 1);
    linked.close().await;
}

#[tokio::test]
async fn a_server_that_became_a_replica_is_an_outage_until_it_is_a_primary_again() {
    let directory = directory();
    let server = server(&directory).start().await;
    let other = RedisServer::start_in(directory.path(), "other").await;
    let linked = Linked::to(&server).await;
    linked.count().await.unwrap();
    server.ask::<()>(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    linked.fails(Failure::ReadOnly).await;
    linked.fails_at_once(Failure::ReadOnly).await;
    server.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    linked.recovered().await;
    linked.close().await;
}

#[tokio::test]
async fn a_password_is_read_from_its_file_at_every_connect() {
    let directory = directory();
    let server = server(&directory).password("first").start().await;
    let file = directory.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let mut options = RedisOptions::standalone(&format!("redis://127.0.0.1:{}", server.port()));
    options.credentials = Credentials { username: None, password_file: Some(file.clone()) };
    let linked = Linked::open(options.clone()).await.unwrap();
    linked.count().await.unwrap();

    // The password is changed at the server first; connections that are there stay.
    let mut admin = server.connection();
    redis::cmd("CONFIG").arg(&["SET", "requirepass", "second"]).exec(&mut admin).unwrap();
    linked.count().await.unwrap();
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut admin).unwrap();
    eventually(PATIENCE, || async {
        let class = linked.count().await.unwrap_err().class;
        if class == Failure::Denied || linked.links.health().reason.is_some_and(|r| r.contains("WRONGPASS")) {
            Ok(())
        } else {
            Err(format!("{class:?}"))
        }
    })
    .await;
    std::fs::write(&file, "second\n").unwrap();
    linked.recovered().await;

    std::fs::write(&file, "third\n").unwrap();
    let reason = refusal(options.clone()).await;
    assert!(reason.contains("WRONGPASS") && reason.contains(&server.port().to_string()), "{reason}");
    assert!(!reason.contains("third"), "{reason}");
    options.credentials.password_file = Some(directory.path().join("missing"));
    let reason = refusal(options).await;
    assert!(reason.contains("password file") && reason.contains("missing"), "{reason}");
    linked.close().await;
}

#[tokio::test]
async fn a_missing_password_is_refused_at_the_start() {
    let directory = directory();
    let server = server(&directory).password("secret").start().await;
    let reason = refusal(RedisOptions::standalone(&format!("redis://127.0.0.1:{}", server.port()))).await;
    assert!(reason.contains("NOAUTH"), "{reason}");
    let reason =
        refusal(RedisOptions::standalone(&format!("redis://:wrong@127.0.0.1:{}", server.port()))).await;
    assert!(reason.contains("WRONGPASS") && !reason.contains("wrong@"), "{reason}");
}

#[tokio::test]
async fn a_command_that_is_forbidden_is_no_outage() {
    let directory = directory();
    let user = "limited on >secret ~seawall:* &* +@all -incr";
    let server = server(&directory).arg("user", user).start().await;
    let linked = Linked::open(RedisOptions::standalone(&format!(
        "redis://limited:secret@127.0.0.1:{}",
        server.port()
    )))
    .await
    .unwrap();
    let error = linked.links.pipe(&command(&["INCR", KEY]), KEY).await.unwrap_err();
    assert_eq!(error.class, Failure::Denied, "{}", error.reason);
    assert!(linked.links.health().available);
    linked.close().await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_nobody_used_it_is_no_failure() {
    let directory = directory();
    let server = server(&directory).start().await;
    let linked = Linked::to(&server).await;
    for _ in 0..3 {
        linked.count().await.unwrap();
        let clients = || server.ask::<String>(&["CLIENT", "LIST", "TYPE", "normal"]);
        assert!(clients().contains("name=seawall"));
        let mut admin = server.connection();
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]).exec(&mut admin).unwrap();
        // Several looks, so that our side has had its turn, too.
        let mut looks = 0;
        eventually(PATIENCE, || {
            looks += 1;
            let is_gone = looks > 3 && !clients().contains("name=seawall");
            async move { if is_gone { Ok(()) } else { Err("it is still there") } }
        })
        .await;
    }
    linked.count().await.unwrap();
    assert_eq!(linked.outages(), 0);
    linked.close().await;
}

#[tokio::test]
async fn an_outage_is_noticed_without_calls() {
    let directory = directory();
    let mut server = server(&directory).start().await;
    let linked = Linked::to(&server).await;
    let mut heard = linked.links.subscribe("seawall:1:changes".to_owned());
    assert_eq!(heard.recv().await, Some(crate::redis::link::Heard::Gap));
    server.kill9();
    eventually(PATIENCE, || async {
        if linked.links.health().available { Err("nothing was noticed") } else { Ok(()) }
    })
    .await;
    server.restart().await;
    assert_eq!(heard.recv().await, Some(crate::redis::link::Heard::Gap));
    linked.recovered().await;
    linked.close().await;
}

#[tokio::test]
async fn a_user_without_a_password_is_that_user() {
    let directory = directory();
    let server = server(&directory).arg("user", "guest on nopass ~seawall:* &* +@all").start().await;
    let mut options = RedisOptions::standalone(&server.url());
    options.credentials.username = Some("guest".to_owned());
    let linked = Linked::open(options).await.unwrap();
    let who = linked.links.pipe(&command(&["ACL", "WHOAMI"]), KEY).await.unwrap();
    assert_eq!(who, [Value::BulkString(b"guest".to_vec())]);
    linked.close().await;
}
