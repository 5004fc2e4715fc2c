//! How often a sender may send, over several replicas.

use seawall_testkit::Alert;
use seawall_testkit::redis::RedisServer;

use super::{clients, replicas};
use crate::support::{fire, scene};

/// Also for loopback, where a test comes from.
const CONFIG: &str = "rateLimit: {requests: 10, window: 1h, exempt: [], shared: true}\n";

#[tokio::test]
async fn replicas_that_share_their_limits_take_as_many_as_one_would() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let replicas = replicas(&scene, 2, |it| it.config(CONFIG).redis(&redis)).await;
    let clients = clients(&replicas);
    let alert = Alert::new("PodCrashLooping", "prod", "web-1");
    let mut taken = 0;
    for nth in 0..30 {
        let answer = fire(&clients[nth % 2], &alert).await;
        match answer.status.as_u16() {
            201 | 202 => taken += 1,
            429 => assert!(answer.retry_after().is_some_and(|wait| (1..=360).contains(&wait))),
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert_eq!(taken, 10);
    let requests = clients[0].requests("namespace=prod").await;
    assert_eq!(requests[0].spec.deduplication.occurrence_count, 10);
}
