//! A real Prometheus with real rules, and a service that breaks.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alertmanager, AlertmanagerOptions, Exporter, Prometheus, Scene, Seawall, eventually};

use crate::metrics::is_described;
use crate::support::{alert_count, fire, occurrences, scene, the_storm};

const PATIENCE: Duration = Duration::from_secs(90);

const RULES: &str = r#"
groups:
- name: pods
  rules:
  - alert: PodCrashLooping
    expr: fake_pod_crashing == 1
    labels: {severity: critical}
    annotations: {summary: "{{ $labels.pod }} is crash looping"}
  - alert: QueueStuck
    expr: fake_queue_length > 100
    labels: {severity: warning, namespace: shop, deployment: worker}
"#;

/// What a service with fifteen pods exposes; `broken` or not.
fn exposition(broken: bool) -> String {
    let mut text = String::from("# TYPE fake_pod_crashing gauge\n");
    for pod in 0..15 {
        let value = u8::from(broken);
        writeln!(text, "fake_pod_crashing{{namespace=\"prod\",pod=\"web-{pod}\"}} {value}")
            .expect("a text grows");
    }
    let queue = if broken { 500 } else { 3 };
    writeln!(text, "# TYPE fake_queue_length gauge\nfake_queue_length {queue}").expect("a text grows");
    text
}

#[tokio::test]
async fn a_breaking_service_becomes_one_request_per_problem_through_alertmanager() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let webhook = seawall.url("/webhook/prometheus");
    let alertmanager =
        Alertmanager::start(&scene, "alertmanager", &webhook, &AlertmanagerOptions::default()).await;
    break_and_mend(&scene, &seawall, alertmanager.address()).await;
}

#[tokio::test]
async fn a_breaking_service_becomes_one_request_per_problem_directly_from_prometheus() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    break_and_mend(&scene, &seawall, seawall.address()).await;
    // Prometheus repeats what still fires; nothing but counts may have changed by that.
    let requests = seawall.client().requests("").await;
    assert!(requests.iter().map(occurrences).sum::<u64>() >= 16);
}

async fn break_and_mend(scene: &Scene, seawall: &Seawall, receiver: SocketAddr) {
    let client = seawall.client();
    let exporter = Exporter::start(&exposition(false)).await;
    let _prometheus = Prometheus::start(scene, exporter.address(), RULES, receiver).await;
    assert_eq!(client.requests("").await.len(), 0);

    exporter.set(&exposition(true));
    eventually(PATIENCE, || async {
        let requests = client.requests("").await;
        match requests.iter().find(|request| request.spec.is_storm) {
            Some(storm) if alert_count(storm) == 15 && requests.len() == 2 => Ok(()),
            _ => Err(format!("{} requests", requests.len())),
        }
    })
    .await;
    let requests = client.requests("").await;
    let storm = the_storm(&requests);
    assert_eq!(storm.spec.storm_aggregation.as_ref().expect("a storm").pattern, "PodCrashLooping in prod");
    let queue = &requests.iter().find(|request| !request.spec.is_storm).expect("the other problem").spec;
    assert_eq!(
        (queue.signal_name.as_str(), queue.target_resource.kind.as_str()),
        ("QueueStuck", "Deployment")
    );
    assert_eq!(queue.target_resource.name, "worker");

    exporter.set(&exposition(false));
    eventually(PATIENCE, || async {
        let requests = client.requests("").await;
        let resolved = requests.iter().filter(|request| request.spec.resolved_at.is_some()).count();
        if resolved == 2 { Ok(()) } else { Err(format!("{resolved} of {} are resolved", requests.len())) }
    })
    .await;
    assert_eq!(client.requests("").await.len(), 2);
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics_of_either_store() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let embedded = scene.seawall("embedded");
    let shared = scene.seawall("shared").redis(&redis);
    for (recipe, store) in [(embedded, "store=\"embedded\""), (shared, "store=\"redis\"")] {
        let seawall = recipe.start().await;
        let client = seawall.client();
        for alert in seawall_testkit::Alert::pods("PodCrashLooping", "prod", 15) {
            fire(&client, &alert).await;
        }
        let text = client.get("/metrics").await.expect("an answer").text();
        assert!(text.contains("seawall_signals_received_total") && text.contains(store), "{text}");
        assert_eq!(Prometheus::lint_metrics(&text), "");
        is_described(&text);
    }
}
