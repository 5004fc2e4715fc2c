//! Bursts that reach several replicas at once are decided as if there were one.

use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Client};

use super::{clients, fire_everywhere, listed_everywhere, replicas};
use crate::support::{alert_count, count_status, occurrences, scene, scene_alone};

const REPETITIONS: usize = 50;

/// A hold that no delay inside one burst outlasts.
const PATIENT: &str =
    "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 10, hold: 50s}]}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_alerts_over_two_replicas_become_one_request_fifty_times_in_a_row() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let replicas = replicas(&scene, 2, |it| it.config(PATIENT).redis(&redis)).await;
    let clients = clients(&replicas);

    for repetition in 0..REPETITIONS {
        let namespace = format!("prod-{repetition}");
        let alerts = Alert::pods("PodCrashLooping", &namespace, 15);
        let answers = fire_everywhere(&clients, &alerts).await;
        let counts = (count_status(&answers, 201), count_status(&answers, 202));
        assert_eq!(counts, (1, 14), "repetition {repetition}");
        for client in &clients {
            is_one_storm(client, &namespace, 15, 15).await;
        }
    }
    assert_eq!(listed_everywhere(&clients, "").await.len(), REPETITIONS, "and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_that_a_pair_of_senders_delivers_to_two_replicas_is_one_request_that_counts_both() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let replicas = replicas(&scene, 2, |it| it.config(PATIENT).redis(&redis)).await;
    let clients = clients(&replicas);

    for repetition in 0..10 {
        let namespace = format!("prod-{repetition}");
        let alerts = Alert::pods("PodCrashLooping", &namespace, 15);
        // One of the pair begins at the other replica.
        let (one, other) =
            ([clients[0].clone(), clients[1].clone()], [clients[1].clone(), clients[0].clone()]);
        let (one, other) = tokio::join!(fire_everywhere(&one, &alerts), fire_everywhere(&other, &alerts));
        assert_eq!(count_status(&[one, other].concat(), 201), 1, "repetition {repetition}");
        for client in &clients {
            is_one_storm(client, &namespace, 15, 30).await;
        }
    }
    assert_eq!(listed_everywhere(&clients, "").await.len(), 10, "and nothing else");
}

async fn is_one_storm(client: &Client, namespace: &str, alerts: u64, counted: u64) {
    let requests = client.requests(&format!("namespace={namespace}")).await;
    assert_eq!(requests.len(), 1, "{namespace}");
    assert_eq!((alert_count(&requests[0]), occurrences(&requests[0])), (alerts, counted), "{namespace}");
    let storm = requests[0].spec.storm_aggregation.as_ref().expect("a storm");
    assert_eq!(storm.affected_resources.len() as u64, alerts, "{namespace}");
    assert!(!storm.truncated && storm.supersedes.is_empty(), "{namespace}: {storm:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_identical_alerts_over_two_replicas_are_one_request_that_counts_a_hundred() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let replicas = replicas(&scene, 2, |it| it.redis(&redis)).await;
    let clients = clients(&replicas);

    let alerts = vec![Alert::new("PodCrashLooping", "prod", "web-1"); 100];
    let answers = fire_everywhere(&clients, &alerts).await;
    assert_eq!((count_status(&answers, 201), count_status(&answers, 202)), (1, 99));
    let mut counts: Vec<_> =
        answers.iter().filter_map(|answer| answer.json()["metadata"]["count"].as_u64()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=100).collect::<Vec<_>>(), "every answer tells its own count");

    let requests = listed_everywhere(&clients, "").await;
    assert_eq!(requests.iter().map(occurrences).collect::<Vec<_>>(), [100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_and_a_thousand_problems_over_two_replicas_are_as_many_requests() {
    let scene = scene_alone().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let replicas = replicas(&scene, 2, |it| it.redis(&redis)).await;
    let clients = clients(&replicas);

    let mut expected = 0;
    for count in [100, 1_000] {
        // Different in name and namespace, so that no storm rule has a say.
        let alerts: Vec<_> = (0..count)
            .map(|at| Alert::new(&format!("Problem{at}"), &format!("tenant-{count}-{at}"), "web-0"))
            .collect();
        let answers = fire_everywhere(&clients, &alerts).await;
        assert_eq!(count_status(&answers, 201), count);
        expected += count;
        let requests = listed_everywhere(&clients, "").await;
        assert_eq!(requests.len(), expected);
        assert_eq!(requests.iter().map(occurrences).sum::<u64>(), expected as u64);
    }
}
