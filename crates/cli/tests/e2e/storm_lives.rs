//! How storms begin at the edges, end, continue, and leave others alone.

use seawall_model::RemediationRequest;
use seawall_testkit::{Alert, Client, eventually};

use crate::support::{
    SOON, after_the_hold, alert_count, fire, fire_at_once, name_of, occurrences, scene, the_storm,
};

#[tokio::test]
async fn a_threshold_of_one_makes_a_storm_of_the_first_alert() {
    let scene = scene().await;
    let config = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 1}]}";
    let seawall = scene.seawall("seawall").config(config).start().await;
    let client = seawall.client();
    let alerts = Alert::pods("PodCrashLooping", "prod", 3);
    let first = fire(&client, &alerts[0]).await;
    assert_eq!(
        (first.status.as_u16(), first.json()["isStorm"].as_bool()),
        (201, Some(true)),
        "{}",
        first.text()
    );
    fire_at_once(&client, &alerts[1..]).await;
    let requests = client.requests("").await;
    assert_eq!((requests.len(), alert_count(&requests[0])), (1, 3));
}

#[tokio::test]
async fn a_storm_ends_when_it_is_quiet_and_a_later_alert_starts_afresh() {
    let scene = scene().await;
    let config = "dedup: {ttl: 1s}\n\
                  storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 3, window: 2s, quiet: 1s}]}";
    let seawall = scene.seawall("seawall").config(config).start().await;
    let client = seawall.client();
    fire_at_once(&client, &Alert::pods("PodCrashLooping", "prod", 5)).await;
    let storm = eventually(SOON, || async {
        let requests = client.requests("").await;
        let ended = the_storm(&requests).spec.storm_aggregation.as_ref().and_then(|storm| storm.ended_at);
        ended.map(|_| name_of(&requests[0]).to_owned()).ok_or("the storm has not ended")
    })
    .await;

    let later = fire(&client, &Alert::new("PodCrashLooping", "prod", "web-9")).await;
    assert_eq!(
        (later.status.as_u16(), later.json()["isStorm"].as_bool()),
        (201, Some(false)),
        "{}",
        later.text()
    );
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 2);
    assert_eq!(alert_count(the_storm(&requests)), 5);
    assert_ne!(later.json()["remediationRequestName"], storm.as_str());
}

#[tokio::test]
async fn a_storm_that_lasts_too_long_is_continued_by_a_successor_and_both_are_linked() {
    let scene = scene().await;
    let config = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 3, window: 2s, hold: 500ms, \
                  maxDuration: 2s, quiet: 1m}]}";
    let seawall = scene.seawall("seawall").config(config).start().await;
    let client = seawall.client();
    let alerts = Alert::pods("PodCrashLooping", "prod", 5);
    fire_at_once(&client, &alerts).await;
    // Every repeat counts on the storm until it is too old; the one that comes then opens the successor.
    let sent = std::sync::atomic::AtomicU64::new(5);
    eventually(SOON, || async {
        let answer = fire(&client, &alerts[0]).await;
        sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;

    let moved = fire(&client, &alerts[1]).await.json();
    assert_eq!(moved["status"], "aggregated", "an old member moves over with its next repeat");
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 2);
    let (old, new) = old_and_new(&requests);
    let (old_storm, new_storm) = (storm_of(old), storm_of(new));
    assert!(old_storm.ended_at.is_some() && new_storm.ended_at.is_none());
    assert_eq!(old_storm.successor_ref.as_deref(), Some(name_of(new)));
    assert_eq!(moved["remediationRequestName"], name_of(new));
    assert_eq!((old_storm.alert_count, new_storm.alert_count), (5, 2));
    let counted: u64 = requests.iter().map(occurrences).sum();
    assert_eq!(counted, sent.into_inner() + 1);
}

fn storm_of(request: &RemediationRequest) -> &seawall_model::StormAggregation {
    request.spec.storm_aggregation.as_ref().expect("a storm")
}

fn old_and_new(requests: &[RemediationRequest]) -> (&RemediationRequest, &RemediationRequest) {
    match requests {
        [one, two] if storm_of(one).ended_at.is_some() => (one, two),
        [one, two] => (two, one),
        _ => panic!("{} requests", requests.len()),
    }
}

#[tokio::test]
async fn a_storm_is_resolved_with_its_last_member_and_flapping_creates_nothing() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let alerts = Alert::pods("PodCrashLooping", "prod", 12);
    client.fire(&alerts).await.expect("an answer");
    let over: Vec<_> = alerts.iter().cloned().map(Alert::resolved).collect();

    client.fire(&over[1..]).await.expect("an answer");
    assert_eq!(resolved_at(&client).await, None, "one still fires");
    let last = fire(&client, &over[0]).await;
    assert_eq!((last.status.as_u16(), last.json()["status"].as_str()), (202, Some("resolved")));
    assert!(resolved_at(&client).await.is_some());

    for flap in 0..5 {
        assert_eq!(fire(&client, &alerts[flap]).await.json()["status"], "duplicate");
        assert_eq!(resolved_at(&client).await, None, "one fires again");
        fire(&client, &over[flap]).await;
        assert!(resolved_at(&client).await.is_some());
    }
    let unknown = fire(&client, &Alert::new("NeverSeen", "prod", "web-0").resolved()).await;
    assert_eq!((unknown.status.as_u16(), unknown.json()["status"].as_str()), (202, Some("resolved")));
    after_the_hold(&client).await;
    let requests = client.requests("namespace=prod").await;
    assert_eq!((requests.len(), alert_count(&requests[0]), occurrences(&requests[0])), (1, 12, 17));
}

async fn resolved_at(client: &Client) -> Option<seawall_model::Timestamp> {
    the_storm(&client.requests("namespace=prod").await).spec.resolved_at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_nodes_down_are_one_storm_of_the_cluster() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    // The namespace and the pod are those of the exporter that speaks about the nodes.
    let node = |number: usize| {
        let mut alert = Alert::new("KubeNodeNotReady", "monitoring", "kube-state-metrics-0");
        alert.labels.insert("node".to_owned(), format!("node-{number}"));
        alert.labels.insert("job".to_owned(), "kube-state-metrics".to_owned());
        alert
    };
    fire_at_once(&client, &(0..15).map(node).collect::<Vec<_>>()).await;
    after_the_hold(&client).await;
    let requests = client.requests("namespace=default").await;
    assert_eq!((requests.len(), alert_count(&requests[0])), (1, 15));
    assert_eq!(requests[0].spec.target_resource.kind, "Node");
    assert_eq!(requests[0].spec.target_resource.namespace, None);
    assert_eq!(storm_of(&requests[0]).pattern, "KubeNodeNotReady on cluster-scoped resources");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_namespace_in_two_clusters_is_two_storms() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let pods = |cluster: &str| {
        let alerts = Alert::pods("PodCrashLooping", "prod", 12).into_iter();
        alerts.map(|alert| alert.label("cluster", cluster)).collect::<Vec<_>>()
    };
    fire_at_once(&client, &[pods("eu"), pods("us")].concat()).await;
    after_the_hold(&client).await;
    let requests = client.requests("namespace=prod").await;
    let mut storms: Vec<_> =
        requests.iter().map(|request| (request.spec.cluster_id.as_deref(), alert_count(request))).collect();
    storms.sort_unstable();
    assert_eq!(storms, [(Some("eu"), 12), (Some("us"), 12)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_crashing_pods_do_not_sweep_in_a_stranger() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let mut alerts = Alert::pods("PodCrashLooping", "prod", 60);
    alerts.insert(40, Alert::new("DiskFull", "prod", "db-0"));
    client.fire(&alerts).await.expect("an answer");
    after_the_hold(&client).await;
    let requests = client.requests("namespace=prod").await;
    assert_eq!(requests.len(), 2);
    assert_eq!(alert_count(the_storm(&requests)), 60);
    assert_eq!(storm_of(the_storm(&requests)).rule, "namespace-rate");
}
