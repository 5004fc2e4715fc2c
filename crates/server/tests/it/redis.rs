//! Servers over one Redis.

use seawall_model::{Field, StormRule};
use seawall_server::config::{Config, Settings};
use seawall_server::doctor::{Finding, Level, examine};
use seawall_server::{ServeError, Server};
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Client, Samples, free_port};

fn settings(url: &str) -> Settings {
    with(&format!("urls: ['{url}']"))
}

/// With these keys of `state.redis`.
fn with(keys: &str) -> Settings {
    let yaml = format!("server: {{listen: '127.0.0.1:0'}}\nstate: {{kind: redis, redis: {{{keys}}}}}");
    Config::from_yaml(&yaml).unwrap().validated(false).unwrap()
}

#[tokio::test]
async fn two_servers_share_what_is_open_and_leave_it_to_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let redis = RedisServer::start_in(directory.path(), "redis").await;
    let one = Server::start(settings(&redis.url())).await.unwrap();
    let other = Server::start(settings(&redis.url())).await.unwrap();
    let alert = [Alert::new("DiskFull", "prod", "db-0")];
    assert_eq!(Client::new(one.address()).fire(&alert).await.unwrap().status, 201);
    let client = Client::new(other.address());
    assert_eq!(client.fire(&alert).await.unwrap().json()["status"], "duplicate");
    let text = client.get("/metrics").await.unwrap().text();
    assert!(
        (Samples::parse(&text).sum("seawall_state_available", &["store=\"redis\""]) - 1.0).abs() < 0.1,
        "{text}"
    );
    one.stop().await.unwrap();
    other.stop().await.unwrap();

    let next = Server::start(settings(&redis.url())).await.unwrap();
    assert_eq!(Client::new(next.address()).requests("").await.len(), 1);
    next.stop().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_is_named_without_its_password() {
    let url = format!("redis://app:s3cret@127.0.0.1:{}", free_port());
    let Err(error @ ServeError::Open { .. }) = Server::start(settings(&url)).await else {
        panic!("it started")
    };
    let place = url.replace("app:s3cret@", "");
    assert_eq!(error.to_string(), format!("open Redis at {place} (`seawall doctor` examines it)"));
    let whole = format!("{error:?} {}", std::error::Error::source(&error).unwrap());
    assert!(!whole.contains("s3cret"), "{whole}");
    assert!(!error.is_usage());
}

/// The rights of the user that the documentation describes.
fn documented_rights() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md");
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("user seawall on >PASSWORD ")).unwrap();
    line.replace("user seawall on >PASSWORD ", "")
}

#[tokio::test]
async fn the_user_of_the_documentation_may_do_what_is_needed_and_nothing_dangerous() {
    let directory = tempfile::tempdir().unwrap();
    let user = format!("seawall on >s3cret {}", documented_rights());
    let redis = RedisServer::builder(directory.path(), "redis").arg("user", &user).start().await;
    let password = directory.path().join("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    let (url, password) = (redis.url(), password.display());
    let settings = with(&format!("urls: ['{url}'], username: seawall, passwordFile: '{password}'"));
    let found = examine(&settings).await;
    let forbidden = |finding: &&Finding| finding.level == Level::Failed || finding.what.contains("could not");
    assert_eq!(found.iter().find(forbidden), None, "the doctor may look at everything");
    let running = Server::start(settings).await.unwrap();
    let client = Client::new(running.address());
    assert_eq!(client.fire(&Alert::pods("PodCrashLooping", "prod", 15)).await.unwrap().status, 201);
    assert_eq!(client.fire(&[Alert::new("DiskFull", "shop", "db-0")]).await.unwrap().status, 201);
    let requests = client.requests("namespace=shop").await;
    let name = requests[0].metadata.name.as_deref().unwrap();
    assert_eq!(client.set_phase("shop", name, "Completed").await.status, 200);
    assert_eq!(client.storms().await.len(), 1);
    assert_eq!(
        client.document(&format!("/api/v1/requests/shop/{name}")).await["status"]["overallPhase"],
        "Completed"
    );
    running.stop().await.unwrap();
    let refused: Vec<Vec<String>> = redis.ask(&["ACL", "LOG"]);
    assert!(refused.is_empty(), "{refused:?}");
    for command in
        [&["FLUSHALL"][..], &["KEYS", "*"], &["CONFIG", "SET", "maxmemory", "1"], &["SET", "other", "1"]]
    {
        let allowed: String = redis.ask(&[&["ACL", "DRYRUN", "seawall"], command].concat());
        assert_ne!(allowed, "OK", "{command:?}");
    }
}

#[tokio::test]
async fn the_doctor_says_that_a_rule_across_namespaces_makes_one_partition() {
    let mut settings = settings(&format!("redis://127.0.0.1:{}", free_port()));
    let about = async |settings: &Settings| {
        let found = examine(settings).await;
        found.iter().filter(|finding| finding.what.contains("one partition")).count()
    };
    assert_eq!(about(&settings).await, 0);
    settings.policy.rules.push(StormRule::named("nodes", vec![Field::Node]));
    assert_eq!(about(&settings).await, 1);
}
