//! Acceptance A, as far as it is about deciding.

use seawall_model::DecisionKind::{Aggregated, Created, Duplicate};
use seawall_model::{Field, RequestRef, build_request};

use crate::history::Alert;
use crate::scene::{MINUTE, SECOND, Scene, count_of, pods};

#[test]
fn fifteen_alerts_of_one_kind_are_one_request_in_every_order() {
    for repetition in 0..100 {
        let mut alerts = pods("shop", "Crash", 15);
        alerts.rotate_left(repetition % 15);
        alerts.swap(0, (repetition * 7) % 15);
        let mut scene = Scene::new();
        let verdicts = scene.fire_all(&alerts);
        assert_eq!(count_of(&verdicts, Created), 1);
        scene.wait(5 * SECOND);
        let (request, storm) = scene.only_storm();
        assert_eq!(scene.only_request(), request);
        assert_eq!((storm.alert_count, storm.affected.len(), request.occurrences), (15, 15, 15));
        assert!(!storm.truncated);
    }
}

#[test]
fn fifteen_alerts_one_after_another_within_the_hold_supersede_nothing() {
    let mut scene = Scene::new();
    for alert in pods("shop", "Crash", 15) {
        let _ = scene.fire(&alert);
        scene.wait(60);
    }
    scene.wait(5 * SECOND);
    let request = scene.only_request();
    assert!(request.storm.is_some_and(|storm| storm.supersedes.is_empty() && storm.alert_count == 15));
}

#[test]
fn a_pair_of_alertmanagers_delivering_twice_changes_only_counts() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 15);
    let _ = scene.fire_all(&alerts);
    scene.wait(2 * SECOND);
    let verdicts = scene.fire_all(&alerts);
    assert_eq!(count_of(&verdicts, Duplicate), 15);
    scene.wait(5 * SECOND);
    let (request, storm) = scene.only_storm();
    assert_eq!((request.occurrences, storm.alert_count, scene.requests().len()), (30, 15, 1));
}

#[test]
fn an_interleaved_pair_of_alertmanagers_is_one_request_too() {
    let mut scene = Scene::new();
    for alert in pods("shop", "Crash", 15) {
        let _ = scene.fire_all([&alert, &alert]);
    }
    scene.wait(5 * SECOND);
    assert_eq!(scene.only_request().occurrences, 30);
}

#[test]
fn nine_alerts_are_nine_requests_and_only_the_others_wait() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 9);
    let start = scene.now();
    let verdicts = scene.fire_all(&alerts);
    let first = verdicts[0].request.clone().unwrap();
    assert_eq!(verdicts[0].kind, Created);
    assert_eq!(scene.added.get(&first), Some(&start));
    scene.wait(5 * SECOND);
    assert_eq!((scene.requests().len(), scene.storms().len(), scene.occurrences()), (9, 0, 9));
    assert!(scene.added.values().all(|at| *at - start <= SECOND), "{:?}", scene.added);
}

#[test]
fn the_tenth_alert_is_a_member() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 10);
    let verdicts = scene.fire_all(&alerts[..9]);
    assert!(verdicts.iter().all(|verdict| verdict.storm.is_none()));
    let tenth = scene.fire(&alerts[9]);
    assert_eq!((tenth.kind, tenth.opened_storm), (Aggregated, true));
    assert_eq!(tenth.storm.map(|storm| storm.alert_count), Some(10));
    assert_eq!(tenth.request, verdicts[0].request);
}

#[test]
fn threshold_one_makes_every_group_a_storm_at_once() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 1);
    let verdicts = scene.fire_all(&pods("shop", "Crash", 3));
    assert_eq!((verdicts[0].kind, verdicts[0].opened_storm), (Created, true));
    assert_eq!(count_of(&verdicts, Aggregated), 2);
    let (request, storm) = scene.only_storm();
    assert_eq!((request.occurrences, storm.alert_count, scene.requests().len()), (3, 3, 1));
}

#[test]
fn a_threshold_larger_than_the_burst_makes_no_storm() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 16);
    let _ = scene.fire_all(&pods("shop", "Crash", 15));
    scene.wait(5 * SECOND);
    assert_eq!((scene.requests().len(), scene.storms().len()), (15, 0));
}

#[test]
fn a_slow_storm_supersedes_and_links_what_was_published_before() {
    let mut scene = Scene::new();
    let mut verdicts = Vec::new();
    for alert in pods("shop", "Crash", 12) {
        verdicts.push(scene.fire(&alert));
        scene.wait(5 * SECOND);
    }
    assert_eq!(count_of(&verdicts[..9], Created), 9);
    assert_eq!(count_of(&verdicts[9..], Aggregated), 3);
    let leader = verdicts[0].request.clone().unwrap();
    let storm = scene.request(&leader).storm.unwrap();
    assert_eq!((storm.alert_count, storm.supersedes.len()), (12, 8));
    for verdict in &verdicts[1..9] {
        let superseded = scene.request(verdict.request.as_ref().unwrap());
        assert_eq!(superseded.superseded_by, Some(leader.id));
        assert_eq!((superseded.occurrences, superseded.storm), (1, None));
        assert!(storm.supersedes.contains(&verdict.request.as_ref().unwrap().id));
    }
    assert_eq!((scene.requests().len(), scene.occurrences()), (9, 12));
    assert_eq!(scene.request(&leader).occurrences, 4);
}

#[test]
fn a_superseded_request_does_not_change_any_more() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 3);
    let alerts = pods("shop", "Crash", 3);
    for alert in &alerts {
        let _ = scene.fire(alert);
        scene.wait(5 * SECOND);
    }
    let superseded = |scene: &Scene| {
        let all = scene.requests();
        all.into_iter().find(|request| request.superseded_by.is_some()).unwrap()
    };
    let before = superseded(&scene);
    let repeat = scene.fire(&alerts[1].clone().of_severity(seawall_model::Severity::Critical));
    let _ = scene.resolve(&alerts[1]);
    scene.wait(5 * SECOND);
    assert_eq!(repeat.kind, Duplicate);
    assert_eq!(superseded(&scene), before);
    assert_eq!(scene.occurrences(), 4);
}

#[test]
fn nine_at_the_end_of_a_minute_and_nine_at_the_start_of_the_next_are_a_storm() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 18);
    scene.wait(57 * SECOND);
    let _ = scene.fire_all(&alerts[..9]);
    scene.wait(6 * SECOND);
    let verdicts = scene.fire_all(&alerts[9..]);
    assert_eq!(count_of(&verdicts, Aggregated), 9);
    assert_eq!(scene.only_storm().1.alert_count, 18);
}

#[test]
fn what_has_left_the_window_counts_no_more() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 18);
    let _ = scene.fire_all(&alerts[..9]);
    scene.wait(61 * SECOND);
    let _ = scene.fire_all(&alerts[9..]);
    scene.wait(2 * SECOND);
    assert_eq!((scene.requests().len(), scene.storms().len()), (18, 0));
}

#[test]
fn an_alert_leaves_the_window_to_the_millisecond() {
    for (later, storms) in [(MINUTE - 1, 1), (MINUTE, 0)] {
        let mut scene = Scene::new();
        let alerts = pods("shop", "Crash", 10);
        let _ = scene.fire_all(&alerts[..9]);
        // No tick comes in between, so only counting can tell.
        scene.machine.now = scene.now() + later;
        let _ = scene.fire(&alerts[9]);
        assert_eq!(scene.storms().len(), storms, "after {later} ms");
    }
}

#[test]
fn three_strangers_in_the_namespace_of_a_storm_keep_their_own_requests() {
    let mut scene = Scene::new();
    let strangers: Vec<Alert> =
        ["Disk", "Slow", "Cert"].map(|name| Alert::new("shop", name, "db-0")).into_iter().collect();
    for (nth, alert) in pods("shop", "Crash", 15).iter().enumerate() {
        let _ = scene.fire(alert);
        if nth % 5 == 2 {
            let _ = scene.fire(&strangers[nth / 5]);
        }
    }
    scene.wait(5 * SECOND);
    assert_eq!((scene.requests().len(), scene.only_storm().1.alert_count), (4, 15));
    for stranger in &strangers {
        let own = scene.requests().into_iter().find(|request| request.fingerprint == stranger.fingerprint());
        assert!(own.is_some_and(|request| request.storm.is_none() && request.superseded_by.is_none()));
    }
}

#[test]
fn the_same_alert_in_two_namespaces_is_two_storms() {
    let mut scene = Scene::new();
    for (one, other) in pods("shop", "Crash", 12).iter().zip(&pods("pay", "Crash", 12)) {
        let _ = scene.fire_all([one, other]);
    }
    scene.wait(5 * SECOND);
    let counts: Vec<u64> = scene.storms().iter().map(|(_, storm)| storm.alert_count).collect();
    assert_eq!((counts, scene.requests().len()), (vec![12, 12], 2));
}

#[test]
fn ten_names_are_no_storm_and_sixty_are_one_flood() {
    let alerts: Vec<Alert> = (0..60).map(|nth| Alert::new("shop", &format!("Alert{nth}"), "web-0")).collect();
    let mut scene = Scene::new();
    let _ = scene.fire_all(&alerts[..10]);
    scene.wait(2 * SECOND);
    assert_eq!((scene.requests().len(), scene.storms().len()), (10, 0));

    let mut scene = Scene::new();
    let _ = scene.fire_all(&alerts);
    scene.wait(5 * SECOND);
    let (request, storm) = scene.only_storm();
    assert_eq!((storm.rule.as_str(), storm.alert_count), ("namespace-flood", 60));
    assert_eq!((request.occurrences, scene.requests().len(), storm.affected.len()), (60, 1, 1));
}

#[test]
fn a_resource_that_fires_again_during_the_storm_is_counted_and_listed_once() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 15);
    let _ = scene.fire_all(&alerts);
    let verdicts = scene.fire_all([&alerts[3], &alerts[3], &alerts[3]]);
    assert_eq!(count_of(&verdicts, Duplicate), 3);
    assert_eq!(verdicts[2].seen.map(|(count, _, _)| count), Some(4));
    let (request, storm) = scene.only_storm();
    assert_eq!((request.occurrences, storm.alert_count, storm.affected.len()), (18, 15, 15));
    let counts: Vec<u64> = storm.affected.values().map(|(_, _, count)| *count).collect();
    assert_eq!((counts.iter().sum::<u64>(), counts.iter().max()), (18, Some(&4)));
}

#[test]
fn a_storm_ends_after_quiet_and_a_later_alert_starts_afresh() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 11);
    let last = scene.now();
    let _ = scene.fire_all(&alerts);
    scene.wait(5 * MINUTE + SECOND);
    assert_eq!(scene.only_storm().1.ended_at, Some(last + 5 * MINUTE));
    let afresh = scene.fire(&alerts[0]);
    assert_eq!((afresh.kind, afresh.storm), (Created, None));
    assert_eq!((scene.requests().len(), scene.occurrences()), (2, 12));
}

#[test]
fn a_storm_older_than_the_longest_duration_is_continued_by_a_linked_successor() {
    let mut scene = Scene::with(|policy| policy.ttl = 10 * MINUTE);
    let alerts = pods("shop", "Crash", 12);
    let verdicts = scene.fire_all(&alerts[..11]);
    let old = verdicts[0].request.clone().unwrap();
    for _ in 0..15 {
        scene.wait(4 * MINUTE);
        let _ = scene.fire(&alerts[0]);
    }
    // The hour is over exactly now.
    let rolled = scene.request(&old).storm.unwrap();
    assert_eq!(rolled.ended_at, Some(scene.now()));
    let new = RequestRef { namespace: "shop".into(), id: rolled.successor.unwrap() };
    assert_eq!(scene.request(&new).storm.unwrap().alert_count, 1);
    let verdicts = scene.fire_all([&alerts[1], &alerts[1], &alerts[11]]);
    let kinds: Vec<_> = verdicts.iter().map(|verdict| verdict.kind).collect();
    assert_eq!(kinds, [Aggregated, Duplicate, Aggregated]);
    assert!(verdicts.iter().all(|verdict| verdict.request.as_ref() == Some(&new)));
    assert_eq!(scene.request(&new).storm.unwrap().alert_count, 3);
    assert_eq!((scene.requests().len(), scene.occurrences()), (2, 11 + 15 + 3));
}

#[test]
fn ten_thousand_alerts_are_one_bounded_request_with_exact_totals() {
    let mut scene = Scene::new();
    let start = scene.now();
    let name = |nth: usize| format!("{}-{nth:05}", "long-name-of-a-deployment-".repeat(8));
    for nth in 0..10_000 {
        let _ = scene.fire(&Alert::new("shop", "Crash", name(nth)));
        if nth % 10 == 9 {
            scene.wait(10);
        }
    }
    scene.wait(5 * SECOND);
    let (request, storm) = scene.only_storm();
    assert_eq!((request.occurrences, storm.alert_count, scene.requests().len()), (10_000, 10_000, 1));
    assert!(storm.truncated && storm.affected.len() == scene.machine.policy.sample);
    let (doc, state) = scene.machine.requests().into_values().next().unwrap();
    let object = serde_json::to_vec(&build_request(&doc, &state, None)).unwrap();
    assert!(object.len() < 256 * 1024, "{} bytes", object.len());
    let seconds = (scene.now() - start) / SECOND;
    assert!(scene.modified.len() as i64 <= seconds + 1, "{} updates in {seconds} s", scene.modified.len());
    assert!(scene.modified.windows(2).all(|pair| pair[1].1 - pair[0].1 >= SECOND));
}

#[test]
fn fifteen_nodes_down_are_one_storm_of_cluster_scoped_signals() {
    let mut scene = Scene::new();
    let _ = scene.fire_all(&pods("", "KubeNodeNotReady", 15));
    scene.wait(5 * SECOND);
    assert_eq!((scene.only_storm().1.alert_count, scene.requests().len()), (15, 1));
    let (reference, _) = scene.machine.requests().into_keys().zip(0..).next().unwrap();
    assert_eq!(reference.namespace, scene.machine.policy.fallback_namespace);
    let state = scene.machine.engine.request_state(&reference).unwrap();
    assert_eq!(&*state.storm.unwrap().pattern, "KubeNodeNotReady on cluster-scoped resources");
}

#[test]
fn the_same_namespace_in_two_clusters_is_two_storms() {
    let mut scene = Scene::new();
    for alert in pods("shop", "Crash", 12) {
        let _ = scene.fire_all([&alert.clone().in_cluster("east"), &alert.in_cluster("west")]);
    }
    scene.wait(5 * SECOND);
    assert_eq!((scene.storms().len(), scene.requests().len()), (2, 2));
}

#[test]
fn sixty_crashing_pods_do_not_sweep_in_one_other_alert() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 60);
    let _ = scene.fire_all(&alerts[..30]);
    let other = scene.fire(&Alert::new("shop", "CertExpires", "ingress"));
    let _ = scene.fire_all(&alerts[30..]);
    scene.wait(5 * SECOND);
    assert_eq!((scene.only_storm().1.alert_count, scene.requests().len()), (60, 2));
    assert_eq!(other.storm, None);
}

#[test]
fn a_signal_without_the_field_is_not_grouped_by_the_rule() {
    let mut scene = Scene::with(|policy| {
        policy.rules[0].group_by = vec![Field::Node];
        policy.rules[0].threshold = 3;
    });
    let alerts = pods("shop", "Crash", 6);
    let _ = scene.fire_all(&alerts[..3]);
    let on_node: Vec<Alert> = alerts[3..].iter().map(|alert| alert.clone().on_node("n1")).collect();
    let _ = scene.fire_all(&on_node);
    scene.wait(5 * SECOND);
    assert_eq!((scene.only_storm().1.alert_count, scene.requests().len()), (3, 4));
}
