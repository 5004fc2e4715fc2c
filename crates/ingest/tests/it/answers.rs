//! What senders are told about their alerts.

use http::{Method, StatusCode};
use insta::assert_json_snapshot;
use seawall_testkit::{Alert, webhook};
use serde_json::{Value, json};

use crate::server::Server;

const WEBHOOK: &str = "/api/v1/signals/prometheus";

async fn fire(server: &Server, alerts: &[Alert]) -> (StatusCode, Value) {
    let headers = [("content-type", "application/json"), ("x-request-id", "from-the-test")];
    let answer = server.client().send(Method::POST, WEBHOOK, &headers, webhook(alerts)).await.unwrap();
    (answer.status, answer.json())
}

fn crash(pod: &str) -> Alert {
    Alert::new("PodCrashLooping", "prod", pod)
}

#[tokio::test]
async fn a_new_problem_is_201_with_everything_about_its_request() {
    let server = Server::start().await;
    let (status, body) = fire(&server, &[crash("web-1")]).await;
    assert_eq!(status, 201);
    assert_json_snapshot!(body, @r#"
    {
      "duplicate": false,
      "environment": "production",
      "fingerprint": "a4453471a6f8e847012716ddfdb8e9f5b7d8e95a702f829a7a6fb504b906c2b2",
      "isStorm": false,
      "message": "New problem; request prod/rr-a4453471a6f8e847-1793530800 was created.",
      "metadata": {
        "count": 1,
        "firstSeen": "2026-11-01T11:00:00.000Z",
        "lastSeen": "2026-11-01T11:00:01.500Z"
      },
      "priority": "P0",
      "remediationPath": "aggressive",
      "remediationRequestName": "rr-a4453471a6f8e847-1793530800",
      "remediationRequestNamespace": "prod",
      "requestId": "from-the-test",
      "status": "created",
      "timestamp": "2026-11-01T11:00:00.000Z"
    }
    "#);
}

#[tokio::test]
async fn a_repeat_is_202_and_names_the_original_request_and_the_count() {
    let server = Server::start().await;
    fire(&server, &[crash("web-1")]).await;
    let (status, body) = fire(&server, &[crash("web-1")]).await;
    assert_eq!(status, 202);
    assert_json_snapshot!(body, @r#"
    {
      "duplicate": true,
      "environment": "production",
      "fingerprint": "a4453471a6f8e847012716ddfdb8e9f5b7d8e95a702f829a7a6fb504b906c2b2",
      "isStorm": false,
      "message": "Repeat of a known problem, seen 2 times; counted on prod/rr-a4453471a6f8e847-1793530800.",
      "metadata": {
        "count": 2,
        "firstSeen": "2026-11-01T11:00:00.000Z",
        "lastSeen": "2026-11-01T11:00:01.500Z"
      },
      "originalCRD": "prod/rr-a4453471a6f8e847-1793530800",
      "priority": "P0",
      "remediationPath": "aggressive",
      "remediationRequestName": "rr-a4453471a6f8e847-1793530800",
      "remediationRequestNamespace": "prod",
      "requestId": "from-the-test",
      "status": "duplicate",
      "timestamp": "2026-11-01T11:00:00.000Z"
    }
    "#);
}

#[tokio::test]
async fn a_member_of_a_storm_is_202_and_tells_about_the_storm() {
    let server = Server::start().await;
    let (status, body) = fire(&server, &[Alert::new("StormAlert", "prod", "web-1")]).await;
    assert_eq!(status, 202);
    assert_json_snapshot!(body, @r#"
    {
      "duplicate": false,
      "environment": "production",
      "fingerprint": "870a7fa7edf158b5b82699049a891b16cb32f35151a216f8447e2dff497fd17e",
      "isStorm": true,
      "message": "Part of the storm `StormAlert in prod` of 15 problems; counted on prod/rr-870a7fa7edf158b5-1793530800.",
      "metadata": {
        "count": 1,
        "firstSeen": "2026-11-01T11:00:00.000Z",
        "lastSeen": "2026-11-01T11:00:01.500Z"
      },
      "priority": "P0",
      "remediationPath": "aggressive",
      "remediationRequestName": "rr-870a7fa7edf158b5-1793530800",
      "remediationRequestNamespace": "prod",
      "requestId": "from-the-test",
      "status": "aggregated",
      "storm": {
        "alertCount": 15,
        "pattern": "StormAlert in prod",
        "rule": "namespace-rate"
      },
      "stormType": "rate",
      "timestamp": "2026-11-01T11:00:00.000Z"
    }
    "#);
}

#[tokio::test]
async fn a_held_signal_is_202_accepted_without_a_name() {
    let server = Server::start().await;
    let (status, body) = fire(&server, &[Alert::new("HeldAlert", "prod", "web-1")]).await;
    assert_eq!((status, &body["status"]), (StatusCode::ACCEPTED, &json!("accepted")));
    assert_eq!(body.get("remediationRequestName"), None);
    let (status, body) = fire(&server, &[Alert::new("HeldAlert", "prod", "web-1")]).await;
    assert_eq!(
        (status, &body["status"], &body["duplicate"]),
        (StatusCode::ACCEPTED, &json!("duplicate"), &json!(true))
    );
    assert_eq!((body.get("remediationRequestName"), body.get("originalCRD")), (None, None));
}

#[tokio::test]
async fn a_resolved_alert_of_an_unknown_problem_is_202_and_counts_nothing() {
    let server = Server::start().await;
    let (status, body) = fire(&server, &[crash("web-1").resolved()]).await;
    assert_eq!((status, &body["status"]), (StatusCode::ACCEPTED, &json!("resolved")));
    assert_eq!(body.get("metadata"), None);
}

#[tokio::test]
async fn several_alerts_are_answered_in_order_with_a_summary() {
    let server = Server::start().await;
    let mut body: Value = serde_json::from_slice(&webhook(&[crash("a"), crash("b"), crash("a")])).unwrap();
    body["alerts"]
        .as_array_mut()
        .unwrap()
        .insert(1, json!({"status": "firing", "labels": {"pod": "nameless"}}));
    let answer = server.client().post("/webhook/prometheus", body.to_string()).await.unwrap();
    assert_eq!(answer.status, 201);
    let answer = answer.json();
    let brief: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|r| (&r["index"], &r["status"])).collect();
    let expected = [
        (json!(0), json!("created")),
        (json!(1), json!("rejected")),
        (json!(2), json!("created")),
        (json!(3), json!("duplicate")),
    ];
    assert_eq!(brief, expected.iter().map(|(index, status)| (index, status)).collect::<Vec<_>>());
    assert_eq!(answer["status"], "created");
    let summary = json!({"total": 4, "created": 2, "duplicate": 1, "aggregated": 0, "accepted": 0, "resolved": 0, "suppressed": 0, "rejected": 1});
    assert_eq!(answer["summary"], summary);
    assert_eq!(answer.get("truncated"), None);
    assert_eq!(server.store.signals(), 3);
}

#[tokio::test]
async fn a_body_without_alerts_is_accepted_with_a_total_of_zero() {
    let server = Server::start().await;
    let (status, body) = fire(&server, &[]).await;
    assert_eq!(
        (status, &body["status"], &body["summary"]["total"]),
        (StatusCode::ACCEPTED, &json!("accepted"), &json!(0))
    );
    let answer = server.client().post("/api/v2/alerts", "[]").await.unwrap();
    assert_eq!((answer.status, &answer.json()["summary"]["total"]), (StatusCode::OK, &json!(0)));
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn above_a_thousand_alerts_only_rejected_ones_are_listed() {
    let server = Server::start().await;
    let mut body: Value =
        serde_json::from_slice(&webhook(&Alert::pods("PodCrashLooping", "prod", 1200))).unwrap();
    for index in 0..150 {
        body["alerts"][index * 3]["labels"] = json!({});
    }
    let answer = server.client().post(WEBHOOK, body.to_string()).await.unwrap();
    assert_eq!(answer.status, 201);
    let answer = answer.json();
    let results = answer["results"].as_array().unwrap();
    assert_eq!((results.len(), &answer["truncated"]), (100, &json!(true)));
    assert!(results.iter().all(|result| result["status"] == "rejected"));
    assert_eq!(results[99]["index"], 297);
    assert_eq!((&answer["summary"]["created"], &answer["summary"]["rejected"]), (&json!(1050), &json!(150)));
}

#[tokio::test]
async fn a_large_body_is_parsed_while_it_arrives_and_decided_as_one_batch() {
    let server = Server::start().await;
    let alerts: Vec<_> = Alert::pods("PodCrashLooping", "prod", 10_000);
    let body = webhook(&alerts);
    assert!(body.len() > 2 * 1024 * 1024);
    let answer = server.client().post(WEBHOOK, body).await.unwrap();
    assert_eq!((answer.status, &answer.json()["summary"]["created"]), (StatusCode::CREATED, &json!(10_000)));
    assert_eq!((server.store.batches(), server.store.signals()), (1, 10_000));
}

#[tokio::test]
async fn prometheus_is_answered_200() {
    let server = Server::start().await;
    let body = json!([crash("web-1").api_alert()]).to_string();
    let answer = server.client().post("/api/v2/alerts", body).await.unwrap();
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("created")));
}

#[tokio::test]
async fn a_kubernetes_event_is_taken_when_it_is_a_warning_and_suppressed_when_it_is_not() {
    let server = Server::start().await;
    let event = |kind: &str| {
        let object = json!({"kind": "Pod", "name": "web-1", "namespace": "prod", "apiVersion": "v1"});
        json!({"apiVersion": "v1", "kind": "Event", "type": kind, "reason": "OOMKilled", "message": "killed", "involvedObject": object,
            "metadata": {"name": "web-1.1", "namespace": "prod"}, "lastTimestamp": "2026-11-01T09:00:00Z"}).to_string()
    };
    let answer = server.client().post("/webhook/k8s-event", event("Warning")).await.unwrap();
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::CREATED, &json!("created")));
    let answer = server.client().post("/api/v1/signals/kubernetes-event", event("Normal")).await.unwrap();
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::ACCEPTED, &json!("suppressed")));
}

#[tokio::test]
async fn a_byte_order_mark_and_a_missing_content_type_are_tolerated() {
    let server = Server::start().await;
    let body = [b"\xef\xbb\xbf", &webhook(&[crash("web-1")])[..]].concat();
    let answer = server.client().send(Method::POST, WEBHOOK, &[], body).await.unwrap();
    assert_eq!(answer.status, 201);
}
