//! The alerts that ship, in a real Prometheus that scrapes the real binary.

use seawall_telemetry::monitoring::rules_file;
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Exporter, Prometheus, eventually};
use serde_json::Value;

use crate::support::{SOON, fire, scene};

/// The rules as they ship, but nothing has to last longer than a test.
fn impatient() -> String {
    let rules = rules_file();
    let lines = rules.lines().map(|line| match line.trim_start().starts_with("for: ") {
        true => "        for: 2s",
        false => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn name_of(alert: &Value) -> &str {
    alert["labels"]["alertname"].as_str().expect("an alert has a name")
}

/// Waits until exactly these alerts fire, in any order, and returns them by name.
async fn fire_alone(prometheus: &Prometheus, expected: &[&str]) -> Vec<Value> {
    eventually(SOON, || async {
        let mut alerts = prometheus.alerts().await;
        alerts.retain(|alert| alert["state"] == "firing");
        alerts.sort_by(|a, b| name_of(a).cmp(name_of(b)));
        let names: Vec<_> = alerts.iter().map(name_of).collect();
        if names == expected { Ok(alerts.clone()) } else { Err(format!("{names:?} fire, not {expected:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alerts_that_ship_fire_when_it_happens_and_end_when_it_is_over() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let config = scene.file("shared.yaml", "dedup: {ttl: 1h}\n");
    let seawall =
        scene.seawall("seawall").arg("--config").arg(&config.to_string_lossy()).redis(&redis).start().await;
    let nobody = Exporter::start("").await;
    let prometheus = Prometheus::start(&scene, seawall.address(), &impatient(), nobody.address()).await;

    for alert in Alert::pods("PodCrashLooping", "prod", 15) {
        fire(&seawall.client(), &alert).await;
    }
    let storm = fire_alone(&prometheus, &["SeawallStormOpen"]).await.remove(0);
    assert_eq!(storm["annotations"]["summary"], "Storms of the rule namespace-rate are open: 1.");

    scene.file("shared.yaml", "dedup: {tll: 1h}\n");
    seawall.process().signal("HUP");
    let firing = fire_alone(&prometheus, &["SeawallConfigReloadFailed", "SeawallStormOpen"]).await;
    assert_eq!(firing[0]["labels"]["severity"], "warning");

    redis.pause();
    let all = ["SeawallConfigReloadFailed", "SeawallStateUnavailable", "SeawallStormOpen"];
    let firing = fire_alone(&prometheus, &all).await;
    assert_eq!(firing[1]["labels"]["severity"], "critical");
    let (summary, link) = (&firing[1]["annotations"]["summary"], &firing[1]["annotations"]["runbook_url"]);
    assert_eq!(summary, "The state store (redis) is away from at least one Seawall.");
    assert_eq!(link, "docs/runbook.md#seawallstateunavailable");

    redis.resume();
    scene.file("shared.yaml", "dedup: {ttl: 2h}\n");
    seawall.process().signal("HUP");
    fire_alone(&prometheus, &["SeawallStormOpen"]).await;
}
