//! A storm costs one request and few updates, however large it is.

use std::time::Duration;

use seawall_testkit::{Alert, Client, Deadline, Watch, eventually};
use tokio::task::JoinSet;

use crate::support::{SOON, alert_count, name_of, occurrences, scene_alone};

const ALERTS: usize = 10_000;
const SENDERS: usize = 32;
const FLUSH: Duration = Duration::from_millis(500);
const CONFIG: &str =
    "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 10, flush: 500ms, hold: 10s}]}";
/// What a Kubernetes object may weigh here.
const MOST_BYTES: usize = 256 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_alerts_in_bodies_of_a_hundred_are_one_small_request() {
    one_small_request(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_alerts_one_by_one_are_one_small_request() {
    one_small_request(1).await;
}

async fn one_small_request(per_body: usize) {
    let scene = scene_alone().await;
    let seawall = scene.seawall("seawall").config(CONFIG).start().await;
    let client = seawall.client();
    let mut watch = client.watch().await;

    let mut sending = JoinSet::new();
    let alerts = Alert::pods("PodCrashLooping", "prod", ALERTS);
    for share in alerts.chunks(ALERTS / SENDERS + 1) {
        let (client, share) = (client.clone(), share.to_vec());
        sending.spawn(async move {
            for body in share.chunks(per_body) {
                let answer = client.fire(body).await.expect("an answer");
                assert!(answer.status.is_success(), "{}", answer.text());
            }
        });
    }
    let updates = count_updates(&mut watch, &mut sending, &client).await;

    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1);
    assert_eq!((alert_count(&requests[0]), occurrences(&requests[0])), (ALERTS as u64, ALERTS as u64));
    let storm = requests[0].spec.storm_aggregation.as_ref().expect("a storm");
    assert!(
        storm.truncated && storm.affected_resources.len() == 250,
        "{} listed",
        storm.affected_resources.len()
    );
    let namespace = requests[0].metadata.namespace.as_deref().expect("a namespace");
    let object = client
        .get(&format!("/api/v1/requests/{namespace}/{}", name_of(&requests[0])))
        .await
        .expect("an answer");
    assert!(object.body.len() < MOST_BYTES, "the object has {} bytes", object.body.len());

    let storms = client.storms().await;
    assert_eq!(storms.len(), 1);
    let members = client.members(storms[0]["id"].as_str().expect("an id")).await;
    assert_eq!(members.len(), ALERTS, "membership is complete although the list in the request is not");
    assert!(updates > 0, "the watcher saw the storm grow");
}

/// Reads the watch until it has shown the whole storm; the updates must not have come faster than the flush interval
/// allows.
async fn count_updates(watch: &mut Watch, sending: &mut JoinSet<()>, client: &Client) -> u32 {
    let first = watch.next(SOON).await.expect("the request is made");
    assert_eq!(first.kind, "ADDED");
    let clock = Deadline::after(SOON * 4);
    let mut updates = 0;
    loop {
        let event = watch.next(SOON).await.expect("the storm grows until everything is in");
        assert_eq!(event.kind, "MODIFIED");
        updates += 1;
        // One more than whole intervals fit: the first may come right at the start.
        let most = clock.elapsed().as_millis() / FLUSH.as_millis() + 2;
        assert!(u128::from(updates) <= most, "{updates} updates in {:?}", clock.elapsed());
        if event.request().spec.storm_alert_count == Some(ALERTS as u64) {
            break;
        }
    }
    while let Some(sent) = sending.join_next().await {
        sent.expect("every sender succeeds");
    }
    eventually(SOON, || async {
        let counted = alert_count(&client.requests("").await[0]);
        if counted == ALERTS as u64 { Ok(()) } else { Err(counted) }
    })
    .await;
    updates
}
