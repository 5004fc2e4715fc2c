//! Everything that is real at once: a service breaks, and what is left of two hundred alerts is one resource.
//!
//! ```text
//! Exporter ◄── Prometheus ──► Alertmanager ──► two Seawalls ──► API server ◄── kubectl
//!                              (its token)       └─► Redis
//! ```

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use seawall_testkit::kubernetes::{ControlPlane, ServiceAccount};
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{
    Alertmanager, AlertmanagerOptions, Client, Exporter, Prometheus, Scene, SeawallBuilder, eventually,
};
use serde_json::Value;

use super::replicas;
use crate::kubernetes::resources;
use crate::support::{lasting, name_of, scene};

/// Alertmanager's own patience with a receiver that refuses, and what a loaded machine adds.
const PATIENCE: Duration = Duration::from_secs(60);

const REDIS_STANDS_STILL: Duration = Duration::from_secs(3);

const RULES: &str = r#"
groups:
- name: pods
  rules:
  - alert: PodCrashLooping
    expr: fake_pod_crashing == 1
    labels: {severity: critical}
    annotations: {summary: "{{ $labels.pod }} is crash looping"}
"#;

/// Who was asked about stays known while the API server is away, however slow the machine is.
const CONFIG: &str = "sink: {kind: kubernetes, kubernetes: {fallbackNamespace: seawall}}\n\
                      auth: {kubernetes: {enabled: true, cacheTtl: 10m}}\n\
                      publish: {breaker: {open: 1s}}\n";

/// The first `count` pods of the deployment are crashing.
fn crashing(count: usize) -> String {
    let mut text = String::from("# TYPE fake_pod_crashing gauge\n");
    for pod in 0..count {
        writeln!(text, "fake_pod_crashing{{namespace=\"prod\",pod=\"web-7d4b9c6f5-{pod}\"}} 1")
            .expect("a text grows");
    }
    text
}

/// A cluster with the definition, the shipped manifests and those who send and work. Without nodes the pods of the
/// manifests do not run; the Seawalls of the test have their account.
async fn control_plane(scene: &Scene) -> ControlPlane {
    let plane = ControlPlane::start(scene).await;
    plane.install_crd();
    plane.namespace("prod");
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/base");
    plane.kubectl(&["apply", "-k", &base.to_string_lossy()]);
    for (namespace, name, role) in
        [("monitoring", "alertmanager", "seawall-sender"), ("agents", "worker", "seawall-worker")]
    {
        plane.service_account(namespace, name);
        let (role, account) =
            (format!("--clusterrole={role}"), format!("--serviceaccount={namespace}:{name}"));
        plane.kubectl(&["create", "clusterrolebinding", name, &role, &account]);
    }
    plane
}

/// Waits until this replica says that the storm has so many members.
async fn counts(client: &Client, members: u64) {
    eventually(PATIENCE, || async {
        let answer = client.get("/api/v1/requests?namespace=prod").await.map_err(|lost| lost.to_string())?;
        if answer.status != 200 {
            return Err(answer.text());
        }
        let requests = answer.json()["items"].take();
        let storm =
            requests.as_array().into_iter().flatten().find(|request| request["spec"]["isStorm"] == true);
        match storm.and_then(|storm| storm["spec"]["stormAlertCount"].as_u64()) {
            Some(count) if count == members => Ok(()),
            count => Err(format!("{count:?} of {members} are counted")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_broken_pods_are_one_resource_whatever_fails_on_the_way() {
    let scene = scene().await;
    let mut plane = control_plane(&scene).await;
    let redis = RedisServer::start(&scene, "redis").await;
    let account = ServiceAccount { namespace: "seawall".to_owned(), name: "seawall".to_owned() };
    let account = plane.kubeconfig_of(&account);
    let recipe = |it: SeawallBuilder| it.config(CONFIG).redis(&redis).kubeconfig(&account);
    let mut replicas = replicas(&scene, 2, recipe).await;
    let stranger = replicas[0].client().get("/api/v1/requests").await.expect("an answer");
    assert_eq!(stranger.status, 401, "everybody has to say who they are");
    let worker = plane.token("agents", "worker", None, 3_600);
    let readers: Vec<_> = replicas.iter().map(|replica| replica.client().bearer(&worker)).collect();
    let credentials = scene.file("token", &plane.token("monitoring", "alertmanager", None, 3_600));
    let http_config = format!("{{authorization: {{credentials_file: {}}}}}", credentials.display());
    let options = AlertmanagerOptions { http_config: Some(http_config), ..Default::default() };
    let webhooks: Vec<_> = replicas.iter().map(|replica| replica.url("/webhook/prometheus")).collect();
    let alertmanager = Alertmanager::start_for(&scene, "alertmanager", &webhooks, &options).await;
    let exporter = Exporter::start(&crashing(0)).await;
    let _prometheus = Prometheus::start(&scene, exporter.address(), RULES, alertmanager.address()).await;

    exporter.set(&crashing(20));
    counts(&readers[0], 20).await;
    counts(&readers[1], 20).await;

    replicas[0].kill9();
    exporter.set(&crashing(60));
    counts(&readers[1], 60).await;
    replicas[0].restart().await;

    redis.pause();
    exporter.set(&crashing(100));
    lasting(REDIS_STANDS_STILL).await;
    redis.resume();
    counts(&readers[0], 100).await;

    plane.kill_apiserver();
    exporter.set(&crashing(150));
    counts(&readers[1], 150).await;
    plane.restart_apiserver().await;

    exporter.set(&crashing(200));
    counts(&readers[0], 200).await;
    let storm = the_resource(&plane, &readers[1]).await;
    affects_every_pod_once(&storm);
    kubectl_shows(&plane, &storm);
}

/// Waits until there is one resource that says what the store says, and returns it.
async fn the_resource(plane: &ControlPlane, client: &Client) -> Value {
    eventually(PATIENCE, || async {
        let (resources, requests) = (resources(plane, "prod"), client.requests("namespace=prod").await);
        let ([resource], [request]) = (&*resources, &*requests) else {
            return Err(format!("{} resources, {} requests", resources.len(), requests.len()));
        };
        assert_eq!(resource["metadata"]["name"], name_of(request));
        let spec = serde_json::to_value(&request.spec).expect("a request is JSON");
        let facts = |spec: &Value| {
            let storm = &spec["stormAggregation"];
            let counts =
                [&storm["alertCount"], &storm["occurrenceCount"], &spec["deduplication"]["occurrenceCount"]];
            (spec["isStorm"].clone(), counts.map(Clone::clone))
        };
        let (there, here) = (facts(&resource["spec"]), facts(&spec));
        let counted = here.1[2].as_u64().unwrap_or_default();
        // Every member has been sent to both replicas, and counts as often as it was confirmed.
        let complete =
            there == here && here.0 == true && here.1[0] == 200 && here.1[1] == counted && counted >= 200;
        if complete { Ok(resource.clone()) } else { Err(format!("there {there:?}, here {here:?}")) }
    })
    .await
}

fn affects_every_pod_once(storm: &Value) {
    let pods = storm["spec"]["stormAggregation"]["affectedResources"].as_array().expect("a list");
    let names: BTreeSet<_> =
        pods.iter().map(|pod| pod["name"].as_str().expect("a name").to_owned()).collect();
    let expected: BTreeSet<_> = (0..200).map(|pod| format!("web-7d4b9c6f5-{pod}")).collect();
    assert_eq!((pods.len(), names), (200, expected));
    let short: BTreeSet<_> =
        storm["spec"]["affectedResources"].as_array().expect("a list").iter().map(Value::to_string).collect();
    assert_eq!(short.len(), 200);
}

fn kubectl_shows(plane: &ControlPlane, storm: &Value) {
    let table = plane.kubectl(&["get", "rr", "-n", "prod"]);
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let [head, row] = &*rows else { panic!("{table}") };
    assert_eq!(head[..3], ["NAME", "SIGNAL", "SEVERITY"], "{table}");
    let count = storm["spec"]["deduplication"]["occurrenceCount"].to_string();
    let name = storm["metadata"]["name"].as_str().expect("a name");
    assert_eq!((row[0], row[1], row[2]), (name, "PodCrashLooping", "critical"), "{table}");
    assert!(row.contains(&"true") && row.contains(&&*count), "{table}");
}
