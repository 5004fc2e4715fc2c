//! Everything that is shown can move, and everything that moves is described.

use std::collections::BTreeSet;

use seawall_telemetry::FAMILIES;
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Authority, Client, Leaf, Prometheus, SmallDisk, eventually};

use crate::kubernetes::control_plane;
use crate::support::{SOON, fire, name_of, samples, scene};

/// What only a server that loses its data, a cluster, a limit or TLS moves.
const ELSEWHERE: [&str; 7] = [
    "seawall_auth",
    "seawall_auth_duration_seconds",
    "seawall_kube_api_duration_seconds",
    "seawall_kubernetes_events_watched",
    "seawall_rate_limited",
    "seawall_state_losses",
    "seawall_tls_certificate_not_after_seconds",
];

/// All families, without what their kind appends.
fn families() -> BTreeSet<String> {
    let names = FAMILIES.iter().map(ToString::to_string);
    names.map(|name| name.trim_end_matches("_total").trim_end_matches("_info").to_owned()).collect()
}

/// Fails when a scrape has a label, or a value of a label, that the reference does not name.
pub fn is_described(text: &str) {
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.rsplit_once(' ').expect("a value").0.split_once('{').unwrap_or_default();
        let Some(family) = FAMILIES.iter().find(|family| name.starts_with(&family.to_string())) else {
            assert!(labels.is_empty(), "{line} is not described");
            continue;
        };
        for label in labels.trim_end_matches('}').split("\",") {
            let (label, value) = label.split_once("=\"").expect("a label");
            let found = family.labels.iter().find(|described| described.name == label);
            let values = found.map(|found| found.values);
            let value = value.trim_end_matches('"');
            let is_known = values.is_some_and(|values| values.is_empty() || values.contains(&value));
            assert!(is_known || label == "le", "{line}: {label} is not described");
        }
    }
}

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

    let still: Vec<_> = families().into_iter().filter(|family| !moved.contains(family)).collect();
    assert_eq!(still, ELSEWHERE, "did not move");
    let shown: BTreeSet<_> = samples(&client).await.families.into_iter().collect();
    assert!(shown.is_subset(&families()), "{shown:?}");
    is_described(&client.get("/metrics").await.expect("an answer").text());
}

const IN_A_CLUSTER: &str = "sink: {kind: kubernetes, kubernetes: {fallbackNamespace: seawall, qps: 500, burst: 500}}\n\
                            auth: {kubernetes: {enabled: true}}\n\
                            rateLimit: {authenticated: 30, window: 1h, exempt: []}\n\
                            sources: {kubernetesEvents: {enabled: true}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_a_cluster_and_a_limit_move_moves_and_promtool_is_content() {
    let scene = scene().await;
    let plane = control_plane(&scene).await;
    let mut redis = RedisServer::start(&scene, "redis").await;
    plane.service_account("prod", "sender");
    let bind = ["create", "clusterrolebinding", "sender", "--clusterrole=cluster-admin"];
    plane.kubectl(&[&bind[..], &["--serviceaccount=prod:sender"]].concat());
    let recipe = scene.seawall("seawall").config(IN_A_CLUSTER).kubeconfig(plane.kubeconfig());
    let authority = Authority::new(&scene.folder("pki"));
    let serving = authority.issue("serving", Leaf::serving("seawall"));
    let seawall = recipe.redis(&redis).tls(&serving, &authority).start().await;
    let anonymous = seawall.client();
    let sender = anonymous.bearer(&plane.token("prod", "sender", None, 600));
    let mut moved = BTreeSet::new();

    assert_eq!(fire(&anonymous, &Alert::new("DiskFull", "prod", "db-0")).await.status, 401);
    assert_eq!(fire(&sender, &Alert::new("DiskFull", "prod", "db-0")).await.status, 201);
    for alert in Alert::pods("PodCrashLooping", "prod", 30) {
        fire(&sender, &alert).await;
    }
    note(&anonymous, &mut moved).await;
    redis.restart().await;
    for family in ELSEWHERE {
        eventually(SOON, || async {
            if samples(&anonymous).await.moved(family) { Ok(()) } else { Err(family) }
        })
        .await;
    }
    note(&anonymous, &mut moved).await;
    let still: Vec<_> = ELSEWHERE.iter().filter(|family| !moved.contains(**family)).collect();
    assert!(still.is_empty(), "did not move: {still:?}");
    let text = anonymous.get("/metrics").await.expect("an answer").text();
    is_described(&text);
    assert_eq!(Prometheus::lint_metrics(&text), "");
    assert!(text.contains("store=\"redis\"") && text.contains("sink=\"kubernetes\""), "{text}");
}

async fn note(client: &Client, moved: &mut BTreeSet<String>) {
    let samples = samples(client).await;
    moved.extend(samples.families.iter().filter(|family| samples.moved(family)).cloned());
}
