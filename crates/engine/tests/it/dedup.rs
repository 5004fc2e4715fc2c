//! Acceptance B, as far as it is about deciding.

use std::collections::BTreeSet;

use seawall_model::DecisionKind::{Created, Duplicate, Resolved};
use seawall_model::{DecisionKind, Severity};

use crate::history::Alert;
use crate::scene::{MINUTE, SECOND, Scene, count_of};

fn alert() -> Alert {
    Alert::new("shop", "Crash", "web-1")
}

#[test]
fn a_repeat_names_the_original_request_and_its_counts() {
    let mut scene = Scene::new();
    let start = scene.now();
    let first = scene.fire(&alert());
    scene.wait(MINUTE);
    let repeat = scene.fire(&alert());
    assert_eq!((repeat.kind, &repeat.request), (Duplicate, &first.request));
    assert_eq!(repeat.seen, Some((2, start, start + MINUTE)));
    scene.wait(2 * SECOND);
    let request = scene.only_request();
    assert_eq!((request.occurrences, request.first_seen, request.last_seen), (2, start, start + MINUTE));
}

#[test]
fn a_hundred_identical_alerts_are_one_request() {
    let mut scene = Scene::new();
    let verdicts: Vec<_> = (0..100).map(|_| scene.fire(&alert())).collect();
    assert_eq!((count_of(&verdicts, Created), count_of(&verdicts, Duplicate)), (1, 99));
    assert_eq!(scene.only_request().occurrences, 100);
    scene.wait(5 * SECOND);
    assert_eq!(scene.modified.len(), 1, "a hundred repeats in one moment are one update");
}

#[test]
fn an_incident_ends_after_the_ttl_of_silence() {
    let mut scene = Scene::new();
    let mut kinds = Vec::new();
    for minutes in [0, 3, 3, 6] {
        scene.wait(minutes * MINUTE);
        kinds.push(scene.fire(&alert()).kind);
    }
    assert_eq!(kinds, [Created, Duplicate, Duplicate, Created]);
    let occurrences: Vec<u64> = scene.requests().iter().map(|request| request.occurrences).collect();
    assert_eq!(occurrences, [3, 1]);
}

#[test]
fn the_silence_is_measured_to_the_millisecond() {
    for (silence, kind) in [(5 * MINUTE - 1, Duplicate), (5 * MINUTE, Created)] {
        let mut scene = Scene::new();
        let _ = scene.fire(&alert());
        scene.wait(silence);
        assert_eq!(scene.fire(&alert()).kind, kind, "after {silence} ms");
    }
}

/// What a signal is after a worker has reported `phase` and the problem was silent for longer than the ttl.
fn after_phase_and_silence(phase: &str) -> DecisionKind {
    let mut scene = Scene::new();
    let request = scene.fire(&alert()).request.unwrap();
    scene.report(&request, phase);
    scene.wait(30 * MINUTE);
    scene.fire(&alert()).kind
}

#[test]
fn pending_and_silence_is_new() {
    assert_eq!(after_phase_and_silence("Pending"), Created);
    assert_eq!(after_phase_and_silence(""), Created);
}

#[test]
fn anything_a_worker_is_working_on_is_open_however_long_it_takes() {
    for phase in ["Analyzing", "processing", "Executing", "Awaiting-Approval", "Blocked", "Levitating"] {
        assert_eq!(after_phase_and_silence(phase), Duplicate, "{phase}");
    }
}

#[test]
fn a_finished_request_takes_repeats_for_the_cooldown_and_then_a_new_one_is_made() {
    for phase in ["Completed", "Failed", "TimedOut", "timeout", "Skipped", "Cancelled", "canceled"] {
        let mut scene = Scene::new();
        let first = scene.fire(&alert());
        let request = first.request.clone().unwrap();
        scene.report(&request, phase);
        scene.wait(4 * MINUTE);
        let within = scene.fire(&alert());
        assert_eq!((within.kind, &within.request), (Duplicate, &first.request), "{phase}");
        scene.machine.now = scene.now() + MINUTE;
        let after = scene.fire(&alert());
        assert_eq!(after.kind, Created, "the repeat must not prolong the cooldown after {phase}");
        assert_ne!(after.request, first.request);
        let previous = scene.machine.requests()[after.request.as_ref().unwrap()].0.previous;
        assert_eq!(previous, Some(request.id));
    }
}

#[test]
fn a_request_that_finishes_after_its_incident_fell_silent_starts_a_cooldown_too() {
    let mut scene = Scene::new();
    let request = scene.fire(&alert()).request.unwrap();
    scene.wait(4 * MINUTE);
    scene.report(&request, "Pending");
    scene.wait(MINUTE + 10);
    scene.report(&request, "Completed");
    scene.wait(4 * MINUTE);
    assert_eq!(scene.fire(&alert()).kind, Duplicate);
    scene.wait(MINUTE);
    assert_eq!(scene.fire(&alert()).kind, Created);
}

#[test]
fn a_finished_request_stays_finished() {
    let mut scene = Scene::new();
    let request = scene.fire(&alert()).request.unwrap();
    scene.report(&request, "Completed");
    scene.report(&request, "Processing");
    scene.wait(5 * MINUTE);
    assert_eq!(scene.fire(&alert()).kind, Created);
}

#[test]
fn two_generations_in_one_second_have_two_names() {
    let mut scene = Scene::with(|policy| policy.cooldown = 0);
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let request = scene.fire(&alert()).request.unwrap();
        scene.report(&request, "Completed");
        assert!(names.insert(request));
    }
    assert_eq!(scene.requests().len(), 5);
}

#[test]
fn a_name_is_not_used_again_when_the_clock_goes_back() {
    let mut scene = Scene::new();
    let first = scene.fire(&alert());
    scene.wait(10 * MINUTE);
    scene.machine.now = scene.machine.now - 10 * MINUTE;
    let second = scene.fire(&alert());
    assert_eq!(scene.occurrences(), 2);
    assert!(second.kind == Duplicate || second.request != first.request);
}

#[test]
fn the_severity_of_a_request_rises_and_never_falls() {
    let mut scene = Scene::new();
    for (severity, shown) in [
        (Severity::Info, Severity::Info),
        (Severity::Critical, Severity::Critical),
        (Severity::Warning, Severity::Critical),
    ] {
        let _ = scene.fire(&alert().of_severity(severity));
        let signal = alert().of_severity(shown).firing();
        let urgency = scene.only_request().urgency;
        assert_eq!((urgency.severity, urgency.priority, urgency.path), (shown, signal.priority, signal.path));
    }
}

#[test]
fn resolving_an_unknown_problem_creates_nothing() {
    let mut scene = Scene::new();
    let verdict = scene.resolve(&alert());
    assert_eq!((verdict.kind, verdict.request), (Resolved, None));
    assert_eq!(scene.requests().len(), 0);
}

#[test]
fn a_resolved_alert_marks_the_request_until_it_fires_again() {
    let mut scene = Scene::new();
    let request = scene.fire(&alert()).request.unwrap();
    scene.wait(SECOND);
    assert_eq!(scene.resolve(&alert()).request.as_ref(), Some(&request));
    let resolved = scene.now();
    scene.wait(SECOND);
    let _ = scene.resolve(&alert());
    assert_eq!(scene.request(&request).resolved_at, Some(resolved));
    assert_eq!(scene.fire(&alert()).kind, Duplicate);
    assert_eq!(scene.request(&request).resolved_at, None);
    assert_eq!(scene.request(&request).occurrences, 2);
}

#[test]
fn a_resolved_alert_neither_restarts_nor_stops_the_silence_timer() {
    let mut scene = Scene::new();
    let _ = scene.fire(&alert());
    scene.wait(4 * MINUTE);
    let _ = scene.resolve(&alert());
    scene.wait(MINUTE - 1);
    assert_eq!(scene.fire(&alert()).kind, Duplicate);
    scene.wait(4 * MINUTE);
    let _ = scene.resolve(&alert());
    scene.wait(MINUTE);
    assert_eq!(scene.fire(&alert()).kind, Created);
}

#[test]
fn a_flapping_alert_stays_one_request() {
    let mut scene = Scene::new();
    for _ in 0..60 {
        let _ = scene.fire(&alert());
        scene.wait(MINUTE);
        let _ = scene.resolve(&alert());
        scene.wait(MINUTE);
    }
    assert_eq!(scene.only_request().occurrences, 60);
}

#[test]
fn ten_thousand_problems_do_not_mix() {
    let mut scene = Scene::with(|policy| policy.rules.clear());
    for nth in 0..10_000 {
        assert_eq!(
            scene.machine.decide(&Alert::new("shop", "Crash", format!("web-{nth}")).firing()).kind,
            Created
        );
    }
    for nth in 0..10_000 {
        let verdict = scene.machine.decide(&Alert::new("shop", "Crash", format!("web-{nth}")).firing());
        assert_eq!(verdict.kind, Duplicate);
    }
    let _ = scene.fire(&alert());
    let requests = scene.requests();
    assert_eq!(requests.len(), 10_000);
    let wrong =
        requests.iter().filter(|request| request.resource.0.2 != "web-1" && request.occurrences != 2).count();
    assert_eq!(wrong, 0);
}

#[test]
fn hostile_names_stay_apart() {
    let long = "x".repeat(10_000);
    let names = ["a:b", "a", "A", "a\\", "a\\:b", "größe", "grösse", "a b", "a=b", "a/b", &long];
    let mut scene = Scene::with(|policy| policy.rules.clear());
    for name in names {
        for resource in names {
            assert_eq!(scene.fire(&Alert::new("shop", name, resource)).kind, Created, "{name} {resource}");
        }
    }
    assert_eq!(scene.requests().len(), names.len() * names.len());
}

#[test]
fn state_survives_a_crash_at_every_commit() {
    let mut scene = Scene::new();
    let first = scene.fire(&alert());
    for count in 2..20 {
        scene.machine.crash();
        let repeat = scene.fire(&alert());
        assert_eq!((repeat.kind, &repeat.request), (Duplicate, &first.request));
        assert_eq!(repeat.seen.map(|(seen, _, _)| seen), Some(count));
    }
}
