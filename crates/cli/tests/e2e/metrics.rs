//! Everything that is shown can move.

use std::collections::BTreeSet;

use seawall_testkit::{Alert, Client, SmallDisk, eventually};

use crate::support::{SOON, fire, name_of, samples, scene};

/// The families of the contract that belong to what exists.
const FAMILIES: [&str; 25] = [
    "seawall_signals_received",
    "seawall_decisions",
    "seawall_signals_rejected",
    "seawall_storms_started",
    "seawall_storms_open",
    "seawall_storm_members",
    "seawall_requests_published",
    "seawall_requests_open",
    "seawall_requests_avoided",
    "seawall_publish_pending",
    "seawall_publish_oldest_pending_seconds",
    "seawall_publish_duration_seconds",
    "seawall_publish_errors",
    "seawall_state_operation_duration_seconds",
    "seawall_state_errors",
    "seawall_state_available",
    "seawall_state_outages",
    "seawall_state_outage_seconds",
    "seawall_incidents_open",
    "seawall_http_requests",
    "seawall_http_request_duration_seconds",
    "seawall_http_requests_in_flight",
    "seawall_config_reloads",
    "seawall_policy_evaluations",
    "seawall_build",
];

/// What only a server that loses its data moves, and one that speaks TLS: those have tests of their own.
const ELSEWHERE: [&str; 2] = ["seawall_state_losses", "seawall_tls_certificate_not_after_seconds"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_moves() {
    let scene = scene().await;
    let disk = SmallDisk::mount(&scene, "disk", 96);
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/policies");
    let seawall = scene
        .seawall("seawall")
        .data_dir(disk.path().join("data"))
        .config(&format!("classify: {{policyDir: '{policies}'}}\n"))
        .start()
        .await;
    let client = seawall.client();
    let mut moved = BTreeSet::new();

    let mut watch = client.watch().await;
    for alert in Alert::pods("PodCrashLooping", "prod", 15) {
        fire(&client, &alert).await;
        note(&client, &mut moved).await;
    }
    // Gauges of the state are as old as the last look at it.
    eventually(SOON, || async {
        let open = samples(&client).await.sum("seawall_storms_open", &[]);
        if open > 0.0 { Ok(()) } else { Err("no storm is open") }
    })
    .await;
    note(&client, &mut moved).await;
    fire(&client, &Alert::new("DiskFull", "prod", "db-0").resolved()).await;
    client.post("/webhook/prometheus", "{").await.expect("an answer");
    let request = watch.next(SOON).await.expect("the request is made").request();
    client.set_phase("prod", name_of(&request), "Completed").await;
    // Held: pending until the hold is over.
    for alert in Alert::pods("QuotaExceeded", "shop", 2) {
        fire(&client, &alert).await;
    }
    eventually(SOON, || async {
        let pending = samples(&client).await.sum("seawall_publish_oldest_pending_seconds", &[]);
        if pending > 0.0 { Ok(()) } else { Err("nothing is overdue") }
    })
    .await;
    note(&client, &mut moved).await;

    seawall.process().signal("HUP");
    eventually(SOON, || async {
        let reloads = samples(&client).await.sum("seawall_config_reloads_total", &[]);
        if reloads > 0.0 { Ok(()) } else { Err("nothing was reloaded") }
    })
    .await;
    note(&client, &mut moved).await;

    disk.fill(0);
    let mut number = 0;
    eventually(SOON, || {
        number += 1;
        let alert = Alert::new(&format!("Problem{number}"), &format!("tenant-{number}"), "web-0");
        let client = client.clone();
        async move { if fire(&client, &alert).await.status == 503 { Ok(()) } else { Err("still taken") } }
    })
    .await;
    note(&client, &mut moved).await;
    disk.free();
    eventually(SOON, || async {
        let ready = client.get("/readyz").await.expect("an answer").status == 200;
        if ready { Ok(()) } else { Err("not ready") }
    })
    .await;
    note(&client, &mut moved).await;

    let still: Vec<_> = FAMILIES.iter().filter(|family| !moved.contains(**family)).collect();
    assert!(still.is_empty(), "did not move: {still:?}");
    let shown = samples(&client).await.families;
    moved.extend(ELSEWHERE.map(str::to_owned));
    let unknown: Vec<_> = shown.iter().filter(|family| !moved.contains(*family)).collect();
    assert!(unknown.is_empty(), "shown, but nothing moves them: {unknown:?}");
}

async fn note(client: &Client, moved: &mut BTreeSet<String>) {
    let samples = samples(client).await;
    moved.extend(samples.families.iter().filter(|family| samples.moved(family)).cloned());
}
