//! What is said about the state store before it is relied upon, and by the server that uses it.

use seawall_testkit::redis::RedisServer;
use seawall_testkit::{eventually, free_port};
use serde_json::Value;

use crate::support::{SOON, run, scene};

#[tokio::test]
async fn a_good_data_directory_is_fine_and_the_process_that_uses_it_is_named() {
    let scene = scene().await;
    let config = scene.file("seawall.yaml", "state: {embedded: {path: seawall-data}}");
    let config = config.to_str().expect("a name that is text");
    let before = run(&scene, &["doctor", "--config", config], &[]).await;
    assert_eq!(before.code, Some(0), "{}", before.said);
    assert!(before.said.contains("seawall-data does not exist yet and can be made"), "{}", before.said);

    let seawall = scene.seawall("seawall").data_dir(scene.path().join("seawall-data")).start().await;
    let during = run(&scene, &["doctor", "--config", config], &[]).await;
    assert_eq!(during.code, Some(0), "{}", during.said);
    let holder = format!("ok       process {} uses it", seawall.process().pid());
    assert!(during.said.contains(&holder), "{}", during.said);
}

#[tokio::test]
async fn what_cannot_work_ends_with_one_and_says_what_to_do() {
    let scene = scene().await;
    scene.file("data", "");
    let file = run(&scene, &["doctor", "--data-dir", "data"], &[]).await;
    assert_eq!(file.code, Some(1), "{}", file.said);
    assert!(
        file.said.contains("failed   ") && file.said.contains("is not a directory; name another"),
        "{}",
        file.said
    );

    let url = format!("redis://app:s3cret@127.0.0.1:{}", free_port());
    let away = run(
        &scene,
        &["doctor", "--output", "json"],
        &[("SEAWALL_STATE__KIND", "redis"), ("SEAWALL_STATE__REDIS__URLS", &url)],
    )
    .await;
    assert_eq!(away.code, Some(1), "{}", away.said);
    assert!(!away.said.contains("s3cret"), "{}", away.said);
    let json = &away.said[..=away.said.rfind('}').expect("JSON")];
    let report: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"));
    assert_eq!(report["store"], format!("Redis at {}", url.replace("app:s3cret@", "")));
    let levels = report["findings"].as_array().expect("findings");
    assert!(levels.iter().any(|finding| finding["level"] == "failed"), "{report}");
}

#[tokio::test]
async fn a_server_that_may_forget_is_unsafe_and_a_careful_one_is_not() {
    let scene = scene().await;
    let careless = RedisServer::builder(scene.path(), "careless")
        .arg("maxmemory", "100mb")
        .arg("maxmemory-policy", "allkeys-lru")
        .start()
        .await;
    let careful = RedisServer::builder(scene.path(), "careful")
        .arg("maxmemory", "100mb")
        .arg("maxmemory-policy", "noeviction")
        .arg("appendonly", "yes")
        .start()
        .await;
    let ask = async |server: &RedisServer| {
        let env = [("SEAWALL_STATE__KIND", "redis"), ("SEAWALL_STATE__REDIS__URLS", &*server.url())];
        run(&scene, &["doctor"], &env).await
    };
    let said = ask(&careless).await;
    assert_eq!(said.code, Some(1), "{}", said.said);
    let eviction = said.said.lines().find(|line| line.starts_with("unsafe") && line.contains("allkeys-lru"));
    assert!(eviction.is_some_and(|line| line.contains("noeviction")), "{}", said.said);
    let said = ask(&careful).await;
    assert_eq!(said.code, Some(0), "{}", said.said);
}

#[tokio::test]
async fn the_start_names_the_store_without_its_password() {
    let scene = scene().await;
    let redis = RedisServer::builder(scene.path(), "redis").password("s3cret").start().await;
    let config = format!(
        "telemetry: {{logFormat: json}}\nstate: {{kind: redis, redis: {{urls: ['{}']}}}}",
        redis.url()
    );
    let seawall = scene.seawall("seawall").config(&config).start().await;
    let ready = eventually(SOON, || async {
        let said = seawall.process().output();
        let line = said.lines().find(|line| line.contains("\"ready\""));
        line.map(str::to_owned).ok_or("it does not say that it is ready")
    })
    .await;
    let said = seawall.process().output();
    let place = format!("\"redis\":\"redis://127.0.0.1:{}\"", redis.port());
    for part in [&*place, "\"store\":\"redis\"", "\"mode\":\"standalone\"", "\"durability\":\"memory\""] {
        assert!(ready.contains(part), "{part} is not in {ready}");
    }
    assert!(said.contains("state.redis.urls[0]: has a password in it"), "{said}");
    assert!(said.contains("--data-dir: state.embedded.path: is not used"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}
