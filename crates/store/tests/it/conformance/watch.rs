//! What watchers are told, and how they find out what they missed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seawall_model::RequestRef;
use seawall_store::{Change, ChangeKind, Page, RequestFilter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::support::{Alert, MINUTE, SECOND, Scene, StoreUnderTest, pods, storm_of};

use ChangeKind::{Added, Modified};

const PATIENCE: Duration = Duration::from_secs(20);

async fn next(changes: &mut Receiver<Change>) -> Change {
    let change = tokio::time::timeout(PATIENCE, changes.recv()).await.expect("watchers are told");
    change.expect("nothing was missed")
}

/// Everything that is told until a new request shows that nothing else is on its way.
async fn told<S: StoreUnderTest>(scene: &Scene<S>, changes: &mut Receiver<Change>) -> Vec<Change> {
    scene.subject.settle().await;
    static MARKERS: AtomicUsize = AtomicUsize::new(0);
    // Each in a namespace of its own, so that no rule holds it back.
    let namespace = format!("marker-{}", MARKERS.fetch_add(1, Ordering::Relaxed));
    let marker = scene.fire(&Alert::new(&namespace, "Marker", "web-0")).await.request.unwrap();
    let mut told = Vec::new();
    loop {
        let change = next(changes).await;
        if change.reference == marker {
            return told;
        }
        if !change.reference.namespace.starts_with("marker-") {
            told.push(change);
        }
    }
}

fn kinds(changes: &[Change]) -> Vec<ChangeKind> {
    changes.iter().map(|change| change.kind).collect()
}

pub async fn a_watcher_hears_of_a_new_request_at_once<S: StoreUnderTest>() {
    let scene = Scene::<S>::start().await;
    let mut changes = scene.store().changes();
    let created = scene.fire(&Alert::new("shop", "Crash", "web-0")).await;
    let change = next(&mut changes).await;
    assert_eq!((change.kind, Some(change.reference)), (Added, created.request));
    assert!(change.deleted.is_none());
}

pub async fn repeats_are_told_at_most_once_per_flush_interval<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::without_rules().await;
    let mut changes = scene.store().changes();
    let alert = Alert::new("shop", "Crash", "web-0");
    scene.send(&alert).await;
    assert_eq!(kinds(&told(&scene, &mut changes).await), [Added]);
    for _ in 0..5 {
        for _ in 0..10 {
            scene.send(&alert).await;
        }
        assert!(told(&scene, &mut changes).await.is_empty(), "the interval is not over");
        scene.pass(SECOND);
        assert_eq!(kinds(&told(&scene, &mut changes).await), [Modified]);
    }
    scene.pass(MINUTE);
    assert!(told(&scene, &mut changes).await.is_empty(), "nothing changed");
}

pub async fn a_repeat_after_a_pause_is_told_at_once<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::without_rules().await;
    let mut changes = scene.store().changes();
    let alert = Alert::new("shop", "Crash", "web-0");
    scene.send(&alert).await;
    assert_eq!(kinds(&told(&scene, &mut changes).await), [Added]);
    for round in 0..3 {
        scene.pass(SECOND);
        let decision = scene.fire(&alert).await;
        let change = next(&mut changes).await;
        assert_eq!((change.kind, Some(&change.reference)), (Modified, decision.request.as_ref()));
        let state = scene.request(&change.reference).await.state;
        assert_eq!(state.occurrences, 2 * round + 2);
        assert!(state.sequence >= change.revision);
        // So soon after it the next one waits, and is told once.
        scene.pass(SECOND / 2);
        scene.send(&alert).await;
        assert!(told(&scene, &mut changes).await.is_empty(), "the interval is not over");
        scene.pass(SECOND / 2);
        assert_eq!(kinds(&told(&scene, &mut changes).await), [Modified]);
    }
}

pub async fn a_growing_storm_is_told_at_most_once_per_flush_interval<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut changes = scene.store().changes();
    let alerts = pods("shop", "Crash", 100);
    let mut modified = 0;
    for ten in alerts.chunks(10) {
        scene.fire_each(ten).await;
        modified += told(&scene, &mut changes).await.iter().filter(|it| it.kind == Modified).count();
        scene.pass(SECOND / 2);
    }
    scene.pass(SECOND);
    modified += told(&scene, &mut changes).await.len();
    assert!((2..=6).contains(&modified), "{modified} updates in six seconds");
}

pub async fn reports_of_workers_are_told_at_most_once_per_flush_interval<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut references = Vec::new();
    for alert in pods("shop", "Crash", 10) {
        references.extend(scene.fire(&alert).await.request);
        scene.pass(2 * SECOND);
    }
    scene.subject.settle().await;
    let mut changes = scene.store().changes();
    // The first is the storm's, the second is superseded.
    assert!(scene.request(&references[1]).await.state.superseded_by.is_some());
    for reference in &references[..2] {
        for nth in 0..5 {
            scene.report(reference, ["Processing", "Analyzing"][nth % 2]).await;
        }
        let mut modified = told(&scene, &mut changes).await.len();
        scene.pass(SECOND);
        modified += told(&scene, &mut changes).await.len();
        assert!((1..=2).contains(&modified), "{modified} updates of {reference} in one interval");
    }
}

pub async fn a_held_request_is_told_when_it_comes_to_exist<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut changes = scene.store().changes();
    let alerts = pods("shop", "Crash", 2);
    scene.fire_each(&alerts).await;
    scene.send(&alerts[1]).await;
    assert_eq!(kinds(&told(&scene, &mut changes).await), [Added]);
    scene.pass(SECOND);
    let published = told(&scene, &mut changes).await;
    assert_eq!(kinds(&published), [Added]);
    assert_eq!(scene.request(&published[0].reference).await.state.occurrences, 2);
}

pub async fn the_end_of_a_storm_is_told<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    scene.fire_each(&pods("shop", "Crash", 10)).await;
    let storm = scene.only_request().await.doc.reference;
    scene.pass(2 * SECOND);
    scene.subject.settle().await;
    let mut changes = scene.store().changes();
    scene.pass(5 * MINUTE);
    scene.subject.settle().await;
    scene.pass(SECOND);
    let told = told(&scene, &mut changes).await;
    assert_eq!(kinds(&told), [Modified]);
    assert_eq!(told[0].reference, storm);
    assert!(storm_of(&scene.request(&storm).await).ended_at.is_some());
}

pub async fn revisions_only_grow<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut last = 0;
    for _ in 0..3 {
        let mut changes = scene.store().changes();
        for round in 0..10 {
            scene.fire_at_once(&pods(&format!("shop-{round}"), "Crash", 12)).await;
            scene.pass(SECOND);
            for change in told(&scene, &mut changes).await {
                assert!(change.revision >= last, "{change:?} after {last}");
                last = change.revision;
            }
        }
        let page =
            scene.store().requests(RequestFilter::default(), Page { limit: 1, after: None }).await.unwrap();
        assert!(page.revision >= last);
        scene.crash().await;
    }
}

pub async fn whoever_lagged_behind_lists_what_was_missed<S: StoreUnderTest>() {
    let scene = Scene::<S>::without_rules().await;
    let mut changes = scene.store().changes();
    scene.send(&Alert::new("shop", "Crash", "seen")).await;
    let seen = next(&mut changes).await;
    let alerts = pods("shop", "Crash", 20_000);
    for batch in alerts.chunks(5_000) {
        scene.fire_together(batch).await;
    }
    assert!(matches!(changes.try_recv(), Err(TryRecvError::Lagged(_))), "nobody waits for a slow watcher");
    let filter = RequestFilter { since: Some(seen.revision), ..RequestFilter::default() };
    let missed = scene.store().requests(filter, Page { limit: 30_000, after: None }).await.unwrap();
    let missed: HashSet<_> = missed.items.into_iter().map(|request| request.doc.fingerprint).collect();
    let expected: HashSet<_> = alerts.iter().map(Alert::fingerprint).collect();
    assert_eq!(missed, expected);
}

/// A watcher that keeps the newest revision it heard of, is cut off by crashes, and resumes with `since`, ends with the
/// same picture as a list, also when changes were not told yet when the crash came.
pub async fn whoever_comes_back_after_a_crash_misses_nothing<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut picture: HashMap<RequestRef, u64> = HashMap::new();
    let mut revision = 0;
    for round in 0..6 {
        let mut changes = scene.store().changes();
        let filter = RequestFilter { since: Some(revision), ..RequestFilter::default() };
        let page = scene.store().requests(filter, Page { limit: 1000, after: None }).await.unwrap();
        revision = page.revision;
        let resumed = page.items.into_iter().map(|it| (it.doc.reference, it.state.occurrences));
        picture.extend(resumed);
        let listed = scene.requests().await;
        assert_eq!(listed.len(), picture.len(), "round {round}");
        for request in listed {
            assert_eq!(
                picture.get(&request.doc.reference),
                Some(&request.state.occurrences),
                "round {round}"
            );
        }
        scene.fire_each(&pods("shop", "Crash", 2 + 3 * round)).await;
        scene.fire_each(&pods(&format!("pay-{round}"), "Crash", 3)).await;
        scene.pass(SECOND);
        scene.subject.settle().await;
        scene.fire_each(&pods("shop", "Crash", 1)).await;
        while let Ok(change) = changes.try_recv() {
            revision = revision.max(change.revision);
            let state = scene.request(&change.reference).await.state;
            picture.insert(change.reference, state.occurrences);
        }
        // Counted and answered, but the flush of it is still to come.
        scene.fire_each(&pods("shop", "Crash", 2)).await;
        scene.crash().await;
    }
}

pub async fn what_is_told_can_be_read<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut changes = scene.store().changes();
    for round in 0..5 {
        scene.fire_each(&pods(&format!("shop-{round}"), "Crash", 4)).await;
        scene.pass(SECOND);
        for change in told(&scene, &mut changes).await {
            let state = scene.request(&change.reference).await.state;
            assert!(state.sequence >= change.revision, "{} of {change:?}", state.sequence);
        }
    }
}
