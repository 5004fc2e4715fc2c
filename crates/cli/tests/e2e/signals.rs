//! What senders other than Alertmanager's webhook send, and what an alert is found to be about.

use http::Method;
use seawall_testkit::{Alert, Client};
use serde_json::{Value, json};

use crate::support::{SOON, fire, scene};

async fn post(client: &Client, path: &str, body: &Value) -> seawall_testkit::Answer {
    client.post(path, body.to_string()).await.expect("an answer")
}

fn event(kind: &str, reason: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "type": kind, "reason": reason,
        "metadata": {"name": "web-1.17a", "namespace": "prod"},
        "involvedObject": {"kind": "Pod", "namespace": "prod", "name": "web-1", "apiVersion": "v1"},
        "message": "Back-off restarting failed container", "count": 1,
        "lastTimestamp": "2026-11-01T09:00:00Z"
    })
}

#[tokio::test]
async fn a_warning_of_kubernetes_becomes_a_request_and_a_normal_event_does_not() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let warning = post(&client, "/webhook/k8s-event", &event("Warning", "OOMKilled")).await;
    assert_eq!(warning.status, 201, "{}", warning.text());
    let again = post(&client, "/api/v1/signals/kubernetes-event", &event("Warning", "OOMKilled")).await;
    assert_eq!((again.status.as_u16(), again.json()["status"].as_str()), (202, Some("duplicate")));
    let normal = post(&client, "/webhook/k8s-event", &event("Normal", "Scheduled")).await;
    assert_eq!((normal.status.as_u16(), normal.json()["status"].as_str()), (202, Some("suppressed")));

    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1);
    let spec = &requests[0].spec;
    assert_eq!((spec.signal_type.as_str(), spec.signal_name.as_str()), ("kubernetes-event", "OOMKilled"));
    assert_eq!((spec.target_resource.kind.as_str(), spec.target_resource.name.as_str()), ("Pod", "web-1"));
    assert_eq!(spec.severity.as_str(), "critical");
}

#[tokio::test]
async fn the_alert_api_answers_as_prometheus_expects() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let alerts: Value = Alert::pods("PodCrashLooping", "prod", 15).iter().map(Alert::api_alert).collect();
    let answer = post(&client, "/api/v2/alerts", &alerts).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["summary"]["total"], 15);
    let again = post(&client, "/api/v2/alerts", &alerts).await;
    assert_eq!((again.status.as_u16(), again.json()["summary"]["duplicate"].as_u64()), (200, Some(15)));
    let nothing = post(&client, "/api/v2/alerts", &json!([])).await;
    assert_eq!((nothing.status.as_u16(), nothing.json()["summary"]["total"].as_u64()), (200, Some(0)));
    assert_eq!(client.requests("").await.len(), 1);
}

#[tokio::test]
async fn an_alert_is_about_the_resource_that_its_labels_name() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config("storm: {rules: []}").start().await;
    let client = seawall.client();
    for (labels, namespace, kind, name) in [
        (json!({"pod": "web-1", "namespace": "a", "instance": "10.0.0.1:80"}), Some("a"), "Pod", "web-1"),
        (json!({"deployment": "web", "namespace": "a"}), Some("a"), "Deployment", "web"),
        (json!({"statefulset": "db", "namespace": "a"}), Some("a"), "StatefulSet", "db"),
        (json!({"daemonset": "agent", "namespace": "a"}), Some("a"), "DaemonSet", "agent"),
        (json!({"job_name": "backup", "namespace": "a"}), Some("a"), "Job", "backup"),
        (json!({"node": "node-1", "namespace": "monitoring"}), None, "Node", "node-1"),
        (json!({"instance": "10.0.0.1:9100"}), Some("default"), "Instance", "10.0.0.1:9100"),
        (json!({"namespace": "a"}), Some("a"), "Unknown", "Unspecific"),
        (
            json!({"exported_pod": "web-2", "exported_namespace": "b", "pod": "exporter", "namespace": "a"}),
            Some("b"),
            "Pod",
            "web-2",
        ),
        (
            json!({"deployment": "web", "namespace": "shop", "pod": "kube-state-metrics-7f-x", "job": "kube-state-metrics", "instance": "10.0.0.1:8080"}),
            Some("shop"),
            "Deployment",
            "web",
        ),
    ] {
        let mut own = labels.clone();
        own["alertname"] = json!("Unspecific");
        let answer = post(
            &client,
            "/webhook/prometheus",
            &json!({"version": "4", "alerts": [{"status": "firing", "labels": own}]}),
        )
        .await;
        assert_eq!(answer.status, 201, "{labels}: {}", answer.text());
        let fingerprint = answer.json()["fingerprint"].as_str().expect("a fingerprint").to_owned();
        let requests = client.requests(&format!("fingerprint={fingerprint}")).await;
        let target = &requests[0].spec.target_resource;
        assert_eq!(
            (target.namespace.as_deref(), &*target.kind, &*target.name),
            (namespace, kind, name),
            "{labels}"
        );
    }
}

#[tokio::test]
async fn names_in_any_language_and_of_any_length_are_told_apart() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config("storm: {rules: []}").start().await;
    let client = seawall.client();
    let long = "x".repeat(1_500);
    let (one, other) = (format!("{long}1"), format!("{long}2"));
    let names = ["Größe", "größe", "磁盘已满", "🔥", "a:b", "a\\:b", "a", "A", "a ", &one, &other];
    for name in names {
        let alert = Alert::new(name, "prod", "web:0");
        let answer = fire(&client, &alert).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()["fingerprint"], alert.fingerprint().to_string(), "{name}");
    }
    let requests = client.requests("").await;
    assert_eq!(requests.len(), names.len());
    assert!(requests.iter().all(|request| request.spec.signal_name.len() <= 253));
}

#[tokio::test]
async fn nothing_secret_is_logged_at_the_loudest_level() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").env("SEAWALL_TELEMETRY__LOG_LEVEL", "trace").start().await;
    let client = seawall.client();
    let secret = "correct-horse-battery-staple";
    let mut alert = Alert::new("PodCrashLooping", "prod", "web-0").label("password", secret);
    alert.annotations.insert("api_token".to_owned(), secret.to_owned());
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &*format!("Bearer {secret}")),
        ("cookie", &*format!("session={secret}")),
    ];
    let body = seawall_testkit::webhook(&[alert]);
    let path = format!("/webhook/prometheus?token={secret}");
    let answer = client.send(Method::POST, &path, &headers, body).await.expect("an answer");
    assert!(answer.status == 201 || answer.status.is_client_error(), "{}", answer.text());
    client
        .send(Method::POST, "/webhook/prometheus", &headers, format!("{{\"{secret}\""))
        .await
        .expect("an answer");
    client
        .send(Method::GET, &format!("/api/v1/requests?token={secret}"), &headers, "")
        .await
        .expect("an answer");
    // The line about the last request is written when that has been answered.
    seawall_testkit::eventually(SOON, || async {
        if seawall.process().output().lines().count() > 1 { Ok(()) } else { Err("nothing is logged") }
    })
    .await;
    let said = seawall.process().output();
    assert!(
        !said.contains(secret),
        "{}",
        said.lines().find(|line| line.contains(secret)).unwrap_or_default()
    );
}

#[tokio::test]
async fn the_description_of_the_interface_names_every_path() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let description = seawall.client().document("/openapi.json").await;
    for path in [
        "/webhook/prometheus",
        "/api/v1/signals/prometheus",
        "/api/v2/alerts",
        "/webhook/k8s-event",
        "/api/v1/signals/kubernetes-event",
        "/api/v1/requests",
        "/api/v1/requests/{namespace}/{name}",
        "/api/v1/requests/{namespace}/{name}/status",
        "/api/v1/storms",
        "/api/v1/storms/{id}",
        "/api/v1/explain/{fingerprint}",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    for path in ["/healthz", "/health/live", "/readyz", "/ready", "/health/ready", "/health"] {
        assert_eq!(seawall.client().get(path).await.expect("an answer").status, 200, "{path}");
    }
}
