//! Requests as resources of a real cluster.

use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::{Alert, Client, Scene, SeawallBuilder, eventually};
use serde_json::{Value, json};

use crate::support::{SOON, fire, fire_at_once, samples, scene};

const KUBERNETES: &str = "sink: {kind: kubernetes, kubernetes: {fallbackNamespace: seawall, qps: 500, burst: 500}}\n\
                          publish: {breaker: {open: 1s}}";

pub async fn control_plane(scene: &Scene) -> ControlPlane {
    let plane = ControlPlane::start(scene).await;
    plane.install_crd();
    plane.namespace("prod");
    plane.namespace("seawall");
    plane
}

fn publishing(scene: &Scene, plane: &ControlPlane) -> SeawallBuilder {
    scene.seawall("seawall").config(KUBERNETES).kubeconfig(plane.kubeconfig())
}

/// The resources in a namespace.
pub fn resources(plane: &ControlPlane, namespace: &str) -> Vec<Value> {
    let list = plane.kubectl(&["get", "rr", "-n", namespace, "-o", "json"]);
    serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
}

/// Waits until resources are as they should be.
pub async fn become_so(
    plane: &ControlPlane,
    namespace: &str,
    are_so: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    eventually(SOON, || async {
        let resources = resources(plane, namespace);
        if are_so(&resources) { Ok(resources) } else { Err(json!(resources).to_string()) }
    })
    .await
}

pub fn count(resource: &Value) -> u64 {
    resource["spec"]["deduplication"]["occurrenceCount"].as_u64().unwrap()
}

async fn sink_check(client: &Client) -> String {
    let answer = client.get("/readyz").await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["checks"]["sink"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_alert_becomes_a_resource_before_it_is_answered_as_created() {
    let scene = scene().await;
    let plane = control_plane(&scene).await;
    let seawall = publishing(&scene, &plane).start().await;
    let client = seawall.client();
    eventually(SOON, || async {
        let check = sink_check(&client).await;
        if check == "ok" { Ok(()) } else { Err(check) }
    })
    .await;

    let answer = fire(&client, &Alert::new("PodCrashLooping", "prod", "web-1")).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let name = answer.json()["remediationRequestName"].clone();
    let resources = resources(&plane, "prod");
    assert_eq!(resources.iter().map(|resource| &resource["metadata"]["name"]).collect::<Vec<_>>(), [&name]);

    fire(&client, &Alert::new("PodCrashLooping", "prod", "web-1")).await;
    become_so(&plane, "prod", |resources| resources.iter().map(count).eq([2])).await;
    let table = plane.kubectl(&["get", "rr", "-n", "prod"]);
    assert!(table.contains("PodCrashLooping") && table.contains("P0"), "{table}");
    eventually(SOON, || async {
        let samples = samples(&client).await;
        let published = |label| samples.sum("seawall_requests_published_total", &[label]);
        let both = (published("outcome=\"created\""), published("outcome=\"updated\""));
        if both == (1.0, 1.0) { Ok(()) } else { Err(format!("{both:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_storm_is_one_resource_that_counts_all() {
    let scene = scene().await;
    let plane = control_plane(&scene).await;
    let seawall = publishing(&scene, &plane).start().await;
    let alerts: Vec<_> =
        (0..200).map(|pod| Alert::new("PodCrashLooping", "prod", format!("web-{pod}"))).collect();
    fire_at_once(&seawall.client(), &alerts).await;
    become_so(&plane, "prod", |resources| resources.iter().map(count).sum::<u64>() == 200).await;
    let resources = resources(&plane, "prod");
    let storms: Vec<_> = resources.iter().filter(|resource| resource["spec"]["isStorm"] == true).collect();
    assert_eq!(storms.len(), 1, "{resources:?}");
    assert_eq!(storms[0]["spec"]["stormAlertCount"], 200);
}

#[tokio::test]
async fn a_finished_or_deleted_resource_ends_the_incident() {
    let scene = scene().await;
    let plane = control_plane(&scene).await;
    let recipe = publishing(&scene, &plane).config(&format!("{KUBERNETES}\ndedup: {{cooldown: 0s}}"));
    let client = recipe.start().await;
    let (seawall, client) = (&client, client.client());
    let alert = Alert::new("PodCrashLooping", "prod", "web-1");
    let first = fire(&client, &alert).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let name = first.json()["remediationRequestName"].as_str().unwrap().to_owned();

    let completed = r#"{"status":{"overallPhase":"Completed"}}"#;
    plane.kubectl(&[
        "patch",
        "rr",
        &name,
        "-n",
        "prod",
        "--subresource=status",
        "--type=merge",
        "-p",
        completed,
    ]);
    let second = eventually(SOON, || async {
        let answer = fire(&client, &alert).await;
        let name = answer.json()["remediationRequestName"].as_str().unwrap_or_default().to_owned();
        if answer.status == 201 { Ok(name) } else { Err(answer.text()) }
    })
    .await;
    assert_ne!(second, name);

    plane.kubectl(&["delete", "rr", &second, "-n", "prod"]);
    eventually(SOON, || async {
        let answer = fire(&client, &alert).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let names: Vec<_> = resources(&plane, "prod").iter().map(|one| one["metadata"]["name"].clone()).collect();
    assert!(names.contains(&json!(name)) && !names.contains(&json!(second)), "{names:?}");
    assert!(seawall.process().output().contains("deleted the request"));
}

#[tokio::test]
async fn alerts_are_taken_while_the_api_server_is_away_and_requests_follow() {
    let scene = scene().await;
    let mut plane = control_plane(&scene).await;
    let mut seawall = publishing(&scene, &plane).start().await;
    let client = seawall.client();
    plane.kill_apiserver();
    let alerts: Vec<_> = (0..20).map(|n| Alert::new(&format!("Alert{n}"), "prod", "web-1")).collect();
    for answer in fire_at_once(&client, &alerts).await {
        let json = answer.json();
        assert_eq!((answer.status.as_u16(), json["status"].as_str()), (202, Some("accepted")), "{json}");
    }
    // What is not published yet survives, too, and so does a start without the API server.
    seawall.kill9();
    seawall.restart().await;
    plane.restart_apiserver().await;
    become_so(&plane, "prod", |resources| resources.len() == 20).await;
}

#[tokio::test]
async fn what_is_wrong_with_the_definition_is_said_until_it_is_right() {
    let scene = scene().await;
    let plane = ControlPlane::start(&scene).await;
    plane.namespace("prod");
    plane.namespace("seawall");
    let seawall = publishing(&scene, &plane).start().await;
    let client = seawall.client();
    let says = async |text: &str| {
        eventually(SOON, || async {
            let check = sink_check(&client).await;
            if check.contains(text) { Ok(()) } else { Err(check) }
        })
        .await;
    };
    says("seawall crd | kubectl apply -f -").await;
    assert_eq!(fire(&client, &Alert::new("Early", "prod", "web-1")).await.status, 202);
    plane.install_crd();
    become_so(&plane, "prod", |resources| resources.len() == 1).await;
    says("ok").await;
}
