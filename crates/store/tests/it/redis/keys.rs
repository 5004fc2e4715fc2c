//! What lies in the server: bounded, with an expiry, and in one version.

use seawall_model::{ManualClock, Policy};
use seawall_store::{Failure, RedisStore, StoreError};

use super::{Redis, patient};
use crate::support::{Alert, MINUTE, SECOND, Scene, StoreUnderTest, counted, eventually, pods};

/// A bit of everything.
async fn live(scene: &mut Scene<Redis>) {
    scene.fire_each(&pods("shop", "Crash", 14)).await;
    scene.fire_each(&pods("pay", "Slow", 4)).await;
    scene.fire_each(&[Alert::new("", "Down", "node-1"), Alert::new("UPPER", "Odd", "x")]).await;
    scene.send_resolved(&pods("pay", "Slow", 1)[0]).await;
    let reference = scene.fire(&Alert::new("one", "Crash", "web-0")).await.request.unwrap();
    scene.report(&reference, "Completed").await;
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_has_an_expiry() {
    let mut scene = Scene::<Redis>::start().await;
    live(&mut scene).await;
    assert_eq!(scene.subject.server.keys_without_expiry(), Vec::<String>::new());
    scene.pass(10 * MINUTE);
    live(&mut scene).await;
    scene.subject.settle().await;
    assert_eq!(scene.subject.server.keys_without_expiry(), Vec::<String>::new());
    assert!(scene.subject.server.key_count() > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_leaves_the_server() {
    let mut scene = Scene::<Redis>::with(|policy| policy.retention = 30 * MINUTE).await;
    live(&mut scene).await;
    eventually("only the partitions' records are left", async || {
        scene.pass(30 * MINUTE);
        scene.subject.settle().await;
        // A server that is idle for a moment removes what has expired.
        let left = scene.subject.server.keys();
        let is_record = |key: &String| {
            key.ends_with(":p")
                || !key.contains('{')
                || key.ends_with("{partitions}")
                || key.contains("}:o:")
                || key.contains("}:w:")
        };
        let state: Vec<String> = left.into_iter().filter(|key| !is_record(key)).collect();
        if state.is_empty() { Ok(()) } else { Err(state) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_take_no_more_room() {
    let scene = Scene::<Redis>::start().await;
    let alerts = pods("shop", "Crash", 20);
    scene.fire_together(&alerts).await;
    let keys = scene.subject.server.key_count();
    for _ in 0..50 {
        scene.fire_together(&alerts).await;
    }
    assert_eq!(scene.subject.server.key_count(), keys);
    let length: u64 = scene.subject.server.keys().iter().map(|key| length(&scene, key)).max().unwrap();
    assert!(length <= 64, "some key has {length} elements");
}

fn length(scene: &Scene<Redis>, key: &str) -> u64 {
    let server = &scene.subject.server;
    let kind: String = server.ask(&["TYPE", key]);
    match kind.as_str() {
        "hash" => server.ask(&["HLEN", key]),
        "zset" => server.ask(&["ZCARD", key]),
        "list" => server.ask(&["LLEN", key]),
        _ => 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_survive_being_flushed() {
    let scene = Scene::<Redis>::start().await;
    for alert in pods("shop", "Crash", 5) {
        scene.subject.server.script_flush();
        scene.send(&alert).await;
        scene.subject.server.script_flush();
        assert!(scene.store().explain(alert.fingerprint()).await.unwrap().open);
    }
    scene.subject.server.script_flush();
    assert_eq!(counted(&scene.requests().await), 1, "the others are held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_a_newer_version_took_over_is_left_alone() {
    let scene = Scene::<Redis>::start().await;
    let alert = Alert::new("shop", "Crash", "web-0");
    scene.send(&alert).await;
    let server = &scene.subject.server;
    let record = server.keys().into_iter().find(|key| key.ends_with(":p")).unwrap();
    // MessagePack for a list with the number of the next format.
    server.ask::<()>(&["SET", &record, "\u{1}"]);
    let _: () = redis_set(server, &record, &[0x91, 0x02]);
    let before = server.keys();
    let refused = scene.store().decide(vec![alert.firing()]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { class: Failure::Superseded, .. })),
        "{refused:?}"
    );
    assert_eq!(server.keys(), before);
}

fn redis_set(server: &seawall_testkit::redis::RedisServer, key: &str, value: &[u8]) {
    let mut connection = server.connection();
    redis::cmd("SET").arg(key).arg(value).query::<()>(&mut connection).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_other_rules_have_split_differently_is_refused() {
    let scene = Scene::<Redis>::start().await;
    scene.send(&Alert::new("shop", "Crash", "web-0")).await;
    let mut spanning = Policy::default();
    spanning.rules[1].group_by = vec![seawall_model::Field::Node];
    let options = patient(&scene.subject.server.url());
    let clock = std::sync::Arc::new(ManualClock::at(scene.now()));
    let refused = RedisStore::open(options, std::sync::Arc::new(spanning), clock).await.map(|_| ());
    let Err(StoreError::Refused { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("keyPrefix") && reason.contains("namespace"), "{reason}");
}
