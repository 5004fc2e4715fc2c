//! Every row of the status table that is an error.

use http::{Method, StatusCode};
use seawall_testkit::{Alert, Answer, webhook};
use serde_json::json;

use crate::fake::FakeStore;
use crate::server::Server;

const WEBHOOK: &str = "/webhook/prometheus";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Checks the parts that every problem has, and that it is this one.
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:seawall:problem:{code}"), "{problem}");
    assert_eq!(problem["status"], status);
    for field in ["title", "detail", "instance", "requestId"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {problem}");
    }
    assert_eq!(answer.header("x-request-id"), problem["requestId"].as_str());
    assert_eq!(status == 503, answer.retry_after().is_some());
}

async fn post(server: &Server, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Answer {
    server.client().send(Method::POST, WEBHOOK, headers, body).await.unwrap()
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_400_with_the_position() {
    let server = Server::start().await;
    let deep = "[".repeat(100_000);
    for body in ["", "{", "null", "[]", "{\"alerts\": 5}", "{\"alerts\": [}", "\0\0\0", &deep] {
        assert_problem(&post(&server, &[JSON], body.to_owned()).await, 400, "malformed-body");
    }
    let answer = post(&server, &[JSON], "{\"alerts\":\n [}").await;
    assert!(answer.json()["detail"].as_str().unwrap().contains("line 2"), "{}", answer.text());
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn a_body_of_invalid_alerts_only_is_400_and_names_them() {
    let server = Server::start().await;
    let answer =
        post(&server, &[JSON], json!({"alerts": [{"labels": {}}, {"labels": {}}]}).to_string()).await;
    assert_problem(&answer, 400, "invalid-alerts");
    assert_eq!(answer.json()["rejected"][1]["index"], 1);
}

#[tokio::test]
async fn what_is_not_json_or_is_encoded_is_415() {
    let server = Server::start().await;
    let body = webhook(&[Alert::new("A", "prod", "web-1")]);
    for kind in ["text/plain", "application/x-protobuf", "nonsense"] {
        assert_problem(&post(&server, &[("content-type", kind)], body.clone()).await, 415, "media-type");
    }
    let gzip = post(&server, &[JSON, ("content-encoding", "gzip")], body.clone()).await;
    assert_problem(&gzip, 415, "media-type");
    let identity = post(&server, &[JSON, ("content-encoding", "identity")], body).await;
    assert_eq!(identity.status, 201);
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let server = Server::start().await;
    let client = server.client();
    assert_problem(&client.get("/nothing/here").await.unwrap(), 404, "not-found");
    let wrong = client.get(WEBHOOK).await.unwrap();
    assert_problem(&wrong, 405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), Some("POST"));
    let wrong = client.post("/api/v1/requests", "").await.unwrap();
    assert_problem(&wrong, 405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn what_is_not_durable_is_503_and_nothing_internal_is_told() {
    let server = Server::start().await;
    server.store.fail(Some(FakeStore::unavailable()));
    let answer = server.client().fire(&[Alert::new("A", "prod", "web-1")]).await.unwrap();
    assert_problem(&answer, 503, "not-durable");
    assert_eq!(answer.retry_after(), Some(3));
    assert!(!answer.text().contains("device"), "{}", answer.text());
    let metrics = server.client().get("/metrics").await.unwrap().text();
    for line in [
        "seawall_state_errors_total{store=\"fake\",class=\"disk\"} 1",
        "seawall_state_available{store=\"fake\"} 0",
        "seawall_signals_rejected_total{source=\"alertmanager\",reason=\"not_durable\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    server.store.fail(None);
    let again = server.client().fire(&[Alert::new("A", "prod", "web-1")]).await.unwrap();
    assert_eq!(again.status, 201);
}

#[tokio::test]
async fn a_handler_that_panics_is_500_and_the_next_request_is_answered() {
    let server = Server::start().await;
    let answer = server.client().fire(&[Alert::new("PanicNow", "prod", "web-1")]).await.unwrap();
    assert_problem(&answer, 500, "internal");
    assert_eq!(server.client().get("/healthz").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_valid_request_id_is_taken_over_and_an_invalid_one_replaced() {
    let server = Server::start().await;
    let long = "x".repeat(128);
    for given in ["abc-1_2.3", &long] {
        let answer =
            server.client().send(Method::GET, "/healthz", &[("x-request-id", given)], "").await.unwrap();
        assert_eq!(answer.header("x-request-id"), Some(given));
    }
    let too_long = "x".repeat(129);
    let mut made = Vec::new();
    for given in ["", "with space", "semi;colon", &too_long] {
        let answer =
            server.client().send(Method::GET, "/healthz", &[("x-request-id", given)], "").await.unwrap();
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(id != given && !id.is_empty() && !made.contains(&id));
        made.push(id);
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = Server::start().await;
    for path in
        ["/healthz", "/nothing", "/webhook/prometheus", "/metrics", "/openapi.json", "/api/v1/requests"]
    {
        let answer = server.client().get(path).await.unwrap();
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name} of {path}");
        }
        assert_eq!(answer.header("strict-transport-security"), None);
    }
}

#[tokio::test]
async fn readiness_says_what_is_wrong_and_liveness_does_not_care() {
    let server = Server::start().await;
    for path in ["/readyz", "/ready", "/health/ready", "/health"] {
        let readiness = server.client().document(path).await;
        assert_eq!(
            (&readiness["checks"]["stateStore"], &readiness["checks"]["sink"]),
            (&json!("ok"), &json!("in state store"))
        );
    }
    server.store.fail(Some(FakeStore::unavailable()));
    let answer = server.client().get("/readyz").await.unwrap();
    assert_problem(&answer, 503, "not-ready");
    assert!(
        answer.json()["checks"]["stateStore"].as_str().unwrap().contains("no space left"),
        "{}",
        answer.text()
    );
    for path in ["/healthz", "/health/live"] {
        assert_eq!(server.client().get(path).await.unwrap().status, StatusCode::OK);
    }
}
