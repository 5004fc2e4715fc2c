//! The description of the interface is checked in.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::server::Server;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_description_that_is_checked_in_is_the_one_that_the_routes_give() {
    let generated = seawall_ingest::openapi_json();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(
        generated == checked_in,
        "docs/openapi.json is out of date; update it with `UPDATE_GOLDEN=1 cargo test -p seawall-ingest openapi`"
    );
}

#[tokio::test]
async fn the_description_is_served_and_has_every_path() {
    let server = Server::start().await;
    let served = server.client().document("/openapi.json").await;
    let expected: Value = serde_json::from_str(&seawall_ingest::openapi_json()).unwrap();
    assert_eq!(served, expected);
    let paths: BTreeSet<&str> = served["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let contract = [
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
        "/health/live",
        "/readyz",
        "/ready",
        "/health/ready",
        "/health",
        "/metrics",
    ];
    assert_eq!(paths, BTreeSet::from(contract));
}
