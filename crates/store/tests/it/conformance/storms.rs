//! When many problems become one request.

use seawall_model::{DecisionKind, Field, Policy, RequestId, StormRule};
use seawall_store::RequestRecord;

use crate::support::{Alert, SECOND, Scene, StoreUnderTest, counted, of_kind, pods, storm_of};

use DecisionKind::{Accepted, Aggregated, Created, Duplicate};

fn is_one_storm_of(requests: &[RequestRecord], members: u64, occurrences: u64) {
    assert_eq!(requests.len(), 1, "{requests:#?}");
    let storm = storm_of(&requests[0]);
    assert_eq!(storm.alert_count, members);
    assert_eq!(storm.affected.len() as u64, members);
    assert!(!storm.truncated);
    assert_eq!(requests[0].state.occurrences, occurrences);
}

pub async fn fifteen_alerts_at_once_are_one_request_a_hundred_times<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    for repetition in 0..100 {
        let namespace = format!("shop-{repetition}");
        let decisions = scene.fire_at_once(&pods(&namespace, "Crash", 15)).await;
        assert_eq!(of_kind(&decisions, Created), 1);
        assert_eq!(of_kind(&decisions, Accepted) + of_kind(&decisions, Aggregated), 14);
        is_one_storm_of(&scene.requests_in(&namespace).await, 15, 15);
        scene.pass(10);
    }
    scene.pass(5 * SECOND);
    scene.subject.settle().await;
    scene.wait_for_requests(100).await;
}

pub async fn fifteen_alerts_one_after_another_are_one_request<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    for alert in pods("shop", "Crash", 15) {
        scene.send(&alert).await;
        scene.pass(50);
    }
    is_one_storm_of(&scene.requests().await, 15, 15);
    assert!(storm_of(&scene.only_request().await).supersedes.is_empty());
    scene.pass(5 * SECOND);
    scene.subject.settle().await;
    is_one_storm_of(&scene.requests().await, 15, 15);
}

pub async fn fifteen_alerts_in_one_body_are_one_request<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let decisions = scene.fire_together(&pods("shop", "Crash", 15)).await;
    let kinds: Vec<DecisionKind> = decisions.iter().map(|decision| decision.kind).collect();
    assert_eq!(kinds[0], Created);
    assert!(kinds[1..9].iter().all(|kind| *kind == Accepted), "{kinds:?}");
    assert!(kinds[9..].iter().all(|kind| *kind == Aggregated), "{kinds:?}");
    is_one_storm_of(&scene.requests().await, 15, 15);
    let request = scene.only_request().await;
    assert!(decisions[9..].iter().all(|it| it.request.as_ref() == Some(&request.doc.reference)));
    assert_eq!(decisions[0].request.as_ref(), Some(&request.doc.reference), "the first request is promoted");
}

pub async fn fifteen_alerts_delivered_twice_at_once_are_one_request_with_thirty_occurrences<
    S: StoreUnderTest,
>() {
    let scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 15);
    let (one, other) = tokio::join!(scene.fire_together(&alerts), scene.fire_together(&alerts));
    let decisions = [one, other].concat();
    assert_eq!(of_kind(&decisions, Created), 1);
    assert_eq!(of_kind(&decisions, Duplicate), 15);
    is_one_storm_of(&scene.requests().await, 15, 30);
}

pub async fn nine_alerts_are_nine_requests_of_which_only_the_first_is_not_held<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let decisions = scene.fire_each(&pods("shop", "Crash", 9)).await;
    assert_eq!(decisions[0].kind, Created);
    assert!(decisions[1..].iter().all(|it| it.kind == Accepted && it.request.is_none()));
    assert_eq!(scene.only_request().await.doc.reference, *decisions[0].request.as_ref().unwrap());
    scene.pass(SECOND - 1);
    scene.subject.settle().await;
    scene.only_request().await;
    scene.pass(1);
    let requests = scene.wait_for_requests(9).await;
    assert!(requests.iter().all(|request| request.state.storm.is_none()));
    assert_eq!(counted(&requests), 9);
}

pub async fn the_tenth_alert_is_a_member<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let decisions = scene.fire_each(&pods("shop", "Crash", 10)).await;
    let tenth = &decisions[9];
    assert_eq!((tenth.kind, tenth.opened_storm), (Aggregated, true));
    assert_eq!(tenth.storm.as_ref().unwrap().alert_count, 10);
    assert_eq!(&*tenth.storm.as_ref().unwrap().pattern, "Crash in shop");
    assert!(decisions[..9].iter().all(|decision| !decision.opened_storm));
    is_one_storm_of(&scene.requests().await, 10, 10);
}

fn first_rule(policy: &mut Policy) -> &mut StormRule {
    &mut policy.rules[0]
}

pub async fn with_threshold_one_the_first_alert_is_a_storm<S: StoreUnderTest>() {
    let scene = Scene::<S>::with(|policy| first_rule(policy).threshold = 1).await;
    let decisions = scene.fire_each(&pods("shop", "Crash", 3)).await;
    assert_eq!((decisions[0].kind, decisions[0].opened_storm), (Created, true));
    assert_eq!(of_kind(&decisions, Aggregated), 2);
    is_one_storm_of(&scene.requests().await, 3, 3);
}

pub async fn a_burst_below_the_threshold_is_no_storm<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::with(|policy| first_rule(policy).threshold = 1000).await;
    scene.fire_together(&pods("shop", "Crash", 30)).await;
    scene.pass(SECOND);
    let requests = scene.wait_for_requests(30).await;
    assert!(requests.iter().all(|request| request.state.storm.is_none()));
}

pub async fn a_slow_storm_supersedes_the_requests_that_were_already_there<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut decisions = Vec::new();
    for alert in pods("shop", "Crash", 11) {
        decisions.push(scene.fire(&alert).await);
        scene.pass(5 * SECOND);
    }
    assert_eq!(of_kind(&decisions, Created), 9);
    let requests = scene.requests().await;
    assert_eq!((requests.len(), counted(&requests)), (9, 11), "nothing is counted twice");
    let first = decisions[0].request.clone().unwrap();
    let others: Vec<RequestId> = decisions[1..9].iter().map(|it| it.request.as_ref().unwrap().id).collect();
    let request = scene.request(&first).await;
    let storm = storm_of(&request);
    assert_eq!((storm.alert_count, request.state.occurrences), (11, 3));
    assert_eq!(storm.supersedes, others);
    assert_eq!(storm.affected.len(), 11);
    for superseded in decisions[1..9].iter().map(|it| it.request.as_ref().unwrap()) {
        let state = scene.request(superseded).await.state;
        assert_eq!((state.superseded_by, state.occurrences), (Some(first.id), 1));
    }
    // A superseded request does not change any more; its problem counts on the storm's.
    let repeat = scene.fire(&pods("shop", "Crash", 5)[4]).await;
    assert_eq!((repeat.kind, repeat.request), (Duplicate, Some(first.clone())));
    assert_eq!(scene.request(&first).await.state.occurrences, 4);
    assert_eq!(counted(&scene.requests().await), 12);
}

pub async fn nine_late_in_a_minute_and_nine_early_in_the_next_are_a_storm<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 18);
    scene.pass(58 * SECOND);
    scene.fire_each(&alerts[..9]).await;
    scene.pass(4 * SECOND);
    scene.wait_for_requests(9).await;
    let decisions = scene.fire_each(&alerts[9..]).await;
    assert_eq!((decisions[0].kind, decisions[0].opened_storm), (Aggregated, true));
    let requests = scene.requests().await;
    assert_eq!((requests.len(), counted(&requests)), (9, 18));
    let storms: Vec<_> = requests.iter().filter_map(|request| request.state.storm.as_ref()).collect();
    assert_eq!((storms.len(), storms[0].alert_count), (1, 18));
}

pub async fn what_has_slid_out_of_the_window_does_not_count<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 18);
    scene.fire_each(&alerts[..9]).await;
    scene.pass(60 * SECOND);
    scene.wait_for_requests(9).await;
    scene.fire_each(&alerts[9..]).await;
    scene.pass(SECOND);
    let requests = scene.wait_for_requests(18).await;
    assert!(requests.iter().all(|request| request.state.storm.is_none()));
}

pub async fn other_alerts_between_those_of_a_storm_keep_their_own_requests<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut alerts = pods("shop", "Crash", 15);
    for (at, name) in [(3, "Slow"), (8, "Full"), (12, "Down")] {
        alerts.insert(at, Alert::new("shop", name, "db-0"));
    }
    scene.fire_each(&alerts).await;
    scene.pass(SECOND);
    let requests = scene.wait_for_requests(4).await;
    let (storms, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(|it| it.state.storm.is_some());
    is_one_storm_of(&storms, 15, 15);
    let mut names: Vec<_> = others.iter().map(|request| request.doc.identity.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Down", "Full", "Slow"]);
}

pub async fn the_same_name_in_two_namespaces_is_two_storms<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    scene.fire_each(&pods("shop", "Crash", 12)).await;
    scene.fire_each(&pods("pay", "Crash", 13)).await;
    is_one_storm_of(&scene.requests_in("shop").await, 12, 12);
    is_one_storm_of(&scene.requests_in("pay").await, 13, 13);
}

pub async fn ten_names_in_one_namespace_are_no_storm<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts: Vec<Alert> = (0..10).map(|nth| Alert::new("shop", &format!("Alert{nth}"), "web-0")).collect();
    scene.fire_each(&alerts).await;
    scene.pass(SECOND);
    let requests = scene.wait_for_requests(10).await;
    assert!(requests.iter().all(|request| request.state.storm.is_none()));
}

pub async fn sixty_names_in_one_namespace_are_one_flood<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let alerts: Vec<Alert> =
        (0..60).map(|nth| Alert::new("shop", &format!("Alert{nth}"), &format!("web-{nth}"))).collect();
    scene.fire_each(&alerts).await;
    is_one_storm_of(&scene.requests().await, 60, 60);
    let request = scene.only_request().await;
    let storm = storm_of(&request);
    assert_eq!((&*storm.rule, storm.storm_type.as_str()), ("namespace-flood", "flood"));
    assert_eq!(&*storm.pattern, "namespace-flood in shop");
}

pub async fn the_same_resource_again_is_counted_and_listed_once<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 12);
    scene.fire_each(&alerts).await;
    scene.pass(SECOND);
    let repeats = scene.fire_each(&alerts[..5]).await;
    assert_eq!(of_kind(&repeats, Duplicate), 5);
    assert!(repeats.iter().all(|decision| decision.count == 2));
    is_one_storm_of(&scene.requests().await, 12, 17);
    let request = scene.only_request().await;
    let counts = storm_of(&request).affected.iter().map(|affected| affected.count);
    assert_eq!(counts.sum::<u64>(), 17);
}

pub async fn fifteen_nodes_are_one_storm_of_cluster_scoped_signals<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let nodes: Vec<Alert> = (0..15).map(|nth| Alert::new("", "NodeDown", &format!("node-{nth}"))).collect();
    scene.fire_at_once(&nodes).await;
    is_one_storm_of(&scene.requests().await, 15, 15);
    let request = scene.only_request().await;
    assert_eq!(&*storm_of(&request).pattern, "NodeDown on cluster-scoped resources");
    assert_eq!(request.doc.reference.namespace, "default", "the fallback namespace");
    assert_eq!(scene.requests_in("default").await.len(), 1);
}

pub async fn the_same_namespace_in_two_clusters_is_two_storms<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    for cluster in ["east", "west"] {
        let alerts = pods("shop", "Crash", 9).into_iter().map(|alert| alert.in_cluster(cluster));
        scene.fire_each(&alerts.collect::<Vec<_>>()).await;
    }
    scene.pass(SECOND);
    scene.wait_for_requests(18).await;
    for cluster in ["east", "west"] {
        scene.send(&Alert::new("shop", "Crash", "web-9").in_cluster(cluster)).await;
    }
    let requests = scene.requests().await;
    let storms: Vec<_> = requests.iter().filter(|request| request.state.storm.is_some()).collect();
    assert_eq!(storms.len(), 2);
    assert!(storms.iter().all(|storm| storm_of(storm).alert_count == 10));
    assert_ne!(storms[0].doc.identity.cluster, storms[1].doc.identity.cluster);
}

pub async fn sixty_crashing_pods_and_a_stranger_are_a_storm_and_a_request<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    scene.fire_each(&pods("shop", "Crash", 60)).await;
    let stranger = scene.fire(&Alert::new("shop", "CertificateExpires", "web")).await;
    assert!(stranger.storm.is_none());
    scene.pass(SECOND);
    let requests = scene.wait_for_requests(2).await;
    let (storms, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(|it| it.state.storm.is_some());
    is_one_storm_of(&storms, 60, 60);
    assert_eq!(others[0].doc.identity.name, "CertificateExpires");
}

pub async fn a_request_that_is_being_acted_on_is_linked_and_left_alone<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let alerts = pods("shop", "Crash", 10);
    let first = scene.fire(&alerts[0]).await.request.unwrap();
    scene.report(&first, "Executing").await;
    scene.pass(2 * SECOND);
    scene.fire_each(&alerts[1..9]).await;
    let tenth = scene.fire(&alerts[9]).await;
    assert_eq!((tenth.kind, tenth.opened_storm), (Created, true));
    let storm = scene.request(tenth.request.as_ref().unwrap()).await;
    assert_eq!(storm.state.related, [first.id]);
    assert_eq!(storm_of(&storm).alert_count, 9);
    let left_alone = scene.request(&first).await;
    assert_eq!(left_alone.state.related, [storm.doc.reference.id]);
    assert!(left_alone.state.superseded_by.is_none());
    let repeat = scene.fire(&alerts[0]).await;
    assert_eq!(repeat.request, Some(first));
    assert_eq!(counted(&scene.requests().await), 11);
}

pub async fn the_first_request_may_be_held_as_well<S: StoreUnderTest>() {
    let rule = StormRule {
        threshold: 3,
        hold_first: 2 * SECOND,
        ..StormRule::named("per-team", vec![Field::Label("team".into())])
    };
    let mut scene = Scene::<S>::with(|policy| policy.rules = vec![rule]).await;
    let alerts = pods("shop", "Crash", 4);
    let alerts: Vec<_> = alerts.into_iter().map(|it| it.with(Field::Label("team".into()), "red")).collect();
    let decisions = scene.fire_each(&alerts).await;
    assert_eq!((decisions[0].kind, decisions[0].request.as_ref()), (Accepted, None));
    assert!(scene.requests().await.is_empty());
    scene.pass(2 * SECOND);
    let requests = scene.wait_for_requests(1).await;
    is_one_storm_of(&requests, 4, 4);
    assert_eq!(decisions[3].request.as_ref(), Some(&requests[0].doc.reference));
}

pub async fn a_problem_that_reopens_at_once_in_another_group_counts_only_there<S: StoreUnderTest>() {
    let team = Field::Label("team".into());
    let rule = StormRule { threshold: 3, ..StormRule::named("per-team", vec![team.clone()]) };
    let scene = Scene::<S>::with(|policy| (policy.rules, policy.cooldown) = (vec![rule], 0)).await;
    let alerts = pods("shop", "Crash", 3);
    let of = |nth: usize, name: &str| alerts[nth].clone().with(team.clone(), name);
    let first = scene.fire(&of(0, "red")).await.request.unwrap();
    scene.report(&first, "Completed").await;
    assert_ne!(scene.fire(&of(0, "blue")).await.request, Some(first));
    let decisions = scene.fire_each(&[of(1, "red"), of(2, "red")]).await;
    assert!(decisions.iter().all(|decision| decision.storm.is_none()), "{decisions:?}");
}
