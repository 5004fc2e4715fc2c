//! What workers say about requests, and what that means for problems that fire again.

use seawall_model::{DecisionKind, RequestRef};

use crate::support::{Alert, MINUTE, SECOND, Scene, StoreUnderTest, eventually};

use DecisionKind::{Created, Duplicate, Resolved};

fn alert() -> Alert {
    Alert::new("shop", "Crash", "web-0")
}

/// A problem that has just fired.
async fn open<S: StoreUnderTest>() -> (Scene<S>, RequestRef) {
    let scene = Scene::<S>::without_rules().await;
    let reference = scene.fire(&alert()).await.request.unwrap();
    (scene, reference)
}

/// A problem that is over and has left memory. Its request is still there.
async fn long_over<S: StoreUnderTest>() -> (Scene<S>, RequestRef) {
    let (mut scene, reference) = open::<S>().await;
    scene.pass(60 * MINUTE);
    scene.subject.settle().await;
    eventually("the incident leaves memory", async || match scene.store().stats().incidents_open {
        0 => Ok(()),
        left => {
            scene.pass(SECOND);
            Err(left)
        }
    })
    .await;
    (scene, reference)
}

pub async fn a_pending_request_is_released_by_silence<S: StoreUnderTest>() {
    for phase in ["", "Pending", " PENDING "] {
        let (mut scene, reference) = open::<S>().await;
        scene.report(&reference, phase).await;
        scene.pass(5 * MINUTE);
        let again = scene.fire(&alert()).await;
        assert_eq!(again.kind, Created, "{phase}");
        assert_ne!(again.request, Some(reference));
    }
}

pub async fn a_request_that_is_worked_on_stays_open_in_silence<S: StoreUnderTest>() {
    for phase in ["Processing", "analysing", "Awaiting Approval", "Executing", "verifying", "SomethingNew"] {
        let (mut scene, reference) = open::<S>().await;
        scene.report(&reference, phase).await;
        scene.pass(24 * 60 * MINUTE);
        scene.subject.settle().await;
        let again = scene.fire(&alert()).await;
        assert_eq!((again.kind, again.request), (Duplicate, Some(reference)), "{phase}");
    }
}

pub async fn a_finished_request_takes_repeats_for_the_cooldown_and_is_never_reused<S: StoreUnderTest>() {
    for phase in ["Completed", "failed", "timed-out", "Timeout", "SKIPPED", "Cancelled", "canceled"] {
        let (mut scene, reference) = open::<S>().await;
        scene.pass(MINUTE);
        scene.report(&reference, phase).await;
        for _ in 0..2 {
            // The second one would not be a duplicate if the first had prolonged the cooldown.
            scene.pass(150 * SECOND - 1);
            assert_eq!(scene.fire(&alert()).await.request, Some(reference.clone()), "{phase}");
        }
        scene.pass(2);
        let again = scene.fire(&alert()).await;
        assert_eq!(again.kind, Created, "{phase}");
        assert!(again.request.as_ref().unwrap().id.generation > reference.id.generation);
        assert_eq!(scene.request(&reference).await.state.occurrences, 3);
        assert_eq!(scene.requests().await.len(), 2);
    }
}

pub async fn a_phase_survives_a_crash<S: StoreUnderTest>() {
    let (mut scene, reference) = open::<S>().await;
    scene.report(&reference, "Executing").await;
    scene.crash().await;
    scene.pass(60 * MINUTE);
    assert_eq!(scene.fire(&alert()).await.kind, Duplicate);
    scene.report(&reference, "Completed").await;
    scene.crash().await;
    scene.pass(5 * MINUTE - 1);
    assert_eq!(scene.fire(&alert()).await.kind, Duplicate);
    scene.pass(1);
    assert_eq!(scene.fire(&alert()).await.kind, Created);
}

/// Signals within the cooldown count as duplicates, also when the incident had already ended by silence.
pub async fn a_late_end_of_work_still_starts_the_cooldown<S: StoreUnderTest>() {
    let (mut scene, reference) = long_over::<S>().await;
    scene.report(&reference, "Completed").await;
    scene.pass(MINUTE);
    let repeat = scene.fire(&alert()).await;
    assert_eq!((repeat.kind, repeat.count, repeat.request), (Duplicate, 2, Some(reference.clone())));
    scene.crash().await;
    scene.pass(5 * MINUTE);
    assert_eq!(scene.fire(&alert()).await.kind, Created);
    assert_eq!(scene.request(&reference).await.state.occurrences, 2);
}

/// Any phase but the first and the last keeps a problem open, whether or not its incident was still in memory when the
/// work began: nobody outside can tell the difference.
pub async fn a_late_beginning_of_work_keeps_the_problem_open<S: StoreUnderTest>() {
    let (mut scene, reference) = long_over::<S>().await;
    scene.report(&reference, "Executing").await;
    let repeat = scene.fire(&alert()).await;
    assert_eq!((repeat.kind, repeat.request), (Duplicate, Some(reference.clone())));
    scene.pass(60 * MINUTE);
    scene.subject.settle().await;
    assert_eq!(scene.fire(&alert()).await.request, Some(reference));
}

pub async fn a_late_resolved_alert_marks_the_request<S: StoreUnderTest>() {
    let (scene, reference) = long_over::<S>().await;
    let resolved = scene.resolve(&alert()).await;
    assert_eq!((resolved.kind, resolved.request.as_ref()), (Resolved, Some(&reference)));
    assert_eq!(scene.request(&reference).await.state.resolved_at, Some(scene.now()));
    assert_eq!(scene.fire(&alert()).await.kind, Created, "it is as over as before");
    assert_eq!(scene.requests().await.len(), 2);
}

pub async fn a_finished_request_stays_finished<S: StoreUnderTest>() {
    let (mut scene, reference) = open::<S>().await;
    scene.report(&reference, "Completed").await;
    scene.report(&reference, "Executing").await;
    scene.pass(5 * MINUTE);
    assert_eq!(scene.fire(&alert()).await.kind, Created);
}
