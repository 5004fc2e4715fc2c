//! The state store is lost, and the requests in the cluster are not: no problem that has one gets a second (acceptance B5).

use std::collections::BTreeSet;

use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Client, Scene, SeawallBuilder, eventually};
use serde_json::Value;

use crate::kubernetes::{become_so, control_plane, count, resources};
use crate::support::{SOON, fire, fire_at_once, scene};

const CONFIG: &str = "sink: {kind: kubernetes, kubernetes: {fallbackNamespace: seawall, qps: 500, burst: 500}}\n\
                      publish: {respondWithin: 10s, breaker: {open: 1s}}";

fn seawall(scene: &Scene, plane: &ControlPlane, data: &str) -> SeawallBuilder {
    scene.seawall(data).config(CONFIG).kubeconfig(plane.kubeconfig())
}

fn pods(count: usize) -> Vec<Alert> {
    (0..count).map(|n| Alert::new("PodCrashLooping", "prod", format!("web-{n}"))).collect()
}

fn names(resources: &[Value]) -> BTreeSet<String> {
    resources.iter().map(|resource| resource["metadata"]["name"].to_string()).collect()
}

fn total(resources: &[Value]) -> u64 {
    resources.iter().map(count).sum()
}

/// A storm of 15 pods, a problem that somebody works on, one in a namespace that does not exist.
async fn open_problems(client: &Client, plane: &ControlPlane) -> (Vec<Alert>, BTreeSet<String>) {
    let mut alerts = pods(15);
    let worked_on = Alert::new("DiskFull", "prod", "db-0");
    let displaced = Alert::new("QueueStuck", "nowhere", "queue-0");
    for answer in fire_at_once(client, &alerts).await {
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    for alert in [&worked_on, &displaced] {
        let answer = fire(client, alert).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    alerts.extend([worked_on, displaced]);
    become_so(plane, "seawall", |resources| resources.len() == 1).await;
    let known = become_so(plane, "prod", |resources| resources.len() == 2 && total(resources) == 16).await;
    let disk = known.iter().find(|resource| resource["spec"]["signalName"] == "DiskFull").unwrap();
    let phase = r#"{"status":{"overallPhase":"Executing"}}"#;
    let name = disk["metadata"]["name"].as_str().unwrap();
    plane.kubectl(&["patch", "rr", name, "-n", "prod", "--subresource=status", "--type=merge", "-p", phase]);
    (alerts, names(&known))
}

#[tokio::test]
async fn with_a_new_data_directory_what_fires_counts_on_the_requests_that_are_open() {
    let scene = scene().await;
    let plane = control_plane(&scene).await;
    let mut first = seawall(&scene, &plane, "first").start().await;
    let (alerts, known) = open_problems(&first.client(), &plane).await;
    first.kill9();

    let second = seawall(&scene, &plane, "second").start().await;
    let client = second.client();
    for answer in fire_at_once(&client, &alerts).await {
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    let late = Alert::new("PodCrashLooping", "prod", "web-99");
    assert_eq!(fire(&client, &late).await.status, 202, "a new pod is a member of the storm");
    let found = become_so(&plane, "prod", |resources| total(resources) == 33).await;
    assert_eq!(names(&found), known);
    let storm = found.iter().find(|resource| resource["spec"]["isStorm"] == true).unwrap();
    assert_eq!(storm["spec"]["stormAlertCount"], 16);
    let fallback = become_so(&plane, "seawall", |resources| total(resources) == 2).await;
    assert_eq!(fallback.len(), 1);
    assert_eq!(resources(&plane, "prod").len(), 2);

    // What somebody works on stays open, and ends as ever.
    let disk = found.iter().find(|resource| resource["spec"]["signalName"] == "DiskFull").unwrap();
    assert_eq!(disk["status"]["overallPhase"], "Executing");
    assert!(second.process().output().contains("taken over"), "it is said");
}

#[tokio::test]
async fn a_new_data_directory_takes_nothing_while_the_cluster_cannot_be_read() {
    let scene = scene().await;
    let mut plane = control_plane(&scene).await;
    let mut first = seawall(&scene, &plane, "first").start().await;
    let alert = Alert::new("DiskFull", "prod", "db-0");
    assert_eq!(fire(&first.client(), &alert).await.status, 201);
    first.kill9();
    plane.kill_apiserver();

    let recipe = seawall(&scene, &plane, "second");
    let address = recipe.address();
    let _process = recipe.spawn();
    let client = Client::new(address);
    let refused = eventually(SOON, || async {
        client.fire(std::slice::from_ref(&alert)).await.map_err(|lost| format!("{lost:?}"))
    })
    .await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.retry_after().is_some());
    let readiness = client.get("/readyz").await.unwrap();
    assert_eq!(readiness.status, 503);
    assert!(readiness.text().contains("open requests"), "{}", readiness.text());

    plane.restart_apiserver().await;
    eventually(SOON, || async {
        let answer = fire(&client, &alert).await;
        if answer.status == 202 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let found = become_so(&plane, "prod", |resources| total(resources) >= 2).await;
    assert_eq!(found.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_emptied_makes_no_second_request_whichever_replica_is_asked() {
    let scene = scene().await;
    let plane = control_plane(&scene).await;
    let redis = RedisServer::start(&scene, "redis").await;
    let replicas = crate::redis::replicas(&scene, 2, |it| {
        it.config(CONFIG).redis(&redis).kubeconfig(plane.kubeconfig())
    })
    .await;
    let clients = crate::redis::clients(&replicas);
    let (alerts, known) = open_problems(&clients[0], &plane).await;
    redis.flush_all();
    for (nth, alert) in alerts.iter().enumerate() {
        // Who is refused sends again.
        eventually(SOON, || async {
            let answer = fire(&clients[nth % 2], alert).await;
            assert_ne!(answer.status, 201, "{}", answer.text());
            if answer.status == 202 { Ok(()) } else { Err(answer.text()) }
        })
        .await;
    }
    let found = become_so(&plane, "prod", |resources| total(resources) >= 32).await;
    assert_eq!(names(&found), known);
    assert_eq!(resources(&plane, "seawall").len(), 1);
}
