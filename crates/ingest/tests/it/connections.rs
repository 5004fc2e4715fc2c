//! Connections whose clients are slow, gone, in a hurry or wrong.

use std::time::Duration;

use seawall_testkit::{Alert, Deadline, eventually, request_head, webhook};

use crate::server::{SOON, Server};

const WEBHOOK: &str = "/webhook/prometheus";
/// A timeout that a test waits for, and one that it must not meet.
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

fn body() -> String {
    String::from_utf8(webhook(&[Alert::new("A", "prod", "web-1")]).to_vec()).unwrap()
}

fn whole() -> String {
    let body = body();
    request_head(WEBHOOK, &format!("content-length: {}\r\n", body.len())) + &body
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed_after_the_header_time() {
    let server = Server::with(|settings| settings.timeouts.header = SHORT).await;
    let mut raw = server.raw().await;
    assert_eq!(raw.read_all(SOON).await, (String::new(), true));
}

#[tokio::test]
async fn a_head_that_comes_in_drops_is_closed_after_the_header_time_although_something_comes() {
    let server = Server::with(|settings| settings.timeouts.header = SHORT).await;
    let mut raw = server.raw().await;
    let deadline = Deadline::after(SOON);
    raw.send("GET /healthz HTTP/1.1\r\n").await;
    let mut closed = false;
    while !closed {
        assert!(!deadline.is_over(), "a slow head is cut off");
        raw.send("x: y\r\n").await;
        closed = raw.read_all(Duration::from_millis(10)).await.1;
    }
    assert!(deadline.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_kept_connection_may_be_idle_longer_than_a_head_may_take() {
    let server = Server::with(|settings| {
        settings.timeouts.header = SHORT;
        settings.timeouts.idle = LONG;
    });
    let server = server.await;
    let mut raw = server.raw().await;
    raw.send(whole()).await;
    assert!(raw.read_answer(SOON).await.starts_with("HTTP/1.1 201 "));
    let (more, closed) = raw.read_all(3 * SHORT).await;
    assert_eq!((more.as_str(), closed), ("", false));
    raw.send(whole()).await;
    assert!(raw.read_answer(SOON).await.starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn a_later_head_has_the_header_time_from_its_first_byte() {
    let server = Server::with(|settings| {
        settings.timeouts.header = SHORT;
        settings.timeouts.idle = LONG;
    });
    let server = server.await;
    let mut raw = server.raw().await;
    raw.send(whole()).await;
    assert!(raw.read_answer(SOON).await.starts_with("HTTP/1.1 201 "));
    raw.send("POST ").await;
    assert!(raw.read_all(SOON).await.1, "it is closed");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_idle_time() {
    let server = Server::with(|settings| settings.timeouts.idle = SHORT).await;
    let mut raw = server.raw().await;
    raw.send(whole()).await;
    assert!(raw.read_answer(SOON).await.starts_with("HTTP/1.1 201 "));
    assert_eq!(raw.read_all(SOON).await, (String::new(), true));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408_and_503_for_senders_that_would_give_up() {
    let server = Server::with(|settings| settings.timeouts.body = SHORT).await;
    for (agent, status) in [("curl/8", "408"), ("Alertmanager/0.34", "503")] {
        let mut raw = server.raw().await;
        let head = request_head(WEBHOOK, &format!("content-length: 100\r\nuser-agent: {agent}\r\n"));
        raw.send(head + "{").await;
        let (answer, closed) = raw.read_all(SOON).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && closed, "{agent}: {answer}");
        assert_eq!(answer.contains("retry-after: 1"), status == "503");
    }
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn a_large_body_that_stops_in_the_middle_is_408_and_nothing_of_it_is_decided() {
    let server = Server::with(|settings| settings.timeouts.body = SHORT).await;
    let whole = webhook(&Alert::pods("A", "prod", 10_000));
    let mut raw = server.raw().await;
    raw.send(request_head(WEBHOOK, &format!("content-length: {}\r\n", whole.len()))).await;
    raw.send(&whole[..whole.len() / 2]).await;
    let answer = raw.read_answer(SOON).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn a_decision_that_takes_too_long_is_503_and_is_made_all_the_same() {
    let server = Server::with(|settings| settings.timeouts.request = SHORT).await;
    server.store.hold();
    let answer = server.client().fire(&[Alert::new("A", "prod", "web-1")]).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.retry_after()), (503, Some(1)));
    server.store.release();
    eventually(SOON, async || if server.store.signals() == 1 { Ok(()) } else { Err("not decided yet") })
        .await;
}

#[tokio::test]
async fn a_sender_that_leaves_after_sending_has_its_alerts_decided() {
    let server = Server::start().await;
    server.store.hold();
    let large = webhook(&Alert::pods("B", "prod", 10_000));
    for body in [body().into_bytes(), large.to_vec()] {
        let before = server.store.batches();
        let mut raw = server.raw().await;
        raw.send(request_head(WEBHOOK, &format!("content-length: {}\r\n", body.len()))).await;
        raw.send(body).await;
        eventually(SOON, async || if server.store.batches() > before { Ok(()) } else { Err("not received") })
            .await;
        drop(raw);
    }
    server.store.release();
    eventually(SOON, async || if server.store.signals() == 10_001 { Ok(()) } else { Err("not decided yet") })
        .await;
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_not_decided() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    let body = body();
    raw.send(request_head(WEBHOOK, &format!("content-length: {}\r\n", body.len() + 1)) + &body).await;
    raw.finish().await;
    let (answer, closed) = raw.read_all(SOON).await;
    assert!(closed && (answer.is_empty() || answer.starts_with("HTTP/1.1 400 ")), "{answer}");
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn a_body_longer_than_announced_is_400_and_what_follows_is_no_request() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    let body = body();
    raw.send(request_head(WEBHOOK, &format!("content-length: {}\r\n", body.len() - 1)) + &body).await;
    let (answer, closed) = raw.read_all(SOON).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && closed, "{answer}");
    assert_eq!(server.store.batches(), 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start().await;
    let mut raw = server.raw().await;
    let last = request_head(WEBHOOK, "connection: close\r\ncontent-length: 2\r\n") + "{}";
    raw.send(whole() + "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" + &whole() + &last).await;
    let (answers, closed) = raw.read_all(SOON).await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!((statuses.as_slice(), closed), (["201", "200", "202", "202"].as_slice(), true), "{answers}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_after_the_write_time() {
    let server = Server::with(|settings| settings.timeouts.write = SHORT).await;
    for pod in 0..200 {
        let labels = "x".repeat(1000);
        let alert = (0..15).fold(Alert::new("A", "prod", format!("web-{pod}")), |alert, label| {
            alert.label(&format!("label_{label}"), &labels)
        });
        server.client().fire(&[alert]).await.unwrap();
    }
    let mut raw = server.raw().await;
    let list = "GET /api/v1/requests HTTP/1.1\r\nhost: x\r\n\r\n";
    let deadline = Deadline::after(SOON);
    // What a client can be sent without reading anything is bounded by the sockets' buffers; after that its connection
    // is closed and sending fails.
    while raw.send(list).await {
        assert!(!deadline.is_over(), "it is closed");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connections_over_the_cap_wait_until_one_is_closed() {
    let server = Server::with(|settings| settings.max_connections = 1).await;
    let mut first = server.raw().await;
    first.send(whole()).await;
    assert!(first.read_answer(SOON).await.starts_with("HTTP/1.1 201 "));
    let mut second = server.raw().await;
    second.send(whole()).await;
    let (early, _) = second.read_all(SHORT).await;
    assert_eq!(early, "");
    drop(first);
    assert!(second.read_answer(SOON).await.starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn nonsense_is_400_or_closed_and_the_server_stays_well() {
    let server = Server::start().await;
    for nonsense in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
    ] {
        let mut raw = server.raw().await;
        raw.send(nonsense).await;
        raw.finish().await;
        let (answer, closed) = raw.read_all(SOON).await;
        assert!(
            closed && (answer.is_empty() || answer.starts_with("HTTP/1.1 400 ")),
            "{nonsense:?}: {answer}"
        );
    }
    assert_eq!(server.client().get("/healthz").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_thousand_idle_connections_keep_nobody_waiting() {
    let server = Server::start().await;
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(server.raw().await);
    }
    assert_eq!(server.client().fire(&[Alert::new("A", "prod", "web-1")]).await.unwrap().status, 201);
}
