//! The record of what was decided.

use std::path::Path;

use http::Method;
use seawall_ingest::{AuditLog, AuditSettings};
use seawall_testkit::{Alert, webhook};
use serde_json::{Value, json};

use crate::server::Server;

fn settings(directory: &Path) -> AuditSettings {
    AuditSettings { file: directory.join("audit.jsonl"), file_bytes: 1024 * 1024, files: 2 }
}

fn lines(directory: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(settings(directory).file).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_alert_has_a_line_that_says_what_was_decided_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::with(|settings| {
        settings.rate.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let audit = AuditLog::open(settings(directory.path())).unwrap();
    server.edge.set_audit(audit.clone());
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-request-id", "a-request"),
        ("authorization", "Bearer secret"),
    ];
    let client = server.client();
    let alert = Alert::new("DiskFull", "prod", "db-0");
    for body in [webhook(&[alert.clone(), Alert::new("", "prod", "db-1")]), webhook(&[alert])] {
        client.send(Method::POST, "/webhook/prometheus", &headers, body).await.unwrap();
    }
    let event = r#"{"type":"Normal","reason":"Pulled","involvedObject":{"kind":"Pod","namespace":"prod","name":"a"}}"#;
    client.post("/webhook/k8s-event", event).await.unwrap();
    audit.close().await;

    let lines = lines(directory.path());
    let decisions: Vec<_> = lines.iter().map(|line| line["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions, ["rejected", "created", "duplicate", "suppressed"], "{lines:?}");
    let created = &lines[1];
    assert_eq!(
        (&created["source"], &created["sender"], &created["requestId"], &created["status"]),
        (&json!("alertmanager"), &json!("192.0.2.7"), &json!("a-request"), &json!("firing"))
    );
    assert_eq!(
        (&created["alertname"], &created["namespace"], &created["kind"], &created["resource"]),
        (&json!("DiskFull"), &json!("prod"), &json!("Pod"), &json!("db-0"))
    );
    assert!(created["fingerprint"].as_str().unwrap().len() == 64 && created["time"].is_string());
    assert!(created["request"].as_str().unwrap().starts_with("prod/rr-"), "{created}");
    assert_eq!(lines[2]["request"], created["request"]);
    let reason = lines[2]["reason"].as_str().unwrap();
    assert!(reason.starts_with("signal 2 of a problem that is open since "), "{reason}");
    assert!(lines[0]["reason"].as_str().unwrap().contains("alertname"), "{}", lines[0]);
    let text = std::fs::read_to_string(settings(directory.path()).file).unwrap();
    assert!(!text.contains("secret"));
}

#[tokio::test]
async fn of_a_body_that_is_too_large_to_list_everything_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let audit = AuditLog::open(settings(directory.path())).unwrap();
    server.edge.set_audit(audit.clone());
    let mut alerts = Alert::pods("Crash", "prod", 1200);
    alerts.extend((0..150).map(|at| Alert::new("", "prod", format!("web-{at}"))));
    server.client().fire(&alerts).await.unwrap();
    audit.close().await;
    let lines = lines(directory.path());
    let count = |decision: &str| {
        let those = lines.iter().filter(|line| line["decision"] == decision);
        those.map(|line| line["count"].as_u64().unwrap_or(1)).sum::<u64>()
    };
    assert_eq!((count("created"), count("rejected")), (1200, 150));
}
