//! Requests that have to exist outside the store, too.

use seawall_model::{DecisionKind, RequestRef};
use seawall_store::{Placement, RequestRecord};
use tokio::sync::mpsc::Receiver;

use crate::support::{Alert, MINUTE, SECOND, Scene, StoreUnderTest, eventually};

use DecisionKind::{Created, Duplicate};

fn alert() -> Alert {
    Alert::new("shop", "Crash", "web-0")
}

/// A scene whose requests are to be published, and what is told to whoever publishes.
async fn scene<S: StoreUnderTest>() -> (Scene<S>, Receiver<RequestRef>) {
    let scene = Scene::<S>::with(|policy| {
        policy.published = true;
        policy.rules.retain(|rule| &*rule.name == "namespace-rate");
        policy.rules.iter_mut().for_each(|rule| (rule.threshold, rule.hold) = (3, 0));
    })
    .await;
    let told = scene.store().unpublished().expect("nobody took it before");
    (scene, told)
}

/// What is told next. Some is told again, so others may come first.
async fn heard(told: &mut Receiver<RequestRef>, reference: &RequestRef) {
    let patience = std::time::Duration::from_secs(30);
    let wait = async { while told.recv().await.expect("the store lives") != *reference {} };
    tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| panic!("nothing was told of {reference}"));
}

/// Everything that is told until the store has caught up.
async fn all_told<S: StoreUnderTest>(
    scene: &mut Scene<S>,
    told: &mut Receiver<RequestRef>,
) -> Vec<RequestRef> {
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    let mut all: Vec<RequestRef> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn placement(record: &RequestRecord) -> Placement {
    Placement {
        namespace: record.doc.reference.namespace.clone(),
        name: record.doc.reference.id.to_string().into(),
        uid: "6f9a3c1e".into(),
        sequence: record.state.sequence,
        deleted: false,
    }
}

/// Publishes a request as it is now.
async fn publish<S: StoreUnderTest>(scene: &Scene<S>, reference: &RequestRef) -> Placement {
    let placement = placement(&scene.request(reference).await);
    scene.store().placed(reference.clone(), placement.clone()).await.unwrap();
    placement
}

pub async fn a_new_request_is_told_at_once_and_remembered_until_it_is_placed<S: StoreUnderTest>() {
    let (mut scene, mut told) = scene::<S>().await;
    let mut placements = scene.store().placements();
    let reference = scene.fire(&alert()).await.request.unwrap();
    heard(&mut told, &reference).await;
    assert_eq!(scene.request(&reference).await.placement, None);

    // Whoever was told is gone.
    scene.crash().await;
    let mut told = scene.store().unpublished().unwrap();
    heard(&mut told, &reference).await;

    if placements.try_recv().is_ok() {
        panic!("nothing was placed");
    }
    let mut placements = scene.store().placements();
    let placement = publish(&scene, &reference).await;
    assert_eq!(placements.recv().await.unwrap(), reference);
    assert_eq!(scene.request(&reference).await.placement, Some(placement));
    assert_eq!(all_told(&mut scene, &mut told).await, []);
    scene.restart().await;
    let mut told = scene.store().unpublished().unwrap();
    assert_eq!(all_told(&mut scene, &mut told).await, []);
}

pub async fn an_update_is_told_when_its_flush_is_due_and_survives_a_crash<S: StoreUnderTest>() {
    let (mut scene, mut told) = scene::<S>().await;
    let reference = scene.fire(&alert()).await.request.unwrap();
    heard(&mut told, &reference).await;
    publish(&scene, &reference).await;
    scene.send(&alert()).await;
    scene.crash().await;
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    let mut told = scene.store().unpublished().unwrap();
    heard(&mut told, &reference).await;
    publish(&scene, &reference).await;
    assert_eq!(all_told(&mut scene, &mut told).await, []);
}

pub async fn a_note_of_an_earlier_change_changes_nothing<S: StoreUnderTest>() {
    let (mut scene, mut told) = scene::<S>().await;
    let reference = scene.fire(&alert()).await.request.unwrap();
    let early = publish(&scene, &reference).await;
    scene.send(&alert()).await;
    all_told(&mut scene, &mut told).await;
    let late = publish(&scene, &reference).await;
    assert!(late.sequence > early.sequence);
    scene.store().placed(reference.clone(), early).await.unwrap();
    assert_eq!(scene.request(&reference).await.placement, Some(late));
}

pub async fn an_early_note_does_not_settle_a_later_change<S: StoreUnderTest>() {
    let (mut scene, _) = scene::<S>().await;
    let reference = scene.fire(&alert()).await.request.unwrap();
    let early = placement(&scene.request(&reference).await);
    scene.send(&alert()).await;
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    scene.store().placed(reference.clone(), early).await.unwrap();
    scene.crash().await;
    let mut told = scene.store().unpublished().unwrap();
    heard(&mut told, &reference).await;
}

pub async fn a_deleted_request_releases_its_problem_without_a_cooldown<S: StoreUnderTest>() {
    let (mut scene, mut told) = scene::<S>().await;
    let reference = scene.fire(&alert()).await.request.unwrap();
    publish(&scene, &reference).await;
    assert_eq!(scene.fire(&alert()).await.kind, Duplicate);
    assert!(scene.store().deleted(reference.clone()).await.unwrap());
    assert!(!scene.store().deleted(reference.clone()).await.unwrap(), "that was no news");

    let again = scene.fire(&alert()).await;
    assert_eq!(again.kind, Created);
    let next = again.request.unwrap();
    assert_ne!(next, reference);
    publish(&scene, &next).await;
    let deleted = scene.request(&reference).await;
    assert!(deleted.placement.is_some_and(|placement| placement.deleted));
    assert_eq!(deleted.status.and_then(|status| status.overall_phase).as_deref(), Some("Cancelled"));
    let told_of_both = all_told(&mut scene, &mut told).await;
    assert_eq!(told_of_both.into_iter().filter(|it| *it == reference).count(), 1, "only when it was new");
    assert_eq!(all_told(&mut scene, &mut told).await, []);
    scene.crash().await;
    let mut told = scene.store().unpublished().unwrap();
    assert_eq!(all_told(&mut scene, &mut told).await, [], "it is not to be published again");
}

pub async fn a_request_that_was_never_published_cannot_be_deleted<S: StoreUnderTest>() {
    let (scene, _) = scene::<S>().await;
    let reference = scene.fire(&alert()).await.request.unwrap();
    assert!(!scene.store().deleted(reference.clone()).await.unwrap());
    assert_eq!(scene.fire(&alert()).await.kind, Duplicate);
}

pub async fn deleting_the_request_of_a_storm_ends_it<S: StoreUnderTest>() {
    let (scene, _) = scene::<S>().await;
    let pods: Vec<Alert> = (0..4).map(|nth| Alert::new("shop", "Crash", &format!("web-{nth}"))).collect();
    let decisions = scene.fire_each(&pods).await;
    let storm = decisions[3].request.clone().unwrap();
    publish(&scene, &storm).await;
    assert!(scene.store().deleted(storm.clone()).await.unwrap());
    let again = scene.fire(&pods[3]).await;
    assert_eq!(again.kind, Created);
    assert_ne!(again.request, Some(storm));
}

pub async fn what_is_not_published_is_kept_beyond_its_retention<S: StoreUnderTest>() {
    let (mut scene, _) = scene::<S>().await;
    scene.change_policy(|policy| policy.retention = MINUTE);
    let reference = scene.fire(&alert()).await.request.unwrap();
    scene.report(&reference, "Completed").await;
    for _ in 0..3 {
        scene.pass(10 * MINUTE);
        scene.subject.settle().await;
    }
    publish(&scene, &reference).await;
    eventually("a request that was published leaves", async || {
        scene.pass(MINUTE);
        scene.subject.settle().await;
        let left = scene.requests().await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

pub async fn nothing_is_told_when_requests_live_in_the_store<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut told = scene.store().unpublished().unwrap();
    assert!(scene.store().unpublished().is_none(), "there is one to take");
    let reference = scene.fire(&alert()).await.request.unwrap();
    assert_eq!(all_told(&mut scene, &mut told).await, []);

    // Whoever turns publishing on later finds what is there already.
    scene.policy.published = true;
    scene.restart().await;
    let mut told = scene.store().unpublished().unwrap();
    scene.subject.settle().await;
    heard(&mut told, &reference).await;
}
