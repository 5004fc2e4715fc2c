//! A mistake in the configuration is found before anything else happens, and named.

use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Client, Samples, Seawall, eventually, free_port};

use crate::support::{SOON, fire, requests_in, run, scene, the_storm};

#[tokio::test]
async fn a_wrong_configuration_ends_with_two_and_names_the_place() {
    let scene = scene().await;
    for (yaml, expected) in [
        ("dedup:\n  tll: 5m\n", "seawall.yaml:2:3: dedup.tll: unknown key; did you mean `ttl`?"),
        ("dedup:\n  ttl: 5\n", "seawall.yaml:2:8: dedup.ttl: `5` has no unit"),
        ("dedup:\n  ttl: 0s\n", "seawall.yaml:2:8: dedup.ttl: must be longer than zero"),
        (
            "storm:\n  rules:\n  - {name: a, groupBy: [namespace]}\n  - {name: a, groupBy: [node]}\n",
            "storm.rules[1].name",
        ),
        ("server:\n  listen: 0.0.0.0:0\n", "--allow-anonymous"),
        ("dedup: {\n", "seawall.yaml:1:8"),
    ] {
        scene.file("seawall.yaml", yaml);
        let ended = run(&scene, &["serve"], &[]).await;
        assert_eq!(ended.code, Some(2), "{yaml}: {}", ended.said);
        assert!(ended.said.contains(expected), "{yaml}: {}", ended.said);
    }
    assert!(!scene.path().join("seawall-data").exists(), "nothing was begun");
}

#[tokio::test]
async fn what_is_wrong_in_the_environment_is_named_too() {
    let scene = scene().await;
    for (name, value, expected) in [
        ("SEAWALL_DEDUP__TTL", "soon", "SEAWALL_DEDUP__TTL"),
        ("SEAWALL_DEDUP__TLL", "5m", "SEAWALL_DEDUP__TLL"),
        ("SEAWALL_CONFIG", "nowhere.yaml", "nowhere.yaml"),
    ] {
        let ended = run(&scene, &["serve", "--listen", "127.0.0.1:0"], &[(name, value)]).await;
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.said);
        assert!(ended.said.contains(expected), "{name}: {}", ended.said);
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_two_and_a_port_in_use_with_one() {
    let scene = scene().await;
    assert_eq!(run(&scene, &["serve", "--no-such-option"], &[]).await.code, Some(2));
    assert_eq!(run(&scene, &["no-such-command"], &[]).await.code, Some(2));

    let seawall = scene.seawall("seawall").start().await;
    let address = seawall.address().to_string();
    let taken = run(&scene, &["serve", "--listen", &address, "--data-dir", "other"], &[]).await;
    assert_eq!(taken.code, Some(1), "{}", taken.said);
    assert!(taken.said.contains(&address), "{}", taken.said);
}

#[tokio::test]
async fn a_variable_wins_over_the_file_and_a_foreign_one_is_ignored() {
    let scene = scene().await;
    let seawall = scene
        .seawall("seawall")
        .config("storm: {rules: []}\ndedup: {cooldown: 1h}\nserver: {limits: {alertsPerBody: 3}}")
        .env("SEAWALL_SERVER__LIMITS__ALERTS_PER_BODY", "2")
        .env("SEAWALL_PORT", "tcp://10.0.0.1:80")
        .start()
        .await;
    let client = seawall.client();
    assert_eq!(client.fire(&Alert::pods("PodCrashLooping", "prod", 2)).await.expect("an answer").status, 201);
    assert_eq!(client.fire(&Alert::pods("PodCrashLooping", "prod", 3)).await.expect("an answer").status, 413);
}

#[tokio::test]
async fn metrics_and_health_can_be_served_on_a_port_of_their_own() {
    let scene = scene().await;
    let operations = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, free_port()));
    let config = format!("server: {{metricsListen: '{operations}'}}");
    let seawall = scene.seawall("seawall").config(&config).start().await;
    assert_eq!(fire(&seawall.client(), &Alert::new("DiskFull", "prod", "db-0")).await.status, 201);
    let operations = Client::new(operations);
    let metrics = operations.get("/metrics").await.expect("an answer").text();
    assert!(
        Samples::parse(&metrics).sum("seawall_decisions_total", &["decision=\"created\""]) >= 1.0,
        "{metrics}"
    );
    assert_eq!(operations.get("/readyz").await.expect("an answer").status, 200);
    let elsewhere = operations.fire(&[Alert::new("DiskFull", "prod", "db-0")]).await.expect("an answer");
    assert_eq!(elsewhere.status, 404, "alerts are not taken there");
}

const LAX: &str = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 100, hold: 0s}]}";
const STRICT: &str =
    "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 3, hold: 0s}]}";

#[tokio::test]
async fn a_reload_changes_the_rules_and_a_bad_one_changes_nothing_and_says_so() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(LAX).start().await;
    let client = seawall.client();
    client.fire(&Alert::pods("PodCrashLooping", "before", 5)).await.expect("an answer");
    assert!(requests_in(&client, "before", 5).await.iter().all(|request| !request.spec.is_storm));

    scene.file("seawall.yaml", STRICT);
    seawall.process().signal("HUP");
    reloaded(&client, "success").await;
    client.fire(&Alert::pods("PodCrashLooping", "after", 5)).await.expect("an answer");
    the_storm(&client.requests("namespace=after").await);

    scene.file("seawall.yaml", "storm: {rulez: []}");
    seawall.process().signal("HUP");
    reloaded(&client, "failure").await;
    said(&seawall, "storm.rulez: unknown key").await;
    client.fire(&Alert::pods("PodCrashLooping", "still", 5)).await.expect("an answer");
    the_storm(&client.requests("namespace=still").await);
    assert_eq!(fire(&client, &Alert::new("DiskFull", "prod", "db-0")).await.status, 201);
}

#[tokio::test]
async fn a_reload_that_would_move_what_is_open_in_redis_is_refused_as_a_whole() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let config = |more: &str| format!("state: {{kind: redis, redis: {{urls: ['{}']}}}}\n{more}", redis.url());
    let seawall = scene.seawall("seawall").config(&config(STRICT)).start().await;
    let client = seawall.client();
    let spanning =
        "dedup: {ttl: 7m}\nstorm: {rules: [{name: rate, groupBy: [alertname], threshold: 100, hold: 0s}]}";
    scene.file("seawall.yaml", &config(spanning));
    seawall.process().signal("HUP");
    reloaded(&client, "failure").await;
    said(&seawall, "another `state.redis.keyPrefix`").await;
    client.fire(&Alert::pods("PodCrashLooping", "still", 5)).await.expect("an answer");
    the_storm(&client.requests("namespace=still").await);

    scene.file("seawall.yaml", &config(LAX));
    seawall.process().signal("HUP");
    reloaded(&client, "success").await;
    client.fire(&Alert::pods("PodCrashLooping", "after", 5)).await.expect("an answer");
    assert_eq!(client.requests("namespace=after").await.len(), 5);
}

async fn reloaded(client: &Client, outcome: &str) {
    let label = format!("outcome=\"{outcome}\"");
    eventually(SOON, || async {
        let samples = Samples::parse(&client.get("/metrics").await.expect("an answer").text());
        if samples.sum("seawall_config_reloads_total", &[&label]) >= 1.0 {
            Ok(())
        } else {
            Err("not reloaded")
        }
    })
    .await;
}

async fn said(seawall: &Seawall, text: &str) {
    eventually(SOON, || async {
        if seawall.process().output().contains(text) {
            Ok(())
        } else {
            Err(format!("it does not say: {text}"))
        }
    })
    .await;
}
