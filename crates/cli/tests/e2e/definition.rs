//! The definition of RemediationRequest on a real API server: it takes what Seawall makes, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::Method;
use seawall_model::RemediationRequest;
use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::{Alert, Client};
use serde_json::{Value, json};

use crate::support::{after_the_hold, fire, name_of, requests_in, scene, the_storm};

/// Where the requests of these tests live.
const NAMESPACE: &str = "prod";

async fn with_definition(directory: &Path) -> ControlPlane {
    let plane = ControlPlane::start_in(directory, "kubernetes").await;
    plane.install_crd();
    plane.namespace(NAMESPACE);
    plane
}

/// What a client that writes the request sends: without what the API server says about an object.
fn written(request: &RemediationRequest) -> Value {
    let mut object = serde_json::to_value(request).expect("a request is JSON");
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    for of_the_server in ["resourceVersion", "creationTimestamp"] {
        metadata.remove(of_the_server);
    }
    object
}

fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

/// Alerts whose names and texts are as awkward as any that are taken.
fn awkward_alerts() -> Vec<Value> {
    let long = |letter: &str, bytes: usize| letter.repeat(bytes / letter.len());
    let mut alerts = vec![
        json!({ "labels": { "alertname": "Ordinary", "namespace": NAMESPACE, "pod": "web-1" } }),
        json!({ "labels": { "alertname": long("ü", 2048), "namespace": NAMESPACE, "pod": long("名", 2048) } }),
        json!({ "labels": { "alertname": long("😀", 2048), "namespace": NAMESPACE, "deployment": "web" } }),
        json!({ "labels": { "alertname": "Line\nbreak \"quoted\" \\ \u{0}\u{7f}", "namespace": NAMESPACE, "pod": "\t" } }),
        // What JSON writes as it is and YAML does not read, or not as it is.
        json!({
            "labels": { "alertname": "Del\u{7f}\u{80}\u{fffe}\u{2028}", "namespace": NAMESPACE, "pod": "a\u{ffff}b\u{85}" },
            "annotations": { "text\u{7f}\u{2029}": "one\u{2028}two\u{9f}", (long("k", 3000)): "1", (long("\u{1}", 300)): "2" },
        }),
        json!({ "labels": { "alertname": " ", "namespace": NAMESPACE, "pod": " " } }),
        json!({ "labels": { "alertname": "NodeDown", "namespace": "monitoring", "node": "node-1" } }),
        json!({ "labels": { "alertname": "NoNamespace", "instance": "[fe80::1%eth0]:9100" } }),
        json!({ "labels": { "alertname": "NotALabel", "namespace": "Not A Label/../ünï", "pod": "web-1" } }),
        json!({ "labels": { "alertname": "LongNamespace", "namespace": long("n", 2048), "pod": "web-1" } }),
        json!({ "labels": { "alertname": "Cluster", "namespace": NAMESPACE, "pod": "a", "cluster": long("é", 2048) } }),
        json!({ "labels": { "alertname": "Time", "namespace": NAMESPACE, "pod": "a" }, "startsAt": "0001-01-01T00:00:01Z" }),
        json!({ "labels": { "alertname": "Late", "namespace": NAMESPACE, "pod": "a" }, "startsAt": "9999-12-30T22:00:00Z" }),
    ];
    let mut many = json!({ "alertname": "ManyLabels", "namespace": NAMESPACE, "pod": "web-1" });
    let mut annotations = json!({});
    for number in 0..300 {
        many[format!("label_{number}")] = json!(long("ж", 1500));
        annotations[format!("annotation_{number}")] = json!(long("x", 1500));
    }
    alerts.push(json!({ "labels": many, "annotations": annotations }));
    alerts
}

fn awkward_event() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "FailedMount",
        "metadata": { "name": "web-1.17a", "namespace": NAMESPACE },
        "involvedObject": {
            "kind": "Pod\u{7f}", "namespace": NAMESPACE, "name": "web-1", "apiVersion": format!("{}/v1", "g".repeat(5000)),
        },
        "message": "m".repeat(50_000), "count": 7, "lastTimestamp": "2026-11-01T09:00:00Z"
    })
}

async fn post(client: &Client, path: &str, body: &Value) {
    let answer = client.post(path, body.to_string()).await.expect("an answer");
    assert!(answer.status.is_success(), "{path}: {}", answer.text());
}

#[tokio::test]
async fn every_request_that_seawall_makes_is_valid_and_kept_whole() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config("storm: {sample: 1000}").start().await;
    let client = seawall.client();

    let alerts = awkward_alerts();
    for alert in &alerts {
        post(&client, "/webhook/prometheus", &json!({ "version": "4", "receiver": "ü", "alerts": [alert] }))
            .await;
    }
    post(&client, "/webhook/k8s-event", &awkward_event()).await;
    // A storm with as many and as long names as are listed, requests it replaces, and one it leaves to its worker.
    let early = Alert::new("PodCrashLooping", "storm", "early");
    fire(&client, &early).await;
    let first = requests_in(&client, "storm", 1).await;
    client.set_phase("storm", name_of(&first[0]), "Executing").await;
    let pods: Vec<_> = (0..1200)
        .map(|pod| Alert::new("PodCrashLooping", "storm", format!("web-{pod}-{}", "ü".repeat(100))))
        .collect();
    let answer = client.fire(&pods).await.expect("an answer");
    assert!(answer.status.is_success(), "{}", answer.text());
    // A repeat, and a problem that is over.
    fire(&client, &early).await;
    fire(&client, &early.resolved()).await;

    after_the_hold(&client).await;
    let mut requests = client.requests("").await;
    assert!(requests.len() >= alerts.len() + 3, "{} requests", requests.len());
    let storms: Vec<_> = requests
        .iter()
        .filter(|request| request.metadata.namespace.as_deref() == Some("storm"))
        .cloned()
        .collect();
    let storm = the_storm(&storms).spec.storm_aggregation.as_ref().expect("a storm");
    assert!(storm.affected_resources.len() > 100 && storm.truncated, "{}", storm.affected_resources.len());
    // Requests are made without a status; it is written on its own.
    requests.iter_mut().for_each(|request| request.status = None);

    let plane = with_definition(scene.path()).await;
    let namespaces: BTreeSet<_> =
        requests.iter().filter_map(|request| request.metadata.namespace.as_deref()).collect();
    namespaces.into_iter().for_each(|namespace| plane.namespace(namespace));
    let items: Vec<Value> = requests.iter().map(written).collect();
    let apply =
        ["apply", "--server-side", "--field-manager=seawall", "--validate=strict", "-f", "-", "-o", "json"];
    let kept = plane
        .kubectl_as(&plane.kubeconfig(), &apply, &list(&items))
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    let kept: Value = serde_json::from_str(&kept).expect("a list");
    let kept = kept["items"].as_array().expect("items");
    assert_eq!(kept.len(), items.len());
    for (item, kept) in items.iter().zip(kept) {
        assert_eq!(item["spec"], kept["spec"], "{}", item["metadata"]["name"]);
        assert_eq!(item["metadata"]["labels"], kept["metadata"]["labels"], "{}", item["metadata"]["name"]);
    }
}

/// A request that the API server takes as it is.
async fn ordinary(client: &Client) -> Value {
    fire(client, &Alert::new("PodCrashLooping", NAMESPACE, "web-1")).await;
    written(&requests_in(client, NAMESPACE, 1).await[0])
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let ordinary = ordinary(&seawall.client()).await;
    let plane = with_definition(scene.path()).await;

    let text = |length: usize| json!("x".repeat(length));
    let malformed = [
        ("signalFingerprint", text(64)),
        ("signalFingerprint", json!("a".repeat(63))),
        ("signalFingerprint", json!("A".repeat(64))),
        ("signalName", text(254)),
        ("signalName", json!("")),
        ("severity", json!("page")),
        ("environment", json!("")),
        ("environment", text(64)),
        ("priority", json!("P4")),
        ("remediationPath", json!("reckless")),
        ("signalType", json!("")),
        ("signalSource", text(64)),
        ("targetType", json!("openstack")),
        ("targetResource", json!({ "kind": "Pod" })),
        ("clusterID", text(254)),
        ("firingTime", json!("yesterday")),
        ("receivedTime", Value::Null),
        ("deduplication", json!({ "occurrenceCount": 1 })),
        ("isStorm", json!("true")),
        ("stormAlertCount", json!(-1)),
        ("affectedResources", json!(vec![":Node:a"; 1001])),
        ("stormAggregation", json!({ "rule": "namespace-rate" })),
        ("signalLabels", json!((0..65).map(|n| (n.to_string(), "x")).collect::<BTreeMap<_, _>>())),
        ("signalLabels", json!({ "a": 1 })),
    ];
    let create = ["create", "--dry-run=server", "--validate=ignore", "-f", "-"];
    let created = |item: &Value| plane.kubectl_as(&plane.kubeconfig(), &create, &item.to_string());
    created(&ordinary).unwrap_or_else(|complaint| panic!("the one they are made of is refused: {complaint}"));
    for (field, value) in malformed {
        let mut item = ordinary.clone();
        item["spec"][field] = value;
        let Err(complaint) = created(&item) else { panic!("taken: {field}: {}", item["spec"][field]) };
        assert!(complaint.contains(&format!("spec.{field}")), "{field}: {complaint}");
    }
}

#[tokio::test]
async fn what_a_request_is_about_can_never_change_and_the_rest_can() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let ordinary = ordinary(&seawall.client()).await;
    let name = ordinary["metadata"]["name"].as_str().expect("a name");
    let plane = with_definition(scene.path()).await;
    plane.apply(&ordinary.to_string());

    let patch = |spec: Value| {
        let patch = json!({ "spec": spec }).to_string();
        plane.try_kubectl(&["-n", NAMESPACE, "patch", "rr", name, "--type=merge", "-p", &patch])
    };
    for (field, value) in [
        ("signalFingerprint", json!("0".repeat(64))),
        ("signalName", json!("Another")),
        ("targetResource", json!({ "name": "web-2" })),
        ("targetResource", json!({ "namespace": null })),
        ("targetResource", json!({ "apiVersion": "v1" })),
    ] {
        let complaint = patch(json!({ field: value })).expect_err(field);
        assert!(complaint.contains(&format!("{field} is immutable")), "{field}: {complaint}");
    }
    for (field, value) in [
        ("severity", json!("warning")),
        ("priority", json!("P2")),
        ("remediationPath", json!("manual")),
        ("environment", json!("blue")),
        ("signalType", json!("something-new")),
        ("isStorm", json!(true)),
        ("supersededBy", json!("rr-0")),
        ("timeoutConfig", json!({ "overallWorkflowTimeout": "1h" })),
    ] {
        patch(json!({ field: value })).unwrap_or_else(|complaint| panic!("{field}: {complaint}"));
    }
}

#[tokio::test]
async fn people_see_columns_and_find_requests_by_fingerprint_and_workers_write_the_status_alone() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let ordinary = ordinary(&client).await;
    let name = ordinary["metadata"]["name"].as_str().expect("a name");
    let plane = with_definition(scene.path()).await;
    plane.apply(&ordinary.to_string());

    // What a worker reports to Seawall and what it writes to Kubernetes is the same.
    let status = json!({ "status": {
        "overallPhase": "Executing", "startTime": "2026-11-01T09:00:00Z", "message": "draining",
        "approvalNotificationSent": true, "workflowExecutionRef": "wfe-1",
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "Draining", "message": "two pods left",
            "lastTransitionTime": "2026-11-01T09:00:00Z", "observedGeneration": 1,
        }],
    } });
    let path = format!("/api/v1/requests/{NAMESPACE}/{name}/status");
    let answer = client
        .send(Method::PATCH, &path, &[("content-type", "application/merge-patch+json")], status.to_string())
        .await
        .expect("an answer");
    assert!(answer.status.is_success(), "{}", answer.text());
    let patch = ["-n", NAMESPACE, "patch", "rr", name, "--type=merge", "-p"];
    plane.kubectl(&[&patch[..], &[&status.to_string()]].concat());
    let shown = |column: &str| plane.kubectl(&["-n", NAMESPACE, "get", "rr", name, "-o", column]);
    assert_eq!(shown("jsonpath={.status}"), "", "the status is not written with the rest");
    plane.kubectl(&[&patch[..], &[&status.to_string(), "--subresource=status"]].concat());
    let kept: RemediationRequest = serde_json::from_str(&shown("json")).expect("a request");
    let reported = client.requests("").await;
    assert_eq!(kept.status, reported[0].status);
    assert_eq!(
        kept.status.expect("a status").conditions.expect("conditions")[0].observed_generation,
        Some(1)
    );

    let table = plane.kubectl(&["get", "rr", "-A"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let columns = ["NAMESPACE", "NAME", "SIGNAL", "SEVERITY", "PRIORITY", "PHASE", "STORM", "ALERTS", "AGE"];
    assert_eq!(rows[0], columns);
    let cells = [NAMESPACE, name, "PodCrashLooping", "critical", "P0", "Executing", "false", "1"];
    assert_eq!(rows[1][..8], cells);

    let fingerprint = ordinary["spec"]["signalFingerprint"].as_str().expect("a fingerprint");
    let found = |fingerprint: &str| {
        let selector = format!("--field-selector=spec.signalFingerprint={fingerprint}");
        plane.kubectl(&["get", "rr", "-A", "-o", "name", &selector])
    };
    assert!(found(fingerprint).contains(name));
    assert_eq!(found(&"0".repeat(64)), "");
}
