//! The way out.

use std::time::Duration;

use seawall_testkit::{Alert, eventually};

use crate::server::{SOON, Server};

fn one() -> Alert {
    Alert::new("A", "prod", "web-1")
}

#[tokio::test]
async fn a_server_that_has_nothing_to_do_ends_at_once() {
    let server = Server::start().await;
    let report = server.end().await;
    assert_eq!((report.open, report.aborted, report.unfinished), (0, 0, 0));
    assert!(report.took < Duration::from_secs(1));
}

#[tokio::test]
async fn requests_in_flight_are_answered_and_told_to_connect_elsewhere() {
    let mut server = Server::start().await;
    server.store.hold();
    let client = server.client();
    let alerts = [one()];
    let waiting = client.fire(&alerts);
    let ending = async {
        eventually(SOON, async || if server.store.batches() == 1 { Ok(()) } else { Err("not received") })
            .await;
        server.tell_to_end();
        let refused = || async {
            match server.client().get("/healthz").await {
                Err(_) => Ok(()),
                Ok(_) => Err("still listening"),
            }
        };
        eventually(SOON, refused).await;
        server.store.release();
    };
    let (answer, ()) = tokio::join!(waiting, ending);
    let answer = answer.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (201, Some("close")));
    let report = server.ended().await;
    assert_eq!((report.aborted, report.unfinished), (0, 0));
}

#[tokio::test]
async fn readiness_says_no_during_the_drain_delay_while_alerts_are_still_taken() {
    let mut server = Server::with(|settings| settings.timeouts.drain_delay = Duration::from_secs(1)).await;
    server.tell_to_end();
    let not_ready = eventually(SOON, async || {
        let answer = server.client().get("/readyz").await.unwrap();
        if answer.status == 503 { Ok(answer) } else { Err("still ready") }
    });
    assert_eq!(not_ready.await.json()["checks"]["server"], "draining");
    assert_eq!(server.client().fire(&[one()]).await.unwrap().status, 201);
    server.ended().await;
}

#[tokio::test]
async fn the_decision_of_a_sender_that_has_left_is_waited_for() {
    let mut server = Server::start().await;
    server.store.hold();
    let mut raw = server.raw().await;
    let body = seawall_testkit::webhook(&[one()]);
    let head =
        seawall_testkit::request_head("/webhook/prometheus", &format!("content-length: {}\r\n", body.len()));
    raw.send(head).await;
    raw.send(body).await;
    eventually(SOON, async || if server.store.batches() == 1 { Ok(()) } else { Err("not received") }).await;
    drop(raw);
    let store = server.store.clone();
    server.tell_to_end();
    let (report, ()) = tokio::join!(server.ended(), async {
        // Whether the drain waits is seen by its end: it comes only after this.
        tokio::task::yield_now().await;
        store.release();
    });
    assert_eq!((report.unfinished, store.signals()), (0, 1));
}

#[tokio::test]
async fn what_does_not_end_within_the_drain_time_is_cut_off_and_reported() {
    let mut server = Server::with(|settings| settings.timeouts.drain = Duration::from_millis(400)).await;
    server.store.hold();
    let client = server.client();
    let alerts = [one()];
    let waiting = client.fire(&alerts);
    let ending = async {
        eventually(SOON, async || if server.store.batches() == 1 { Ok(()) } else { Err("not received") })
            .await;
        server.tell_to_end();
    };
    let (answer, ()) = tokio::join!(waiting, ending);
    answer.unwrap_err();
    let report = server.ended().await;
    assert_eq!((report.open, report.aborted, report.unfinished), (1, 1, 1));
}

#[tokio::test]
async fn streams_end_and_do_not_hold_up_the_end() {
    let mut server = Server::start().await;
    let mut watch = server.watch("", None).await;
    server.tell_to_end();
    assert_eq!(watch.next(SOON).await, None);
    assert!(server.ended().await.took < Duration::from_secs(5));
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let server = Server::start().await;
    let client = server.client();
    assert_eq!(client.fire(&[one()]).await.unwrap().status, 201);
    let report = server.end().await;
    assert_eq!((report.open, report.aborted), (1, 0));
    assert!(report.took < Duration::from_secs(2));
}
