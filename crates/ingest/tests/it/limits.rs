//! What is too large, too many or too much at once.

use http::{Method, StatusCode};
use seawall_testkit::{Alert, Samples, eventually, request_head, webhook};
use serde_json::{Value, json};

use crate::server::{SOON, Server};

const WEBHOOK: &str = "/webhook/prometheus";

fn one() -> Alert {
    Alert::new("A", "prod", "web-1")
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_limit_and_received() {
    let server = Server::with(|settings| settings.limits.body_bytes = 1000).await;
    let answer = server.client().post(WEBHOOK, vec![b' '; 1001]).await.unwrap();
    let problem = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &problem["limit"], &problem["received"]),
        (413, &json!(1000), &json!(1001))
    );
    assert_eq!(answer.header("connection"), Some("close"), "what is left of the body is not read");
}

#[tokio::test]
async fn a_chunked_body_without_end_is_413_once_it_is_over_the_limit() {
    let server = Server::with(|settings| settings.limits.body_bytes = 10_000).await;
    let mut raw = server.raw().await;
    raw.send(request_head(WEBHOOK, "transfer-encoding: chunked\r\n")).await;
    let chunk = format!("{:x}\r\n{}\r\n", 4000, " ".repeat(4000));
    for _ in 0..3 {
        raw.send(&chunk).await;
    }
    let answer = raw.read_answer(SOON).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"limit\":10000"), "{answer}");
}

#[tokio::test]
async fn a_sender_that_does_not_listen_while_it_sends_too_much_still_gets_its_413() {
    let server = Server::with(|settings| settings.limits.body_bytes = 1000).await;
    let mut raw = server.raw().await;
    let size = 8 * 1024 * 1024;
    raw.send(request_head(WEBHOOK, &format!("content-length: {size}\r\n"))).await;
    assert!(raw.send(vec![b' '; size]).await, "the rest is taken and dropped");
    let answer = raw.read_answer(SOON).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn too_many_alerts_are_413_with_the_limit_however_they_come() {
    let server = Server::with(|settings| settings.limits.alerts_per_body = 10).await;
    assert_eq!(server.client().fire(&Alert::pods("A", "prod", 10)).await.unwrap().status, 201);
    for count in [11, 3000] {
        let answer = server.client().fire(&Alert::pods("A", "prod", count)).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.json()["limit"]), (413, &json!(10)), "{}", answer.text());
        assert!(answer.json()["received"].as_u64().unwrap() > 10);
    }
    assert_eq!(server.store.batches(), 1);
}

#[tokio::test]
async fn a_quiet_sender_is_not_decided_after_all_that_a_noisy_one_has_sent() {
    let server = Server::with(|settings| {
        settings.rate.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.rate.exempt = vec!["192.0.2.0/24".parse().unwrap()];
    })
    .await;
    server.store.hold();
    let client = server.client();
    let send = |from: &'static str, namespace: &'static str| {
        let client = client.clone();
        async move {
            let headers = [("content-type", "application/json"), ("x-forwarded-for", from)];
            let body = webhook(&[Alert::new("A", namespace, "web-1")]);
            client.send(Method::POST, WEBHOOK, &headers, body).await.unwrap().status
        }
    };
    let noise = futures_util::future::join_all((0..600).map(|_| send("192.0.2.1", "noisy")));
    let quiet = async {
        // Nobody else gets to the store, and the rest waits.
        eventually(SOON, async || match server.store.batches() {
            256 => Ok(()),
            count => Err(count),
        })
        .await;
        let quiet = send("192.0.2.2", "quiet");
        let release = async {
            eventually(SOON, async || {
                let in_flight = client.get("/metrics").await.unwrap().text();
                let in_flight = Samples::parse(&in_flight).sum("seawall_http_requests_in_flight", &[]);
                if in_flight >= 602.0 { Ok(()) } else { Err(in_flight) }
            })
            .await;
            assert_eq!(server.store.batches(), 256);
            server.store.release();
        };
        tokio::join!(quiet, release).0
    };
    let (noise, quiet) = tokio::join!(noise, quiet);
    assert!(noise.iter().all(StatusCode::is_success) && quiet.is_success());
    let asked = server.store.asked();
    let at = asked.iter().position(|namespace| namespace == "quiet").unwrap();
    assert!(at <= 258, "{at} of {} came before it", asked.len());
    assert_eq!(server.store.signals(), 601, "and nothing is lost");
}

#[tokio::test]
async fn a_sender_that_takes_every_place_there_is_keeps_nobody_else_out() {
    let server = Server::with(|settings| {
        settings.limits.concurrent_requests = 128;
        settings.rate.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        settings.rate.exempt = vec!["192.0.2.0/24".parse().unwrap()];
    })
    .await;
    // Bodies that never end.
    let mut unending = Vec::new();
    for _ in 0..128 {
        let mut raw = server.raw().await;
        raw.send(request_head(WEBHOOK, "x-forwarded-for: 192.0.2.1\r\ncontent-length: 1000\r\n")).await;
        unending.push(raw);
    }
    let client = server.client();
    let ask = |from: &'static str| {
        let client = client.clone();
        async move {
            client
                .send(Method::GET, "/api/v1/requests", &[("x-forwarded-for", from)], "")
                .await
                .unwrap()
                .status
        }
    };
    eventually(SOON, async || match ask("192.0.2.1").await {
        StatusCode::SERVICE_UNAVAILABLE => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(ask("192.0.2.2").await, StatusCode::OK);
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_are_503_at_once_and_health_is_answered() {
    let server = Server::with(|settings| settings.limits.concurrent_requests = 2).await;
    server.store.hold();
    let client = server.client();
    let (first, second) = (Alert::pods("A", "prod", 1), Alert::pods("B", "prod", 1));
    let waiting = async { tokio::join!(client.fire(&first), client.fire(&second)) };
    let others = async {
        eventually(
            SOON,
            async || if server.store.batches() == 2 { Ok(()) } else { Err("not both are there") },
        )
        .await;
        let refused = client.fire(&[one()]).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.retry_after()), (503, Some(1)));
        assert_eq!(client.get("/api/v1/requests").await.unwrap().status, 503);
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(client.get(path).await.unwrap().status, 200, "{path}");
        }
        server.store.release();
    };
    let ((first, second), ()) = tokio::join!(waiting, others);
    assert_eq!((first.unwrap().status, second.unwrap().status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(client.fire(&[one()]).await.unwrap().status, 201);
}

#[tokio::test]
async fn bodies_that_would_not_fit_into_memory_together_are_503() {
    let server = Server::with(|settings| settings.limits.buffered_bytes = 10_000).await;
    let mut raw = server.raw().await;
    raw.send(request_head(WEBHOOK, "content-length: 9001\r\n") + &" ".repeat(9000)).await;
    let client = server.client();
    let padding = " ".repeat(2000);
    let body = String::from_utf8(webhook(&[one()]).to_vec()).unwrap() + &padding;
    let refused = eventually(SOON, async || {
        let answer = client.post(WEBHOOK, body.clone()).await.unwrap();
        if answer.status == 503 { Ok(answer) } else { Err(answer.text()) }
    });
    assert_eq!(refused.await.retry_after(), Some(1));
    drop(raw);
    eventually(SOON, async || {
        let answer = client.post(WEBHOOK, body.clone()).await.unwrap();
        if answer.status.is_success() { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test]
async fn headers_over_64_kib_or_more_than_100_are_431() {
    let server = Server::start().await;
    let large = request_head("/healthz", &format!("x-large: {}\r\n", "x".repeat(70_000)));
    let many = request_head("/healthz", &"x-one: 1\r\n".repeat(101));
    for head in [large, many] {
        let mut raw = server.raw().await;
        raw.send(head).await;
        let answer = raw.read_answer(SOON).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let most = (0..90).map(|header| (format!("x-{header}"), "x".repeat(500))).collect::<Vec<_>>();
    let most: Vec<_> = most.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(server.client().send(Method::GET, "/healthz", &most, "").await.unwrap().status, 200);
}

#[tokio::test]
async fn an_alert_with_a_hundred_thousand_labels_is_rejected_alone() {
    let server = Server::start().await;
    let labels: serde_json::Map<String, Value> =
        (0..100_000).map(|label| (format!("label_{label}"), json!("x"))).collect();
    let body = json!({"alerts": [one().webhook_alert(), {"status": "firing", "labels": labels}]}).to_string();
    assert!(body.len() > 1024 * 1024);
    let answer = server.client().post(WEBHOOK, body).await.unwrap();
    assert_eq!(
        (answer.status, &answer.json()["results"][1]["status"]),
        (StatusCode::CREATED, &json!("rejected"))
    );
}
