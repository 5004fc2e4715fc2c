//! The state is lost and rebuilt from the open requests: no problem that has one gets a second (acceptance B5).

use seawall_model::DecisionKind::{Aggregated, Created, Duplicate};
use seawall_model::{Field, Phase, StormRule};

use crate::history::Alert;
use crate::scene::{MINUTE, SECOND, Scene, pods};

/// The clock goes on while the state is read back.
fn lose(scene: &mut Scene) {
    scene.wait(2 * SECOND);
    scene.machine.lose_state();
    scene.machine.commit();
}

#[test]
fn a_single_problem_counts_on() {
    let mut scene = Scene::new();
    let alert = Alert::new("shop", "Crash", "web-0");
    let request = scene.fire(&alert).request;
    let _ = scene.fire(&alert);
    lose(&mut scene);
    let repeat = scene.fire(&alert);
    assert_eq!((repeat.kind, &repeat.request, repeat.seen.map(|it| it.0)), (Duplicate, &request, Some(3)));
    scene.wait(6 * MINUTE);
    let again = scene.fire(&alert);
    assert_eq!(again.kind, Created, "its silence timer runs on");
    assert_ne!(again.request, request);
}

#[test]
fn what_somebody_works_on_stays_open() {
    let mut scene = Scene::new();
    let alert = Alert::new("shop", "Crash", "web-0");
    let request = scene.fire(&alert).request.unwrap();
    scene.report(&request, "Executing");
    lose(&mut scene);
    scene.wait(20 * MINUTE);
    assert_eq!(scene.fire(&alert).request.as_ref(), Some(&request));
    scene.report(&request, "Completed");
    scene.wait(6 * MINUTE);
    assert_eq!(scene.fire(&alert).kind, Created);
}

#[test]
fn a_storm_knows_its_members_and_takes_new_ones() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 20);
    let request = scene.fire_all(&alerts[..15])[0].request.clone();
    lose(&mut scene);
    for alert in &alerts[..15] {
        let repeat = scene.fire(alert);
        assert_eq!((repeat.kind, &repeat.request), (Duplicate, &request));
    }
    for alert in &alerts[15..] {
        let member = scene.fire(alert);
        assert_eq!((member.kind, &member.request), (Aggregated, &request));
    }
    scene.wait(2 * SECOND);
    let (shown, storm) = scene.only_storm();
    assert_eq!((storm.alert_count, storm.affected.len(), storm.truncated), (20, 20, false));
    assert_eq!(shown.occurrences, 35);
}

#[test]
fn a_storm_survives_a_crash_after_it_was_taken_over() {
    let mut scene = Scene::with(|policy| policy.sample = 12);
    let alerts = pods("shop", "Crash", 15);
    let request = scene.fire_all(&alerts)[0].request.clone();
    lose(&mut scene);
    let _ = scene.fire(&alerts[3]);
    scene.machine.crash();
    assert_eq!(scene.fire(&alerts[3]).request, request);
    let (shown, storm) = scene.only_storm();
    assert_eq!((storm.alert_count, storm.affected.len(), shown.occurrences), (15, 12, 17));
    let fourth = storm.affected.iter().find(|(resource, _)| resource.0.2 == "web-3").map(|(_, seen)| seen.2);
    assert_eq!(fourth, Some(3), "the list goes on although not all members are known");
}

#[test]
fn members_that_are_not_listed_join_again_and_the_request_says_that_totals_may_be_too_high() {
    let mut scene = Scene::with(|policy| policy.sample = 12);
    let alerts = pods("shop", "Crash", 15);
    let request = scene.fire_all(&alerts)[0].request.clone();
    lose(&mut scene);
    let again: Vec<_> = alerts.iter().map(|alert| scene.fire(alert)).collect();
    assert!(again.iter().all(|verdict| verdict.request == request));
    scene.wait(2 * SECOND);
    let (_, storm) = scene.only_storm();
    assert_eq!((storm.alert_count, storm.truncated), (18, true));
}

#[test]
fn the_members_of_a_flood_join_again() {
    let mut scene = Scene::with(|policy| {
        policy.rules = vec![StormRule { threshold: 3, ..StormRule::named("flood", vec![Field::Namespace]) }];
    });
    let alerts: Vec<Alert> = (0..5).map(|nth| Alert::new("shop", &format!("Name{nth}"), "web-0")).collect();
    let request = scene.fire_all(&alerts)[0].request.clone();
    lose(&mut scene);
    let again: Vec<_> = alerts.iter().map(|alert| scene.fire(alert)).collect();
    assert_eq!((again[0].kind, &again[0].request), (Duplicate, &request), "the leader is known");
    assert!(again.iter().all(|verdict| verdict.request == request));
    scene.wait(2 * SECOND);
    assert!(scene.only_storm().1.truncated);
}

#[test]
fn superseded_requests_stay_what_they_were_and_tell_of_members() {
    let mut scene = Scene::with(|policy| {
        policy.rules = vec![StormRule { threshold: 3, ..StormRule::named("flood", vec![Field::Namespace]) }];
    });
    let alerts: Vec<Alert> = (0..3).map(|nth| Alert::new("shop", &format!("Name{nth}"), "web-0")).collect();
    let leader = scene.fire(&alerts[0]).request.unwrap();
    scene.wait(5 * SECOND);
    let second = scene.fire(&alerts[1]).request.unwrap();
    scene.wait(5 * SECOND);
    let _ = scene.fire(&alerts[2]);
    lose(&mut scene);
    assert_eq!(scene.request(&second).superseded_by, Some(leader.id));
    let repeat = scene.fire(&alerts[1]);
    assert_eq!((repeat.kind, repeat.request), (Duplicate, Some(leader)));
    scene.wait(2 * SECOND);
    assert_eq!(scene.request(&second).occurrences, 1);
}

#[test]
fn an_ended_storm_still_takes_the_repeats_of_its_members() {
    let mut scene = Scene::with(|policy| policy.rules[0].quiet = 10 * SECOND);
    let alerts = pods("shop", "Crash", 12);
    let request = scene.fire_all(&alerts)[0].request.clone();
    scene.wait(MINUTE);
    assert!(scene.only_storm().1.ended_at.is_some());
    lose(&mut scene);
    let repeat = scene.fire(&alerts[5]);
    assert_eq!((repeat.kind, repeat.request), (Duplicate, request));
    assert_eq!(scene.fire(&Alert::new("shop", "Crash", "web-99")).kind, Created);
}

#[test]
fn a_storm_ends_by_quiet_after_it_was_taken_over() {
    let mut scene = Scene::new();
    let alerts = pods("shop", "Crash", 12);
    let request = scene.fire_all(&alerts)[0].request.clone().unwrap();
    lose(&mut scene);
    scene.wait(6 * MINUTE);
    assert!(scene.request(&request).storm.unwrap().ended_at.is_some());
    let verdict = scene.fire(&alerts[5]);
    assert_eq!(verdict.kind, Created);
    assert_ne!(verdict.request, Some(request));
}

#[test]
fn requests_that_are_linked_stay_linked() {
    let mut scene = Scene::with(|policy| policy.rules[0].threshold = 3);
    let alerts = pods("shop", "Crash", 3);
    let leader = scene.fire(&alerts[0]).request.unwrap();
    scene.wait(2 * SECOND);
    scene.report(&leader, "Executing");
    let storm = scene.fire_all(&alerts[1..]).pop().and_then(|verdict| verdict.request).unwrap();
    lose(&mut scene);
    assert!(scene.request(&leader).related.contains(&storm.id));
    assert!(scene.request(&storm).related.contains(&leader.id));
    assert_eq!(scene.fire(&alerts[0]).request, Some(leader), "no member, so it counts on its own");
}

#[test]
fn finished_requests_are_not_taken_over() {
    let mut scene = Scene::new();
    let alert = Alert::new("shop", "Crash", "web-0");
    let request = scene.fire(&alert).request.unwrap();
    scene.report(&request, "Completed");
    lose(&mut scene);
    assert_eq!(scene.fire(&alert).kind, Created);
}

#[test]
fn what_is_known_goes_before_what_is_taken_over() {
    let mut scene = Scene::new();
    let alert = Alert::new("shop", "Crash", "web-0");
    let before = scene.fire(&alert).request.unwrap();
    scene.wait(2 * SECOND);
    let (doc, state) = scene.machine.requests().remove(&before).unwrap();
    scene.machine.lose_state_without_finding_it();
    let opened = scene.fire(&alert).request.unwrap();
    assert_ne!(opened, before);
    scene.machine.adopt(&[(doc, state, Phase::Waiting)]);
    scene.machine.commit();
    assert_eq!(scene.fire(&alert).request, Some(opened));
    assert_eq!(scene.requests().len(), 2, "the other one is still there to be seen");
}
