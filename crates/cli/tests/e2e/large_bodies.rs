//! Alertmanager sends whole groups in one body, however large.

use std::time::Duration;

use seawall_testkit::{Alert, Alertmanager, AlertmanagerOptions, eventually, webhook};

use crate::support::{alert_count, occurrences, scene_alone};

const ALERTS: usize = 45_000;
/// What it may cost to take such a body, beyond what the incidents themselves need to be remembered. The body alone has
/// 41 MB, so this fails when it is held whole.
const MOST_MEMORY: u64 = 96 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_body_of_forty_five_thousand_alerts_is_taken_in_bounded_memory() {
    let scene = scene_alone().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let options = AlertmanagerOptions {
        group_by: "alertname".into(),
        // So long that the whole group is in before it is sent, so that it is one body.
        group_wait: "20s".into(),
        group_interval: "5m".into(),
        repeat_interval: "1h".into(),
        ..Default::default()
    };
    let url = seawall.url("/webhook/prometheus");
    let alertmanager = Alertmanager::start(&scene, "alertmanager", &url, &options).await;
    let idle = seawall.process().memory();

    // As large as a real one: about 900 bytes each in the webhook's body.
    let padding = "x".repeat(560);
    let alerts: Vec<_> = Alert::pods("PodCrashLooping", "prod", ALERTS)
        .into_iter()
        .map(|alert| alert.label("description", &padding))
        .collect();
    let body = webhook(&alerts).len();
    assert!(body > 40_000_000, "the body has {body} bytes");
    alertmanager.post(&alerts).await;
    eventually(Duration::from_secs(180), || async {
        let counted: u64 = client.requests("").await.iter().map(occurrences).sum();
        if counted == ALERTS as u64 { Ok(()) } else { Err(format!("{counted} counted")) }
    })
    .await;

    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1);
    assert_eq!(alert_count(&requests[0]), ALERTS as u64);
    assert_eq!(alertmanager.deliveries().await, (1, 0), "it was one body, and it was taken at once");
    let extra = seawall.process().peak_memory().saturating_sub(idle);
    println!("{} MiB over idle", extra >> 20);
    assert!(extra < MOST_MEMORY, "{} MiB over idle", extra >> 20);
}
