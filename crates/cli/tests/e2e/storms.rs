//! Many alerts about one thing become one request.

use seawall_testkit::Alert;

use crate::support::{
    after_the_hold, alert_count, count_status, fire, fire_at_once, name_of, occurrences, requests_in, scene,
    the_storm,
};

const REPETITIONS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_concurrent_alerts_become_one_request_a_hundred_times_in_a_row() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    for repetition in 0..REPETITIONS {
        let namespace = format!("prod-{repetition}");
        let answers = fire_at_once(&client, &Alert::pods("PodCrashLooping", &namespace, 15)).await;
        assert_eq!(
            (count_status(&answers, 201), count_status(&answers, 202)),
            (1, 14),
            "repetition {repetition}"
        );

        let requests = client.requests(&format!("namespace={namespace}")).await;
        assert_eq!(requests.len(), 1, "repetition {repetition}");
        let storm = requests[0].spec.storm_aggregation.as_ref().expect("a storm");
        assert_eq!((storm.alert_count, storm.occurrence_count), (15, 15), "repetition {repetition}");
        assert_eq!(storm.affected_resources.len(), 15, "repetition {repetition}");
        assert!(!storm.truncated && storm.supersedes.is_empty(), "repetition {repetition}: {storm:?}");
    }

    after_the_hold(&client).await;
    let storms = client.requests("").await.iter().filter(|request| request.spec.is_storm).count();
    let others = client.requests("").await.len() - storms;
    assert_eq!(
        (storms, others),
        (REPETITIONS, 2),
        "the two others are what shows that nothing is held any more"
    );
}

#[tokio::test]
async fn fifteen_alerts_one_after_another_become_one_request_and_supersede_nothing() {
    let scene = scene().await;
    // A hold that no delay between two of them outlasts.
    let config = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 10, hold: 50s}]}";
    let seawall = scene.seawall("seawall").config(config).start().await;
    let client = seawall.client();

    let mut statuses = Vec::new();
    for alert in Alert::pods("PodCrashLooping", "prod", 15) {
        let answer = fire(&client, &alert).await.json();
        statuses.push(answer["status"].as_str().expect("a status").to_owned());
    }
    let expected: Vec<_> = (0..15)
        .map(|alert| {
            if alert == 0 {
                "created"
            } else if alert < 9 {
                "accepted"
            } else {
                "aggregated"
            }
        })
        .collect();
    assert_eq!(statuses, expected, "the tenth is already a member");

    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1);
    assert_eq!((alert_count(&requests[0]), occurrences(&requests[0])), (15, 15));
    assert!(requests[0].spec.storm_aggregation.as_ref().expect("a storm").supersedes.is_empty());
}

#[tokio::test]
async fn fifteen_alerts_in_one_body_become_one_request_and_every_one_is_answered_in_order() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let answer = client.fire(&Alert::pods("PodCrashLooping", "prod", 15)).await.expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = answer.json();
    let results = answer["results"].as_array().expect("results");
    let indexes: Vec<_> = results.iter().filter_map(|result| result["index"].as_u64()).collect();
    assert_eq!(indexes, (0..15).collect::<Vec<_>>());
    assert_eq!(results[0]["status"], "created");
    assert_eq!(results[14]["status"], "aggregated");
    assert_eq!(answer["summary"]["total"], 15);
    assert_eq!(answer["summary"]["created"], 1);

    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1);
    assert_eq!((alert_count(&requests[0]), occurrences(&requests[0])), (15, 15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_delivered_twice_by_a_pair_of_senders_is_one_request_that_counts_both() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let alerts = Alert::pods("PodCrashLooping", "prod", 15);
    tokio::join!(fire_at_once(&client, &alerts), fire_at_once(&client, &alerts));

    after_the_hold(&client).await;
    let requests = client.requests("namespace=prod").await;
    assert_eq!(requests.len(), 1);
    assert_eq!((alert_count(&requests[0]), occurrences(&requests[0])), (15, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_alerts_are_nine_requests_after_the_hold() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let answers = fire_at_once(&client, &Alert::pods("PodCrashLooping", "prod", 9)).await;
    assert_eq!((count_status(&answers, 201), count_status(&answers, 202)), (1, 8));
    let requests = requests_in(&client, "prod", 9).await;
    assert!(requests.iter().all(|request| !request.spec.is_storm && occurrences(request) == 1));
}

#[tokio::test]
async fn the_first_alert_of_a_group_is_not_held_however_long_the_hold() {
    let scene = scene().await;
    let config = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 10, hold: 30m, window: 1h}]}";
    let seawall = scene.seawall("seawall").config(config).start().await;
    let client = seawall.client();

    let first = fire(&client, &Alert::new("PodCrashLooping", "prod", "web-0")).await;
    assert_eq!(first.status, 201);
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1);
    assert_eq!(first.json()["remediationRequestName"], name_of(&requests[0]));

    let second = fire(&client, &Alert::new("PodCrashLooping", "prod", "web-1")).await;
    assert_eq!((second.status.as_u16(), second.json()["status"].as_str()), (202, Some("accepted")));
    assert!(second.json()["remediationRequestName"].is_null(), "the name of a held request is not decided");
    assert_eq!(client.requests("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_alerts_in_the_namespace_of_a_storm_keep_requests_of_their_own() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let mut alerts = Alert::pods("PodCrashLooping", "prod", 15);
    for (at, name) in [(3, "DiskFull"), (8, "CertificateExpires"), (13, "QuotaExceeded")] {
        alerts.insert(at, Alert::new(name, "prod", format!("db-{at}")));
    }
    fire_at_once(&client, &alerts).await;

    requests_in(&client, "prod", 4).await;
    after_the_hold(&client).await;
    let requests = client.requests("namespace=prod").await;
    assert_eq!(requests.len(), 4);
    let storm = the_storm(&requests);
    assert_eq!((alert_count(storm), storm.spec.signal_name.as_str()), (15, "PodCrashLooping"));
    let mut others: Vec<_> = requests
        .iter()
        .filter(|request| !request.spec.is_storm)
        .map(|request| request.spec.signal_name.as_str())
        .collect();
    others.sort_unstable();
    assert_eq!(others, ["CertificateExpires", "DiskFull", "QuotaExceeded"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_alert_in_two_namespaces_is_two_storms() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let alerts =
        [Alert::pods("PodCrashLooping", "prod", 15), Alert::pods("PodCrashLooping", "shop", 15)].concat();
    fire_at_once(&client, &alerts).await;

    after_the_hold(&client).await;
    for namespace in ["prod", "shop"] {
        let requests = client.requests(&format!("namespace={namespace}")).await;
        assert_eq!(requests.len(), 1, "{namespace}");
        assert_eq!(alert_count(&requests[0]), 15, "{namespace}");
        let pattern = &requests[0].spec.storm_aggregation.as_ref().expect("a storm").pattern;
        assert_eq!(pattern, &format!("PodCrashLooping in {namespace}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_different_alerts_in_one_namespace_are_no_storm() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let alerts: Vec<_> = (0..10).map(|kind| Alert::new(&format!("Problem{kind}"), "prod", "web-0")).collect();
    fire_at_once(&client, &alerts).await;
    let requests = requests_in(&client, "prod", 10).await;
    assert!(requests.iter().all(|request| !request.spec.is_storm));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_different_alerts_in_one_namespace_are_one_flood() {
    let scene = scene().await;
    // The burst is one however slowly this machine sends it.
    let config = "storm: {rules: [{name: flood, groupBy: [namespace], threshold: 50, hold: 50s}]}";
    let seawall = scene.seawall("seawall").config(config).start().await;
    let client = seawall.client();

    let alerts: Vec<_> = (0..60).map(|kind| Alert::new(&format!("Problem{kind}"), "prod", "web-0")).collect();
    fire_at_once(&client, &alerts).await;
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 1);
    let storm = requests[0].spec.storm_aggregation.as_ref().expect("a storm");
    assert_eq!(
        (storm.alert_count, storm.rule.as_str(), storm.pattern.as_str()),
        (60, "flood", "flood in prod")
    );
    assert_eq!(requests[0].spec.storm_type.as_deref(), Some("flood"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_fires_again_is_counted_and_listed_once() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let alerts = Alert::pods("PodCrashLooping", "prod", 15);
    fire_at_once(&client, &alerts).await;
    let again = fire(&client, &alerts[4]).await;
    assert_eq!((again.status.as_u16(), again.json()["status"].as_str()), (202, Some("duplicate")));
    assert_eq!(again.json()["isStorm"], true);

    let requests = client.requests("namespace=prod").await;
    assert_eq!(requests.len(), 1);
    assert_eq!((alert_count(&requests[0]), occurrences(&requests[0])), (15, 16));
    let storm = requests[0].spec.storm_aggregation.as_ref().expect("a storm");
    let listed: Vec<_> =
        storm.affected_resources.iter().filter(|resource| resource.name == "web-4").collect();
    assert_eq!(listed.iter().map(|resource| resource.count).collect::<Vec<_>>(), [2]);
    assert_eq!(again.json()["remediationRequestName"], name_of(&requests[0]));
}

#[tokio::test]
async fn requests_that_existed_before_a_slow_storm_tripped_are_superseded_and_linked() {
    let scene = scene().await;
    let config = "storm: {rules: [{name: rate, groupBy: [namespace, alertname], threshold: 4, hold: 0s}]}";
    let seawall = scene.seawall("seawall").config(config).start().await;
    let client = seawall.client();

    let alerts = Alert::pods("PodCrashLooping", "prod", 6);
    for alert in alerts.iter().chain(&alerts[1..2]) {
        fire(&client, alert).await;
    }
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 3, "the leader's and two that came before the fourth alert");
    let storm = the_storm(&requests);
    let superseded: Vec<_> = requests.iter().filter(|request| !request.spec.is_storm).collect();
    assert!(superseded.iter().all(|request| request.spec.superseded_by.as_deref() == Some(name_of(storm))));
    let mut links: Vec<_> = superseded.iter().map(|request| name_of(request).to_owned()).collect();
    links.sort_unstable();
    let mut supersedes = storm.spec.storm_aggregation.as_ref().expect("a storm").supersedes.clone();
    supersedes.sort_unstable();
    assert_eq!(supersedes, links);
    assert_eq!(alert_count(storm), 6);
    assert_eq!(requests.iter().map(occurrences).sum::<u64>(), 7, "nothing is counted twice");
    assert!(
        superseded.iter().all(|request| occurrences(request) == 1),
        "a superseded request does not change"
    );
}
