//! Kubernetes events that nobody wrote for a test: the real scheduler finds no node for any pod.

use std::time::Duration;

use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Client, Deadline, Scene, Seawall, SeawallBuilder, eventually};
use serde_json::{Value, json};

use crate::kubernetes::resources;
use crate::support::{SOON, samples, scene_alone};

/// Long enough that giving it back and waiting for its end are told apart on a busy machine.
const LEASE: Duration = Duration::from_secs(10);

/// As the administrator, whose context has no namespace of its own. A busy machine needs longer than the usual second for
/// the ten events of a storm, and until then every pod would have a request of its own.
fn watching(scene: &Scene, plane: &ControlPlane, name: &str) -> SeawallBuilder {
    let config = "sink: {kind: kubernetes, kubernetes: {fallbackNamespace: seawall, qps: 500, burst: 500}}\n\
                  publish: {breaker: {open: 1s}}\n\
                  sources: {kubernetesEvents: {enabled: true, lease: 10s}}\n\
                  storm: {rules: [{name: namespace-rate, groupBy: [namespace, alertname], hold: 15s}]}";
    scene.seawall(name).config(config).kubeconfig(plane.kubeconfig())
}

async fn control_plane(scene: &Scene) -> ControlPlane {
    let plane = ControlPlane::builder(scene.path(), "kubernetes").controllers().start().await;
    plane.install_crd();
    plane.namespace("prod");
    plane.namespace("seawall");
    plane
}

/// A Deployment whose pods nobody has room for.
fn deploy(plane: &ControlPlane, pods: u32) {
    let container = json!({ "name": "web", "image": "registry.example/web" });
    let labels = json!({ "app": "web" });
    plane.apply(
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "prod" },
            "spec": { "replicas": pods, "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels }, "spec": { "containers": [container] },
            } },
        })
        .to_string(),
    );
}

async fn state(client: &Client) -> String {
    let answer = client.get("/readyz").await.expect("an answer");
    answer.json()["checks"]["kubernetesEvents"].as_str().expect("a text").to_owned()
}

async fn says(seawall: &Seawall, expected: &str) {
    let client = seawall.client();
    eventually(SOON, || async {
        let state = state(&client).await;
        if state == expected { Ok(()) } else { Err(state) }
    })
    .await;
}

/// The one request about pods without a node, when there is exactly one and it names so many.
fn the_one_request(plane: &ControlPlane, pods: u64) -> Result<Value, String> {
    let all = plane.try_kubectl(&["get", "rr", "-n", "prod", "-o", "json"])?;
    let list: Value = serde_json::from_str(&all).map_err(|error| error.to_string())?;
    let items = list["items"].as_array().expect("items");
    let about = items.iter().filter(|item| item["spec"]["signalName"] == "FailedScheduling");
    let found: Vec<&Value> = about.collect();
    match &*found {
        [one] if one["spec"]["stormAlertCount"] == pods => Ok((*one).clone()),
        other => {
            let counts: Vec<_> = other.iter().map(|one| &one["spec"]["stormAlertCount"]).collect();
            Err(format!("{} requests: {counts:?}", other.len()))
        }
    }
}

/// How often all events of the scheduler say that they have happened.
fn occurrences_of_events(plane: &ControlPlane) -> u64 {
    let list = plane.kubectl(&["get", "events.events.k8s.io", "-n", "prod", "-o", "json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let events = list["items"].as_array().expect("items").iter();
    let count = |event: &Value| event["series"]["count"].as_u64().or(event["deprecatedCount"].as_u64());
    events.filter(|event| event["reason"] == "FailedScheduling").map(|event| count(event).unwrap_or(1)).sum()
}

fn occurrences(request: &Value) -> u64 {
    request["spec"]["deduplication"]["occurrenceCount"].as_u64().expect("a count")
}

#[tokio::test]
async fn two_hundred_pods_without_a_node_are_one_request_though_the_api_server_restarts() {
    let scene = scene_alone().await;
    let mut plane = control_plane(&scene).await;
    let seawall = watching(&scene, &plane, "seawall").start().await;
    says(&seawall, "ok").await;

    deploy(&plane, 200);
    let client = seawall.client();
    // The first of 200 that take seconds to come, and enough for a storm.
    eventually(SOON, || async {
        let received = samples(&client).await.sum("seawall_signals_received_total", &[]);
        if received >= 20.0 { Ok(()) } else { Err(received.to_string()) }
    })
    .await;
    plane.restart_apiserver().await;
    eventually(SOON, || async { the_one_request(&plane, 200) }).await;

    eventually(SOON, || async {
        let (events, request) = (occurrences_of_events(&plane), the_one_request(&plane, 200)?);
        let counted = occurrences(&request);
        if counted == events { Ok(()) } else { Err(format!("{counted} counted of {events}")) }
    })
    .await;
    let request = the_one_request(&plane, 200).expect("it is still one");
    let named = request["spec"]["stormAggregation"]["affectedResources"].as_array().expect("a list");
    assert_eq!(named.len(), 200);
    let all = resources(&plane, "prod");
    assert!(all.len() == 1, "{all:?}");
}

#[tokio::test]
async fn of_two_replicas_one_watches_and_when_it_is_killed_the_other_loses_nothing() {
    let scene = scene_alone().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let plane = control_plane(&scene).await;
    let mut first = watching(&scene, &plane, "first").redis(&redis).start().await;
    says(&first, "ok").await;
    let second = watching(&scene, &plane, "second").redis(&redis).start().await;
    says(&second, "ok, by another replica").await;

    deploy(&plane, 200);
    let client = first.client();
    eventually(SOON, || async {
        let received = samples(&client).await.sum("seawall_signals_received_total", &[]);
        if received >= 50.0 { Ok(()) } else { Err(received.to_string()) }
    })
    .await;
    assert_eq!(samples(&second.client()).await.sum("seawall_signals_received_total", &[]), 0.0);
    first.kill9();
    says(&second, "ok").await;
    eventually(SOON, || async { the_one_request(&plane, 200) }).await;
    eventually(SOON, || async {
        let (events, request) = (occurrences_of_events(&plane), the_one_request(&plane, 200)?);
        let counted = occurrences(&request);
        // What was decided after the last checkpoint is counted twice.
        if counted >= events { Ok(()) } else { Err(format!("{counted} counted of {events}")) }
    })
    .await;
    assert_eq!(resources(&plane, "prod").len(), 1);

    // One that is told to end lets the other one have it at once.
    first.restart().await;
    says(&first, "ok, by another replica").await;
    second.terminate();
    let told = Deadline::after(LEASE - Duration::from_secs(2));
    says(&first, "ok").await;
    assert!(!told.is_over(), "it took {:?}, as if nobody had given the lease back", told.elapsed());
    let lease = plane.kubectl(&["get", "lease/seawall-kubernetes-events", "-n", "default", "-o", "json"]);
    let lease: Value = serde_json::from_str(&lease).expect("JSON");
    let noted = &lease["metadata"]["annotations"]["remediation.kubernaut.io/events-version"];
    assert!(noted.is_string(), "{lease}");
}
