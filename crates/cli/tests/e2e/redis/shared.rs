//! What one replica is told, all of them know.

use std::time::Duration;

use seawall_model::RemediationRequest;
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Client, Deadline, Event, Watch, eventually};

use super::{clients, listed_everywhere, replicas};
use crate::repeats::until_released;
use crate::support::{SOON, fire, name_of, occurrences, requests_in, scene};

const LEASE: Duration = Duration::from_secs(2);
/// After the lease; the rest is for a loaded machine.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_hears_of_what_happens_at_another_replica() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let config = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 4, hold: 500ms, flush: 100ms}]}";
    let replicas = replicas(&scene, 2, |it| it.config(config).redis(&redis)).await;
    let clients = clients(&replicas);
    let mut watch = clients[1].watch().await;

    // A request that is made, one that is held first, a storm that takes both, and a worker.
    let alerts = Alert::pods("PodCrashLooping", "prod", 5);
    let first = fire(&clients[0], &alerts[0]).await.json();
    let name = first["remediationRequestName"].as_str().expect("a name");
    hears(&mut watch, "ADDED", |request| name_of(request) == name).await;
    fire(&clients[0], &alerts[1]).await;
    hears(&mut watch, "ADDED", |request| request.spec.target_resource.name == "web-1").await;
    for alert in &alerts[2..] {
        fire(&clients[0], alert).await;
    }
    hears(&mut watch, "MODIFIED", |request| request.spec.storm_alert_count == Some(5)).await;
    hears_phase(&mut watch, &clients[0], name, "Executing").await;
    // A watch that begins later, at the replica where it happened, sees the same.
    let mut watch = clients[0].watch().await;
    hears(&mut watch, "ADDED", |request| name_of(request) == name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_misses_nothing_when_its_replica_was_away_or_when_it_goes_on_at_another_one() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let replicas = replicas(&scene, 2, |it| it.redis(&redis)).await;
    let clients = clients(&replicas);
    let mut watch = clients[1].watch().await;
    fire(&clients[0], &Alert::new("DiskFull", "before", "db-0")).await;
    hears(&mut watch, "ADDED", |request| is_in(request, "before")).await;

    // Nobody tells a replica that has lost its connection while it stands still.
    replicas[1].process().signal("STOP");
    redis.ask::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    fire(&clients[0], &Alert::new("DiskFull", "meanwhile", "db-0")).await;
    replicas[1].process().signal("CONT");
    let last = hears_of(&mut watch, |_, request| is_in(request, "meanwhile")).await.id;
    drop(watch);

    fire(&clients[0], &Alert::new("DiskFull", "after", "db-0")).await;
    let mut watch = Watch::open(clients[0].address(), "/api/v1/requests?watch=true", Some(&last)).await;
    hears_of(&mut watch, |_, request| is_in(request, "after")).await;
}

fn is_in(request: &RemediationRequest, namespace: &str) -> bool {
    request.metadata.namespace.as_deref() == Some(namespace)
}

async fn hears_phase(watch: &mut Watch, client: &Client, name: &str, phase: &str) {
    assert_eq!(client.set_phase("prod", name, phase).await.status, 200);
    hears(watch, "MODIFIED", |request| {
        request.status.as_ref().and_then(|status| status.overall_phase.as_deref()) == Some(phase)
    })
    .await;
}

async fn hears(watch: &mut Watch, kind: &str, is_it: impl Fn(&RemediationRequest) -> bool) {
    hears_of(watch, |event, request| event.kind == kind && is_it(request)).await;
}

/// Waits for such an event. Others may come before.
async fn hears_of(watch: &mut Watch, is_it: impl Fn(&Event, &RemediationRequest) -> bool) -> Event {
    let clock = Deadline::after(SOON);
    let mut heard = Vec::new();
    while !clock.is_over() {
        let Some(event) = watch.next(SOON).await else { break };
        let request = event.request();
        if is_it(&event, &request) {
            return event;
        }
        heard.push((event.kind, name_of(&request).to_owned()));
    }
    panic!("it is not among what was heard: {heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_held_when_it_was_killed_is_published_by_another_one() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let mut replicas = replicas(&scene, 2, |it| it.redis(&redis).redis_option("publishLease", "2s")).await;
    let clients = clients(&replicas);
    let mut watch = clients[1].watch().await;

    let alerts = Alert::pods("PodCrashLooping", "prod", 2);
    fire(&clients[0], &alerts[0]).await;
    let held = fire(&clients[0], &alerts[1]).await;
    assert_eq!((held.status.as_u16(), held.json()["status"].as_str()), (202, Some("accepted")));
    replicas[0].kill9();
    let clock = Deadline::after(LEASE + TAKEN_OVER_WITHIN);

    let requests = requests_in(&clients[1], "prod", 2).await;
    assert!(!clock.is_over(), "it took {:?} after the kill", clock.elapsed());
    assert!(requests.iter().all(|request| occurrences(request) == 1));
    hears(&mut watch, "ADDED", |request| request.spec.target_resource.name == "web-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phase_that_a_worker_reports_to_one_replica_counts_for_the_decisions_of_another() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let config = "dedup: {ttl: 1h, cooldown: 2s}";
    let replicas = replicas(&scene, 2, |it| it.config(config).redis(&redis)).await;
    let clients = clients(&replicas);

    let alert = Alert::new("DiskFull", "prod", "db-0");
    let first = fire(&clients[0], &alert).await.json();
    let name = first["remediationRequestName"].as_str().expect("a name").to_owned();
    let patched = clients[0].set_phase("prod", &name, "Completed").await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    let within = fire(&clients[1], &alert).await.json();
    assert_eq!((within["status"].as_str(), &*name), (Some("duplicate"), named(&within)), "the cooldown runs");
    for client in &clients {
        let phase = client.requests("").await.remove(0).status.and_then(|status| status.overall_phase);
        assert_eq!(phase.as_deref(), Some("Completed"));
    }

    until_released(&clients[1], &alert).await;
    let second = fire(&clients[1], &alert).await;
    assert_eq!(second.status, 201, "{}", second.text());
    let second = second.json();
    assert_ne!(named(&second), name, "a finished request is never reused");
    // The other way round: what is worked on at one replica stays a duplicate at the other.
    assert_eq!(clients[1].set_phase("prod", named(&second), "Executing").await.status, 200);
    let again = fire(&clients[0], &alert).await.json();
    assert_eq!((again["status"].as_str(), named(&again)), (Some("duplicate"), named(&second)));

    let requests = listed_everywhere(&clients, "").await;
    let mut counts: Vec<_> = requests.iter().map(occurrences).collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2]);
}

fn named(answer: &serde_json::Value) -> &str {
    answer["remediationRequestName"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_replicas_that_start_at_once_agree_on_the_state() {
    let scene = scene().await;
    let redis = RedisServer::start(&scene, "redis").await;
    let seawall = |name: &str| scene.seawall(name).redis(&redis).start();
    let (one, two, three) = tokio::join!(seawall("one"), seawall("two"), seawall("three"));
    let replicas = [one, two, three];
    let clients = clients(&replicas);
    for (nth, client) in clients.iter().enumerate() {
        fire(client, &Alert::new("DiskFull", &format!("prod-{nth}"), "db-0")).await;
    }
    eventually(SOON, || async {
        for client in &clients {
            if client.requests("").await.len() != 3 {
                return Err("they do not list the same");
            }
        }
        Ok(())
    })
    .await;
    for replica in &replicas {
        assert!(!replica.process().output().contains("lost its data"), "{}", replica.process().output());
    }
}
