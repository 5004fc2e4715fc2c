//! How often a sender may send.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use seawall_ingest::RateSettings;
use seawall_store::{Failure, SharedLimit, SharedLimits, StoreError, StoreFuture};
use seawall_testkit::{Alert, Answer, Client, Samples, webhook};

use crate::fake_api::FakeApi;
use crate::server::Server;

const SEND: &str = "/webhook/prometheus";

/// Twenty an hour, also for loopback, where a test comes from; a proxy in front may be there, too.
fn twenty(rate: &mut RateSettings) {
    let number = NonZeroU32::new(20).unwrap();
    *rate = RateSettings {
        requests: number,
        burst: number,
        window: Duration::from_secs(3600),
        exempt: vec!["198.51.100.0/24".parse().unwrap()],
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        authenticated: None,
    };
}

async fn send(client: &Client, headers: &[(&str, &str)]) -> Answer {
    let body = webhook(&[Alert::new("PodCrashLooping", "prod", "web-1")]);
    client
        .send(Method::POST, SEND, &[&[("content-type", "application/json")], headers].concat(), body)
        .await
        .unwrap()
}

/// How many of so many were refused with this status.
async fn refused(client: &Client, count: usize, headers: &[(&str, &str)], status: u16) -> usize {
    let mut refused = 0;
    for _ in 0..count {
        let answer = send(client, headers).await;
        if answer.status == status {
            assert!(answer.retry_after().is_some_and(|wait| wait > 60), "{:?}", answer.retry_after());
            assert_eq!(answer.json()["type"], "urn:seawall:problem:rate-limited");
            refused += 1;
        }
    }
    refused
}

#[tokio::test]
async fn of_thirty_requests_ten_are_429_and_nothing_of_them_is_decided() {
    let server = Server::with(|settings| twenty(&mut settings.rate)).await;
    let client = server.client();
    assert_eq!(refused(&client, 30, &[], 429).await, 10);
    assert_eq!(server.store.signals(), 20);
    assert_eq!(send(&client, &[]).await.json()["limit"], 20);
    // Whoever looks how things are is never refused.
    let metrics = client.get("/metrics").await.unwrap();
    assert_eq!(client.get("/api/v1/requests").await.unwrap().status, 200);
    let samples = Samples::parse(&metrics.text());
    assert_eq!(samples.sum("seawall_rate_limited_total", &["scope=\"client\""]), 11.0);
    assert_eq!(samples.sum("seawall_signals_rejected_total", &["reason=\"rate_limited\""]), 11.0);
}

#[tokio::test]
async fn senders_that_give_up_on_a_4xx_are_told_503() {
    let server = Server::with(|settings| twenty(&mut settings.rate)).await;
    assert_eq!(refused(&server.client(), 30, &[("user-agent", "Alertmanager/0.34")], 503).await, 10);
}

#[tokio::test]
async fn addresses_are_counted_apart_and_only_trusted_proxies_are_believed() {
    let server = Server::with(|settings| twenty(&mut settings.rate)).await;
    let client = server.client();
    assert_eq!(refused(&client, 25, &[("x-forwarded-for", "192.0.2.1")], 429).await, 5);
    assert_eq!(refused(&client, 25, &[("x-forwarded-for", "1.2.3.4, 192.0.2.1")], 429).await, 25);
    assert_eq!(refused(&client, 25, &[("x-forwarded-for", "192.0.2.2")], 429).await, 5);
    assert_eq!(refused(&client, 25, &[("x-forwarded-for", "2001:db8::1")], 429).await, 5);
    assert_eq!(refused(&client, 25, &[("x-forwarded-for", "2001:db8::2")], 429).await, 25, "the same /64");
    assert_eq!(refused(&client, 40, &[("x-forwarded-for", "198.51.100.9")], 429).await, 0, "exempt");

    let server = Server::with(|settings| {
        twenty(&mut settings.rate);
        settings.rate.trusted_proxies.clear();
    })
    .await;
    for number in 0..25 {
        let forged = format!("192.0.2.{number}");
        let answer = send(&server.client(), &[("x-forwarded-for", &forged)]).await;
        assert_eq!(answer.status == 429, number >= 20, "{number}");
    }
}

#[tokio::test]
async fn loopback_is_exempt_unless_told_otherwise() {
    let server = Server::with(|settings| settings.rate.requests = NonZeroU32::MIN).await;
    assert_eq!(refused(&server.client(), 150, &[], 429).await, 0);
}

#[tokio::test]
async fn an_identity_is_counted_by_itself_and_only_when_told_to() {
    let api = FakeApi::with_alice(&["create remediationrequests in prod"]);
    let server = Server::reviewed_with(&api, |_| {}, |settings| twenty(&mut settings.rate)).await;
    let alice = server.client().bearer("alices");
    assert_eq!(refused(&alice, 30, &[], 429).await, 0);
    let server = Server::reviewed_with(
        &api,
        |_| {},
        |settings| {
            twenty(&mut settings.rate);
            settings.rate.authenticated = NonZeroU32::new(5);
        },
    )
    .await;
    let alice = server.client().bearer("alices");
    assert_eq!(refused(&alice, 10, &[("x-forwarded-for", "192.0.2.1")], 429).await, 5);
    assert_eq!(refused(&alice, 10, &[("x-forwarded-for", "192.0.2.2")], 429).await, 10, "wherever it is");
}

/// What another replica has taken, or a store that is away.
struct Elsewhere {
    left: AtomicUsize,
    away: bool,
}

impl SharedLimits for Elsewhere {
    fn take(&self, _: &str, _: SharedLimit) -> StoreFuture<'_, Option<Duration>> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let wait = left.is_err().then_some(Duration::from_secs(180));
        let away = StoreError::Unavailable {
            class: Failure::Refused,
            reason: "away".to_owned(),
            retry_after: Duration::from_secs(1),
        };
        Box::pin(std::future::ready(if self.away { Err(away) } else { Ok(wait) }))
    }
}

#[tokio::test]
async fn what_other_replicas_have_taken_counts_and_a_store_that_is_away_leaves_each_to_itself() {
    for (away, expected) in [(false, 27), (true, 10)] {
        let server = Server::with(|settings| twenty(&mut settings.rate)).await;
        server.edge.share_limits(Arc::new(Elsewhere { left: AtomicUsize::new(3), away }));
        assert_eq!(refused(&server.client(), 30, &[], 429).await, expected);
    }
}
