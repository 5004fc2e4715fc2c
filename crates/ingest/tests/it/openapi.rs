//! The description of the interface is checked in.

use std::collections::BTreeSet;

use seawall_testkit::{Alert, webhook};
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

/// Answers are written by hand, so nothing but this keeps them to their description.
#[tokio::test]
async fn every_field_of_an_answer_is_described() {
    let server = Server::start().await;
    let document = server.client().document("/openapi.json").await;
    let alerts: Vec<_> =
        ["One", "Storm", "Held", "One"].iter().map(|name| Alert::new(name, "prod", "web-1")).collect();
    let mut body: Value = serde_json::from_slice(&webhook(&alerts)).unwrap();
    body["alerts"].as_array_mut().unwrap().push(Value::Null);
    let several = server.client().post("/webhook/prometheus", body.to_string()).await.unwrap().json();
    let single = server.client().fire(&alerts[..1]).await.unwrap().json();
    check(&document, "BodyAnswer", &several);
    check(&document, "SignalAnswer", &single);
}

fn check(document: &Value, schema: &str, answer: &Value) {
    let schema = &document["components"]["schemas"][schema];
    for required in schema["required"].as_array().unwrap() {
        assert!(answer.get(required.as_str().unwrap()).is_some(), "{required} is missing in {answer}");
    }
    for (name, value) in answer.as_object().unwrap() {
        let property = schema["properties"].get(name).unwrap_or_else(|| panic!("{name} is not described"));
        let target = |property: &Value| {
            property["$ref"].as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned)
        };
        let nested = target(property).or_else(|| property["oneOf"].as_array()?.iter().find_map(target));
        match (nested, value) {
            (Some(nested), Value::Object(_)) => check(document, &nested, value),
            (_, Value::Array(items)) => {
                let nested = target(&property["items"]).unwrap();
                items.iter().for_each(|item| check(document, &nested, item));
            }
            _ => {}
        }
    }
}
