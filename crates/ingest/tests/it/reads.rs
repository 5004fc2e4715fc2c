//! What can be looked at, and the one thing that can be written.

use http::Method;
use insta::assert_json_snapshot;
use seawall_testkit::{Alert, Answer};
use serde_json::{Value, json};

use crate::fake::{FakeStore, STORM};
use crate::server::Server;

async fn server_with(count: usize) -> Server {
    let server = Server::start().await;
    let answer = server.client().fire(&Alert::pods("PodCrashLooping", "prod", count)).await.unwrap();
    assert_eq!(answer.status, 201);
    server
}

async fn patch(server: &Server, path: &str, kind: &str, body: impl ToString) -> Answer {
    let path = format!("/api/v1/requests/{path}/status");
    server.client().send(Method::PATCH, &path, &[("content-type", kind)], body.to_string()).await.unwrap()
}

#[tokio::test]
async fn a_list_of_requests_has_the_form_of_kubernetes() {
    let server = server_with(1).await;
    let list = server.client().document("/api/v1/requests").await;
    assert_eq!(list["apiVersion"], "remediation.kubernaut.io/v1alpha1");
    assert_eq!(list["kind"], "RemediationRequestList");
    assert_eq!(list["metadata"], json!({"resourceVersion": "1"}));
    let item = &list["items"][0];
    assert_eq!((&item["kind"], &item["apiVersion"]), (&json!("RemediationRequest"), &list["apiVersion"]));
    assert_eq!(item["spec"]["targetResource"]["name"], "web-0");
    let name = item["metadata"]["name"].as_str().unwrap();
    assert_eq!(&server.client().document(&format!("/api/v1/requests/prod/{name}")).await, item);
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let server = server_with(7).await;
    let mut pages = Vec::new();
    let mut next = String::new();
    loop {
        let page = server.client().document(&format!("/api/v1/requests?limit=3{next}")).await;
        pages.push(page["items"].as_array().unwrap().len());
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        next = format!("&continue={}", token.replace('/', "%2F"));
    }
    assert_eq!(pages, [3, 3, 1]);
}

#[tokio::test]
async fn a_wrong_parameter_is_400_and_named() {
    let server = server_with(1).await;
    for (path, parameter) in [
        ("/api/v1/requests?limit=0", "limit"),
        ("/api/v1/requests?limit=5001", "limit"),
        ("/api/v1/requests?limit=many", "limit"),
        ("/api/v1/requests?storm=maybe", "storm"),
        ("/api/v1/requests?fingerprint=abc", "fingerprint"),
        ("/api/v1/requests?namespace=a&namespace=b", "namespace"),
        ("/api/v1/requests?colour=red", "colour"),
        ("/api/v1/requests?watch=1", "watch"),
        ("/api/v1/requests?resourceVersion=1", "resourceVersion"),
        ("/api/v1/storms?phase=Pending", "phase"),
        ("/api/v1/requests/prod/rr-0000000000000000-1?pretty=true", "pretty"),
    ] {
        let answer = server.client().get(path).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.json()["parameter"]), (400, &json!(parameter)), "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(parameter));
    }
}

#[tokio::test]
async fn what_does_not_exist_is_404() {
    let server = server_with(1).await;
    let none = "0".repeat(64);
    for path in [
        "/api/v1/requests/prod/rr-0000000000000000-1",
        "/api/v1/requests/prod/nonsense",
        "/api/v1/storms/nonsense",
        "/api/v1/explain/nonsense",
        &format!("/api/v1/explain/{none}"),
    ] {
        assert_eq!(server.client().get(path).await.unwrap().status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_worker_sets_a_phase_with_either_content_type() {
    let server = server_with(1).await;
    let request = &server.client().requests("").await[0];
    let path = format!("prod/{}", request.metadata.name.as_ref().unwrap());
    for (kind, phase) in [("application/merge-patch+json", "Analyzing"), ("application/json", "Completed")] {
        let answer = patch(&server, &path, kind, json!({"status": {"overallPhase": phase}})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["status"]["overallPhase"], phase);
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_taken_says_why() {
    let server = server_with(1).await;
    let request = &server.client().requests("").await[0];
    let path = format!("prod/{}", request.metadata.name.as_ref().unwrap());
    let json_type = "application/json";
    for (body, status) in [
        (json!({"status": {"colour": "red"}}), 422),
        (json!({"spec": {}}), 422),
        (json!({"status": 5}), 422),
        (json!({}), 422),
        (json!([]), 400),
    ] {
        assert_eq!(patch(&server, &path, json_type, &body).await.status, status, "{body}");
    }
    assert_eq!(patch(&server, &path, json_type, "{").await.status, 400);
    assert_eq!(patch(&server, &path, "text/plain", "{}").await.status, 415);
    assert_eq!(patch(&server, &path, json_type, " ".repeat(300_000)).await.status, 413);
    let phase = json!({"status": {"overallPhase": "Completed"}});
    assert_eq!(patch(&server, "prod/rr-0000000000000000-1", json_type, &phase).await.status, 404);
    server.store.fail(Some(FakeStore::unavailable()));
    assert_eq!(patch(&server, &path, json_type, &phase).await.status, 503);
}

#[tokio::test]
async fn storms_are_listed_and_one_has_its_members() {
    let server = Server::start().await;
    assert_json_snapshot!(server.client().document("/api/v1/storms").await, @r#"
    {
      "items": [
        {
          "alertCount": 15,
          "groupBy": {
            "alertname": "PodCrashLooping",
            "namespace": "prod"
          },
          "id": "a4453471a6f8e847-1793530800",
          "lastSeen": "2026-11-01T11:00:01.000Z",
          "occurrenceCount": 20,
          "openedAt": "2026-11-01T11:00:00.000Z",
          "pattern": "PodCrashLooping in prod",
          "requestRef": {
            "name": "rr-a4453471a6f8e847-1793530800",
            "namespace": "prod"
          },
          "rule": "namespace-rate",
          "stormType": "rate"
        }
      ],
      "kind": "StormList",
      "metadata": {
        "resourceVersion": "7"
      }
    }
    "#);
    let storm = server.client().document(&format!("/api/v1/storms/{STORM}?limit=1")).await;
    assert_eq!(storm["id"], STORM);
    assert_json_snapshot!(storm["members"], @r#"
    {
      "items": [
        {
          "count": 3,
          "fingerprint": "a4453471a6f8e847012716ddfdb8e9f5b7d8e95a702f829a7a6fb504b906c2b2",
          "firstSeen": "2026-11-01T11:00:00.000Z",
          "kind": "Pod",
          "lastSeen": "2026-11-01T11:00:00.000Z",
          "name": "web-1",
          "namespace": "prod",
          "resolved": false
        }
      ],
      "metadata": {
        "continue": "more"
      }
    }
    "#);
}

#[tokio::test]
async fn a_decision_is_explained() {
    let server = server_with(1).await;
    let request = &server.client().requests("").await[0];
    let path = format!("/api/v1/explain/{}", request.spec.signal_fingerprint);
    let explained: Value = server.client().document(&path).await;
    assert_json_snapshot!(explained, @r#"
    {
      "decisions": [
        {
          "at": "2026-11-01T11:00:00.000Z",
          "decision": "created",
          "reason": "first signal of this problem"
        }
      ],
      "fingerprint": "60dc36565b3ec6f315f5c009d10f80bab9541f5cd39050935f8f0cc31a628d9e",
      "identity": {
        "alertname": "PodCrashLooping",
        "kind": "Pod",
        "name": "web-0",
        "namespace": "prod"
      },
      "kind": "Explanation",
      "open": true,
      "requestRef": {
        "name": "rr-60dc36565b3ec6f3-1793530800",
        "namespace": "prod"
      }
    }
    "#);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let server = server_with(1).await;
    server.client().get("/api/v1/requests/prod/rr-0000000000000000-1").await.unwrap();
    server.client().get("/somewhere/else").await.unwrap();
    let metrics = server.client().get("/metrics").await.unwrap();
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let metrics = metrics.text();
    for line in [
        "seawall_http_requests_total{route=\"/webhook/prometheus\",method=\"POST\",status=\"201\"} 1",
        "seawall_http_requests_total{route=\"/api/v1/requests/{namespace}/{name}\",method=\"GET\",status=\"404\"} 1",
        "seawall_http_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 1",
        "seawall_http_requests_in_flight 1",
        "seawall_decisions_total{source=\"alertmanager\",decision=\"created\"} 1",
        "seawall_signals_received_total{source=\"alertmanager\",severity=\"critical\"} 1",
        "seawall_state_operation_duration_seconds_count{store=\"fake\",operation=\"decide\"} 1",
        "seawall_incidents_open 1",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is missing in\n{metrics}");
    }
}
