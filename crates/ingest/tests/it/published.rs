//! What is answered when requests also have to exist outside of the state store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_model::{RequestId, RequestRef, Timestamp};
use seawall_store::{Existing, Sink, SinkHealth, SinkStats};
use serde_json::{Value, json};

use crate::fake::NOW;
use crate::server::Server;

/// Says which requests exist by the namespace they are for: those in `slow` do not, those in `lost` are elsewhere.
#[derive(Default)]
struct FakeSink(Mutex<SinkHealth>);

impl Sink for FakeSink {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn existing(&self, requests: Vec<RequestRef>) -> Pin<Box<dyn Future<Output = Vec<Existing>> + Send>> {
        let exist = requests.into_iter().filter(|request| request.namespace != "slow");
        let place = |request: RequestRef| match &*request.namespace {
            "lost" => {
                let id = RequestId { generation: request.id.generation + 1, ..request.id };
                Existing { request, place: RequestRef { namespace: "fallback".into(), id } }
            }
            _ => Existing { place: request.clone(), request },
        };
        let existing = exist.map(place).collect();
        Box::pin(async { existing })
    }

    fn health(&self) -> SinkHealth {
        self.0.lock().clone()
    }

    fn stats(&self) -> SinkStats {
        SinkStats { created: 5, updated: 4, deleted: 3 }
    }
}

fn alert(namespace: &str, name: &str) -> Value {
    let labels = json!({"alertname": name, "namespace": namespace, "pod": "web-1"});
    json!({"status": "firing", "labels": labels})
}

fn body(alerts: &[Value]) -> String {
    json!({ "alerts": alerts }).to_string()
}

async fn server() -> (Server, Arc<FakeSink>) {
    let server = Server::start().await;
    let sink = Arc::new(FakeSink::default());
    server.edge.set_sink(sink.clone());
    (server, sink)
}

#[tokio::test]
async fn a_request_that_exists_is_created_and_one_that_follows_is_accepted_with_its_name() {
    let (server, _) = server().await;
    let client = server.client();
    let answer = client.post("/webhook/prometheus", body(&[alert("prod", "Down")])).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (201, &json!("created")));

    let answer = client.post("/webhook/prometheus", body(&[alert("slow", "Down")])).await.unwrap();
    let json = answer.json();
    assert_eq!((answer.status.as_u16(), &json["status"]), (202, &json!("accepted")));
    let name = json["remediationRequestName"].as_str().unwrap();
    assert!(json["message"].as_str().unwrap().contains(name), "{json}");

    let both = [alert("slow", "Other"), alert("prod", "Other")];
    let answer = client.post("/webhook/prometheus", body(&both)).await.unwrap();
    let summary = &answer.json()["summary"];
    assert_eq!(
        (answer.status.as_u16(), &summary["created"], &summary["accepted"]),
        (201, &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn a_request_that_is_elsewhere_is_answered_with_where_it_is() {
    let (server, _) = server().await;
    let answer = server.client().post("/webhook/prometheus", body(&[alert("lost", "Down")])).await.unwrap();
    let json = answer.json();
    assert_eq!((answer.status.as_u16(), &json["remediationRequestNamespace"]), (201, &json!("fallback")));
}

#[tokio::test]
async fn the_status_of_a_request_is_set_where_it_lives() {
    let (server, _) = server().await;
    let answer = server.client().set_phase("prod", "rr-0000000000000001-1", "Completed").await;
    assert_eq!(answer.status.as_u16(), 409);
    assert!(answer.json()["detail"].as_str().unwrap().contains("kubectl patch rr"), "{}", answer.json());
}

#[tokio::test]
async fn a_sink_that_is_down_is_named_and_does_not_keep_alerts_out() {
    let (server, sink) = server().await;
    let client = server.client();
    let check = async || {
        let answer = client.get("/readyz").await.unwrap();
        assert_eq!(answer.status.as_u16(), 200);
        answer.json()["checks"]["sink"].as_str().unwrap().to_owned()
    };
    assert_eq!(check().await, "ok");
    *sink.0.lock() = SinkHealth {
        pending: 7,
        oldest_pending_since: Some(Timestamp::from_millis(NOW.as_millis() - 12_500)),
        suspended: true,
        problem: Some("prod/rr-1: connection refused".to_owned()),
    };
    let expected = "kubernetes is down, and left alone for a while: prod/rr-1: connection refused; 7 pending, the oldest \
                    for 12 s";
    assert_eq!(check().await, expected);

    let metrics = client.get("/metrics").await.unwrap().text();
    for line in [
        "seawall_requests_published_total{outcome=\"created\"} 5",
        "seawall_requests_published_total{outcome=\"deleted\"} 3",
        "seawall_publish_pending 7",
        "seawall_publish_oldest_pending_seconds 12.5",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is not in\n{metrics}");
    }
}
