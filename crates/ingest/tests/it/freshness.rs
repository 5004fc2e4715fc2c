//! Bodies that have to say when they were sent.

use bytes::Bytes;
use http::{Method, StatusCode};
use seawall_ingest::Freshness;
use seawall_testkit::{Alert, Samples, webhook};

use crate::fake::NOW;
use crate::server::Server;

async fn send(server: &Server, path: &str, time: Option<i64>) -> StatusCode {
    let body: Bytes = match path {
        "/api/v2/alerts" => r#"[{"labels":{"alertname":"Crash","namespace":"prod","pod":"web-1"}}]"#.into(),
        "/webhook/k8s-event" | "/api/v1/signals/kubernetes-event" => r#"{"type":"Warning","reason":"BackOff",
            "involvedObject":{"kind":"Pod","namespace":"prod","name":"web-1"}}"#
            .into(),
        _ => webhook(&[Alert::new("Crash", "prod", "web-1")]),
    };
    let time = time.map(|time| time.to_string());
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(time.as_deref().map(|time| ("x-timestamp", time)));
    server.client().send(Method::POST, path, &headers, body).await.unwrap().status
}

const WEBHOOKS: [&str; 5] = [
    "/api/v1/signals/prometheus",
    "/webhook/prometheus",
    "/api/v2/alerts",
    "/api/v1/signals/kubernetes-event",
    "/webhook/k8s-event",
];

#[tokio::test]
async fn only_what_was_sent_a_moment_ago_is_decided_where_that_is_required() {
    let server = Server::with(|settings| settings.freshness = Some(Freshness::default())).await;
    let now = NOW.as_millis() / 1000;
    for path in WEBHOOKS {
        let before = server.store.signals();
        for time in [None, Some(now - 301), Some(now + 121)] {
            assert_eq!(send(&server, path, time).await, StatusCode::BAD_REQUEST, "{path} {time:?}");
        }
        assert_eq!(server.store.signals(), before, "{path}");
        assert!(send(&server, path, Some(now - 300)).await.is_success(), "{path}");
        assert_eq!(server.store.signals(), before + 1, "{path}");
    }
    let answer = server.client().post("/webhook/prometheus", webhook(&[])).await.unwrap();
    assert_eq!(answer.json()["type"], "urn:seawall:problem:not-fresh");
    // Whoever reads sends nothing that could be replayed.
    assert_eq!(server.client().get("/api/v1/requests").await.unwrap().status, StatusCode::OK);
    let samples = Samples::parse(&server.client().get("/metrics").await.unwrap().text());
    let refused = |source: &str| {
        samples
            .sum("seawall_signals_rejected_total", &[&format!("source=\"{source}\""), "reason=\"not_fresh\""])
    };
    assert_eq!(
        (refused("alertmanager"), refused("prometheus"), refused("kubernetes-event")),
        (7.0, 3.0, 6.0)
    );
}

#[tokio::test]
async fn the_header_is_ignored_where_nothing_is_required() {
    let server = Server::start().await;
    for time in [None, Some(0), Some(i64::MAX)] {
        assert!(send(&server, "/webhook/prometheus", time).await.is_success(), "{time:?}");
    }
    assert_eq!(server.store.signals(), 3);
}
