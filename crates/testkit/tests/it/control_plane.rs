use std::time::Duration;

use seawall_testkit::eventually;
use seawall_testkit::kubernetes::ControlPlane;
use serde_json::{Value, json};
use tempfile::TempDir;

fn directory() -> TempDir {
    TempDir::with_prefix("seawall-kubernetes-").unwrap()
}

fn config_map(name: &str) -> String {
    let metadata = json!({ "name": name, "namespace": "default" });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "key": name } })
        .to_string()
}

/// What the API server says about a token.
fn review(plane: &ControlPlane, token: &str, audience: Option<&str>) -> Value {
    let spec = json!({ "token": token, "audiences": audience.map(|audience| vec![audience]) });
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec });
    let args = ["create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-"];
    let answer = plane.kubectl_as(&plane.kubeconfig(), &args, &review.to_string()).unwrap();
    serde_json::from_str::<Value>(&answer).unwrap()["status"].clone()
}

#[tokio::test]
async fn what_was_created_is_listed_and_survives_a_restart_of_the_api_server() {
    let home = directory();
    let mut plane = ControlPlane::start_in(home.path(), "kubernetes").await;
    let url = plane.url();
    plane.apply(&config_map("one"));
    plane.apply(&config_map("two"));
    let list = ["get", "configmaps", "-o", "jsonpath={.items[*].data.key}"];
    assert_eq!(plane.kubectl(&list), "one two");

    plane.kill_apiserver();
    let complaint = plane.try_kubectl(&list).unwrap_err();
    assert!(complaint.contains("refused"), "{complaint}");

    plane.restart_apiserver().await;
    assert_eq!(plane.url(), url);
    assert_eq!(plane.kubectl(&list), "one two");
}

#[tokio::test]
async fn a_service_account_is_known_by_its_token_and_may_do_nothing_yet() {
    let home = directory();
    let plane = ControlPlane::start_in(home.path(), "kubernetes").await;
    let sender = plane.service_account("monitoring", "sender");
    let token = plane.token("monitoring", "sender", Some("seawall"), 600);

    let status = review(&plane, &token, Some("seawall"));
    assert_eq!(status["authenticated"], true, "{status}");
    assert_eq!(status["user"]["username"], sender.user());
    for (token, audience) in [(&*token, None), ("nonsense", Some("seawall"))] {
        let status = review(&plane, token, audience);
        assert_ne!(status["authenticated"], true, "{status}");
    }

    let kubeconfig = plane.kubeconfig_of(&sender);
    let refused = plane.kubectl_as(&kubeconfig, &["get", "configmaps"], "").unwrap_err();
    assert!(refused.contains("Forbidden") && refused.contains(&sender.user()), "{refused}");
}

#[tokio::test]
async fn the_definition_of_the_resource_is_installed() {
    let home = directory();
    let plane = ControlPlane::start_in(home.path(), "kubernetes").await;
    assert!(plane.try_kubectl(&["get", "rr"]).is_err());
    plane.install_crd();
    assert_eq!(plane.kubectl(&["get", "rr", "-o", "name"]), "");
}

#[tokio::test]
async fn a_paused_api_server_is_silent_and_goes_on_where_it_was() {
    let home = directory();
    let plane = ControlPlane::start_in(home.path(), "kubernetes").await;
    let list = ["get", "configmaps", "-o", "name", "--request-timeout=300ms"];
    plane.pause();
    assert!(plane.try_kubectl(&list).is_err());
    plane.resume();
    plane.apply(&config_map("one"));
    assert_eq!(plane.kubectl(&["get", "configmaps", "-o", "name"]).trim(), "configmap/one");
}

#[tokio::test]
async fn the_scheduler_reports_pods_that_no_node_can_take() {
    let home = directory();
    let plane = ControlPlane::builder(home.path(), "kubernetes").controllers().start().await;
    let labels = json!({ "app": "shop" });
    let container = json!({ "name": "shop", "image": "shop" });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [container] } });
    let spec = json!({ "replicas": 3, "selector": { "matchLabels": labels }, "template": template });
    let metadata = json!({ "name": "shop", "namespace": "default" });
    let deployment =
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec });
    plane.apply(&deployment.to_string());

    let reported =
        ["get", "events", "-o", "jsonpath={.items[?(@.reason==\"FailedScheduling\")].involvedObject.kind}"];
    eventually(Duration::from_secs(30), || async {
        match plane.kubectl(&reported) {
            pods if pods == "Pod Pod Pod" => Ok(()),
            other => Err(format!("reported for: {other}")),
        }
    })
    .await;
}
