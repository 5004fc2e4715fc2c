//! Life in a storm: leaders, holds, resolution, workers, silence.

use seawall_model::DecisionKind::{Accepted, Aggregated, Created, Duplicate, Resolved};
use seawall_model::{Field, RequestRef, Severity};

use crate::history::Alert;
use crate::scene::{MINUTE, SECOND, Scene, count_of, pods};

/// A scene with a storm of three, all held or promoted within the first moment, and its request.
fn storm_of_three() -> (Scene, Vec<Alert>, RequestRef) {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 3);
    let alerts = pods("shop", "Crash", 6);
    let verdicts = scene.fire_all(&alerts[..3]);
    let request = verdicts[2].request.clone().unwrap();
    (scene, alerts, request)
}

#[test]
fn a_storm_is_resolved_when_all_members_are_and_open_again_when_one_fires() {
    let (mut scene, alerts, request) = storm_of_three();
    for alert in &alerts[..2] {
        assert_eq!(scene.resolve(alert).kind, Resolved);
    }
    assert_eq!(scene.request(&request).resolved_at, None);
    scene.wait(SECOND);
    let _ = scene.resolve(&alerts[2]);
    assert_eq!(scene.request(&request).resolved_at, Some(scene.now()));
    scene.wait(SECOND);
    assert_eq!(scene.fire(&alerts[1]).kind, Duplicate);
    assert_eq!(scene.request(&request).resolved_at, None);
    let _ = scene.resolve(&alerts[1]);
    assert_eq!(scene.request(&request).resolved_at, Some(scene.now()));
    assert_eq!(scene.requests().len(), 1);
}

#[test]
fn a_member_that_flaps_does_not_resolve_the_storm_for_the_others() {
    let (mut scene, alerts, request) = storm_of_three();
    for _ in 0..5 {
        let _ = scene.resolve(&alerts[0]);
        assert_eq!(scene.request(&request).resolved_at, None);
        let _ = scene.fire(&alerts[0]);
    }
    for alert in &alerts[..3] {
        assert_eq!(scene.request(&request).resolved_at, None);
        let _ = scene.resolve(alert);
    }
    assert_eq!(scene.request(&request).resolved_at, Some(scene.now()));
}

#[test]
fn a_new_member_of_a_resolved_storm_opens_it_again() {
    let (mut scene, alerts, request) = storm_of_three();
    for alert in &alerts[..3] {
        let _ = scene.resolve(alert);
    }
    assert_eq!(scene.fire(&alerts[3]).kind, Aggregated);
    assert_eq!(scene.request(&request).resolved_at, None);
}

#[test]
fn a_resolved_storm_still_ends_by_quiet_and_flapping_creates_nothing() {
    let (mut scene, alerts, request) = storm_of_three();
    for _ in 0..10 {
        for alert in &alerts[..3] {
            let _ = scene.resolve(alert);
        }
        scene.wait(4 * MINUTE);
        assert_eq!(scene.fire(&alerts[0]).kind, Duplicate);
    }
    let last = scene.now();
    let _ = scene.resolve(&alerts[0]);
    scene.wait(5 * MINUTE + SECOND);
    let storm = scene.request(&request).storm.unwrap();
    assert_eq!((storm.ended_at, scene.requests().len()), (Some(last + 5 * MINUTE), 1));
}

#[test]
fn resolving_does_not_prolong_a_storm() {
    let (mut scene, alerts, request) = storm_of_three();
    let last = scene.now();
    scene.wait(4 * MINUTE);
    let _ = scene.resolve(&alerts[0]);
    scene.wait(MINUTE + SECOND);
    assert_eq!(scene.request(&request).storm.unwrap().ended_at, Some(last + 5 * MINUTE));
}

#[test]
fn a_member_that_was_silent_longer_than_the_ttl_is_still_the_same_member() {
    let (mut scene, alerts, request) = storm_of_three();
    for _ in 0..4 {
        scene.wait(4 * MINUTE);
        let _ = scene.fire(&alerts[0]);
    }
    let repeat = scene.fire(&alerts[1]);
    assert_eq!((repeat.kind, repeat.request), (Duplicate, Some(request)));
    assert_eq!(repeat.seen.map(|(count, _, _)| count), Some(2));
}

#[test]
fn a_member_that_fires_after_the_end_while_its_timer_runs_is_a_duplicate_that_prolongs_nothing() {
    let mut scene = Scene::with(|policy| {
        policy.rules[0].threshold = 3;
        policy.rules[0].quiet = MINUTE;
    });
    let alerts = pods("shop", "Crash", 4);
    let _ = scene.fire_all(&alerts[..3]);
    let last = scene.now();
    scene.wait(2 * MINUTE);
    let after = scene.fire(&alerts[0]);
    assert_eq!(after.kind, Duplicate);
    let (request, storm) = scene.only_storm();
    assert_eq!((storm.ended_at, request.occurrences), (Some(last + MINUTE), 4));
    assert_eq!(scene.fire(&alerts[3]).kind, Created);
}

#[test]
fn a_finished_storm_takes_repeats_for_the_cooldown_and_no_strangers() {
    let (mut scene, alerts, request) = storm_of_three();
    scene.wait(MINUTE);
    scene.report(&request, "Completed");
    let finished = scene.now();
    assert_eq!(scene.request(&request).storm.unwrap().ended_at, Some(finished));
    scene.wait(4 * MINUTE);
    let verdicts = scene.fire_all([&alerts[0], &alerts[4]]);
    assert_eq!((verdicts[0].kind, verdicts[0].request.as_ref()), (Duplicate, Some(&request)));
    assert_eq!((verdicts[1].kind, verdicts[1].storm.as_ref()), (Created, None));
    scene.wait(MINUTE);
    let afresh = scene.fire(&alerts[0]);
    assert_eq!((afresh.kind, afresh.storm.as_ref()), (Created, None));
    assert_ne!(afresh.request, Some(request));
}

#[test]
fn a_leader_that_is_being_analysed_is_still_promoted() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 3);
    let alerts = pods("shop", "Crash", 3);
    let leader = scene.fire(&alerts[0]).request.unwrap();
    scene.report(&leader, "Analyzing");
    let verdicts = scene.fire_all(&alerts[1..]);
    assert_eq!((verdicts[1].kind, verdicts[1].request.as_ref()), (Aggregated, Some(&leader)));
}

#[test]
fn a_leader_that_is_being_executed_stays_what_it_was_and_is_linked() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 4);
    let alerts = pods("shop", "Crash", 4);
    let leader = scene.fire(&alerts[0]).request.unwrap();
    scene.report(&leader, "Executing");
    let verdicts = scene.fire_all(&alerts[1..]);
    let tripping = &verdicts[2];
    assert_eq!((tripping.kind, tripping.opened_storm), (Created, true));
    assert_eq!(tripping.storm.as_ref().map(|storm| storm.alert_count), Some(3));
    let request = tripping.request.clone().unwrap();
    let (own, storm) = (scene.request(&leader), scene.request(&request));
    assert!(own.related.contains(&request.id) && storm.related.contains(&leader.id));
    assert_eq!((own.storm, own.superseded_by, own.occurrences), (None, None, 1));
    assert_eq!(storm.occurrences, 3);
    let repeat = scene.fire(&alerts[0]);
    assert_eq!((repeat.kind, repeat.request), (Duplicate, Some(leader)));
}

#[test]
fn another_request_that_is_being_executed_is_linked_and_no_member() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 3);
    let alerts = pods("shop", "Crash", 3);
    let leader = scene.fire(&alerts[0]).request.unwrap();
    scene.wait(2 * SECOND);
    let second = scene.fire(&alerts[1]).request.unwrap();
    scene.wait(2 * SECOND);
    scene.report(&second, "AwaitingApproval");
    let third = scene.fire(&alerts[2]);
    assert_eq!((third.kind, third.request.as_ref()), (Aggregated, Some(&leader)));
    let (storm, other) = (scene.request(&leader), scene.request(&second));
    assert_eq!((storm.alert_count(), other.superseded_by), (Some(2), None));
    assert!(storm.related.contains(&second.id) && other.related.contains(&leader.id));
}

#[test]
fn a_finished_request_counts_towards_the_storm_and_does_not_lead_it() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 3);
    let alerts = pods("shop", "Crash", 3);
    let first = scene.fire(&alerts[0]).request.unwrap();
    scene.report(&first, "Completed");
    scene.wait(2 * SECOND);
    let second = scene.fire(&alerts[1]).request.unwrap();
    scene.wait(2 * SECOND);
    let third = scene.fire(&alerts[2]);
    assert_eq!((third.kind, third.request.as_ref()), (Aggregated, Some(&second)));
    assert_eq!(third.storm.map(|storm| storm.alert_count), Some(2));
    assert_eq!(scene.request(&first).superseded_by, None);
}

#[test]
fn an_incident_that_ended_inside_the_window_still_counts() {
    let mut scene = Scene::with(|policy| {
        policy.ttl = 10 * SECOND;
        policy.rules[0].threshold = 3;
    });
    let alerts = pods("shop", "Crash", 3);
    let first = scene.fire(&alerts[0]).request.unwrap();
    scene.wait(15 * SECOND);
    let second = scene.fire(&alerts[1]).request.unwrap();
    scene.wait(2 * SECOND);
    let third = scene.fire(&alerts[2]);
    assert_eq!((third.kind, third.request.as_ref()), (Aggregated, Some(&second)));
    let untouched = scene.request(&first);
    assert_eq!((untouched.storm, untouched.superseded_by), (None, None));
}

#[test]
fn a_reopened_incident_counts_once() {
    let mut scene = Scene::with(|policy| {
        policy.ttl = 5 * SECOND;
        policy.rules[0].threshold = 3;
    });
    let alerts = pods("shop", "Crash", 2);
    for _ in 0..4 {
        assert_eq!(scene.fire(&alerts[0]).kind, Created);
        scene.wait(6 * SECOND);
    }
    assert_eq!(scene.fire(&alerts[1]).kind, Created);
    assert_eq!(scene.storms().len(), 0);
}

#[test]
fn an_incident_that_reopens_at_the_same_moment_with_another_severity_counts_only_there() {
    let mut scene = Scene::with(|policy| {
        policy.cooldown = 0;
        policy.rules[0].group_by = vec![Field::Severity];
        policy.rules[0].threshold = 3;
        policy.rules.truncate(1);
    });
    let alerts = pods("shop", "Crash", 3);
    let first = scene.fire(&alerts[0].clone().of_severity(Severity::Critical)).request.unwrap();
    scene.report(&first, "Completed");
    let again = scene.fire(&alerts[0].clone().of_severity(Severity::Info));
    assert_ne!(again.request, Some(first));
    let critical = alerts[1..].iter().map(|alert| alert.clone().of_severity(Severity::Critical));
    let verdicts = scene.fire_all(&critical.collect::<Vec<_>>());
    assert!(verdicts.iter().all(|verdict| verdict.storm.is_none()), "{verdicts:?}");
}

#[test]
fn a_held_signal_has_no_name_until_it_is_published() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 2);
    let _ = scene.fire(&alerts[0]);
    let held = scene.fire(&alerts[1]);
    assert_eq!((held.kind, held.request.as_ref()), (Accepted, None));
    let repeat = scene.fire(&alerts[1]);
    assert_eq!((repeat.kind, repeat.request.as_ref()), (Duplicate, None));
    scene.wait(2 * SECOND);
    let named = scene.fire(&alerts[1]);
    assert_eq!(scene.request(named.request.as_ref().unwrap()).occurrences, 3);
}

#[test]
fn a_hold_survives_a_crash() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 2);
    let _ = scene.fire_all(&alerts);
    scene.machine.crash();
    assert_eq!(scene.requests().len(), 1);
    scene.wait(2 * SECOND);
    assert_eq!((scene.requests().len(), scene.occurrences()), (2, 2));
}

#[test]
fn a_hold_of_zero_publishes_everything_at_once() {
    let mut scene = Scene::with(|policy| policy.rules.iter_mut().for_each(|rule| rule.hold = 0));
    let verdicts = scene.fire_all(&pods("shop", "Crash", 9));
    assert_eq!(count_of(&verdicts, Created), 9);
}

#[test]
fn with_a_hold_for_the_first_the_storm_appears_complete() {
    let mut scene = Scene::with(|policy| {
        policy.rules[0].threshold = 3;
        policy.rules[0].hold_first = 2 * SECOND;
    });
    let start = scene.now();
    let verdicts = scene.fire_all(&pods("shop", "Crash", 6));
    assert_eq!(verdicts[0].kind, Accepted);
    assert_eq!(verdicts[1].request, None, "until the rule trips it is not decided where a signal counts");
    assert_eq!(scene.requests().len(), 0);
    scene.wait(3 * SECOND);
    assert_eq!(scene.only_storm().0.occurrences, 6);
    assert_eq!(scene.added.values().next(), Some(&(start + 2 * SECOND)));
}

#[test]
fn the_severity_of_a_storm_is_the_worst_of_its_members() {
    let (mut scene, alerts, request) = storm_of_three();
    assert_eq!(scene.request(&request).urgency.severity, Severity::Warning);
    let _ = scene.fire(&alerts[3].clone().of_severity(Severity::Critical));
    let _ = scene.fire(&alerts[3].clone().of_severity(Severity::Info));
    assert_eq!(scene.request(&request).urgency.severity, Severity::Critical);
}

#[test]
fn a_storm_in_one_namespace_leaves_another_alone() {
    let (mut scene, _, _) = storm_of_three();
    assert_eq!(scene.fire(&Alert::new("pay", "Crash", "web-0")).kind, Created);
}

#[test]
fn after_a_storm_its_group_counts_from_zero() {
    let (mut scene, alerts, request) = storm_of_three();
    scene.report(&request, "Completed");
    let verdicts = scene.fire_all(&alerts[3..5]);
    assert!(verdicts.iter().all(|verdict| verdict.storm.is_none()));
    let third = scene.fire(&alerts[5]);
    assert_eq!((third.kind, third.opened_storm), (Aggregated, true));
    assert_eq!(third.storm.map(|storm| storm.alert_count), Some(3));
}

#[test]
fn nobody_has_worked_on_the_request_of_a_successor() {
    let mut scene = Scene::with(|policy| {
        policy.rules[0].threshold = 3;
        policy.rules[0].quiet = 20 * MINUTE;
    });
    let alerts = pods("shop", "Crash", 3);
    let leader = scene.fire(&alerts[0]).request.unwrap();
    scene.report(&leader, "Processing");
    let _ = scene.fire_all(&alerts[1..]);
    for _ in 0..5 {
        scene.wait(12 * MINUTE);
        let _ = scene.fire(&alerts[0]);
    }
    let successor = scene.request(&leader).storm.unwrap().successor;
    assert!(successor.is_some(), "the hour is over");
    scene.wait(21 * MINUTE);
    assert_eq!(scene.fire(&alerts[0]).kind, Created, "silence ends what nobody is working on");
}
