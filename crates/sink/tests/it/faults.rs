//! An API server that is not well.

use std::num::NonZeroU32;
use std::time::Duration;

use seawall_store::Sink;
use seawall_testkit::kubernetes::{FakeApi, Fault, Moment, Verb};
use seawall_testkit::{Deadline, eventually};

use crate::fake::record;
use crate::scene::{SOON, Scene};

/// Puts one request, its later versions too, and waits until it is as it should be.
async fn publish(scene: &Scene<FakeApi>, versions: u64) {
    let mut record = record("prod", "web-1");
    for sequence in 1..=versions {
        record.state.sequence = sequence;
        record.state.occurrences = sequence;
        scene.store.put(&record);
        scene.placed(&record.doc.reference, sequence).await;
    }
    let object = scene.plane.get("prod", &record.doc.reference.id.to_string()).unwrap();
    assert_eq!(object["spec"]["deduplication"]["occurrenceCount"], versions);
}

#[tokio::test]
async fn a_write_without_an_answer_is_looked_up_before_anything_else() {
    let faults = [
        Fault::Fail { code: 500, moment: Moment::AfterCommit },
        Fault::Fail { code: 504, moment: Moment::AfterCommit },
        Fault::Reset { moment: Moment::AfterCommit },
    ];
    for fault in faults {
        let scene = Scene::fake(|settings| settings.watch = false).await;
        scene.plane.inject(&[Verb::Apply], 0, fault.clone());
        publish(&scene, 1).await;
        let history = scene.plane.history();
        assert_eq!(history.writes().len(), 1, "{fault:?}: {history:?}");
        assert_eq!((scene.stats().created, scene.plane.count(Verb::Apply)), (1, 1), "{fault:?}");
        assert!(scene.plane.count(Verb::Get) >= 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_write_that_failed_is_done_again() {
    let faults = [
        Fault::Fail { code: 503, moment: Moment::BeforeCommit },
        Fault::Reset { moment: Moment::BeforeCommit },
        Fault::Conflict,
    ];
    for fault in faults {
        let scene = Scene::fake(|settings| settings.watch = false).await;
        // The second write is an update.
        scene.plane.inject(&[Verb::Apply], 1, fault);
        publish(&scene, 3).await;
        assert_eq!((scene.plane.history().creates(), scene.plane.history().updates()), (1, 2));
        assert!(scene.plane.history().step_back().is_none());
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_on_in_time() {
    let scene = Scene::fake(|settings| settings.watch = false).await;
    scene.plane.inject(&[Verb::Apply], 0, Fault::Hang { moment: Moment::AfterCommit });
    publish(&scene, 1).await;
    assert_eq!(scene.plane.history().writes().len(), 1);
    assert!(scene.errors("ambiguous"));
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let scene = Scene::fake(|settings| settings.watch = false).await;
    scene.plane.inject(&[Verb::Apply], 0, Fault::Throttle { retry_after: Duration::from_secs(2) });
    let waited = Deadline::after(Duration::from_secs(2));
    publish(&scene, 1).await;
    assert!(waited.is_over(), "{:?}", waited.elapsed());
    assert!(scene.errors("throttled"));
    assert!(!scene.sink().health().suspended);
}

#[tokio::test]
async fn a_server_that_is_down_is_left_alone_and_everything_follows() {
    let scene = Scene::fake(|settings| {
        settings.watch = false;
        settings.publish.breaker_open = Duration::from_secs(1);
    })
    .await;
    scene
        .plane
        .inject_always(&[Verb::Apply, Verb::Get], Fault::Fail { code: 503, moment: Moment::BeforeCommit });
    let records: Vec<_> = (0..100).map(|pod| record("prod", &format!("web-{pod}"))).collect();
    for record in &records {
        scene.store.put(record);
    }
    eventually(SOON, || async { scene.sink().health().suspended.then_some(()).ok_or("not yet") }).await;
    let asked = scene.plane.count(Verb::Apply) + scene.plane.count(Verb::Get);
    assert!(asked < 20, "{asked} calls for a server that is down");
    scene.plane.heal();
    for record in &records {
        scene.placed(&record.doc.reference, 1).await;
    }
    assert_eq!(scene.plane.history().creates(), 100);
    assert_eq!(scene.sink().health().problem.filter(|problem| problem.contains("prod/")), None);
}

/// Longer than any wait of a test: nothing follows that has to wait for it.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_server_that_is_back_is_noticed_before_its_time_and_without_the_watch() {
    let scene = Scene::fake(|settings| {
        settings.watch = false;
        settings.publish.breaker_open = NEVER;
    })
    .await;
    scene.plane.inject_always(&Verb::ALL, Fault::Fail { code: 503, moment: Moment::BeforeCommit });
    let records: Vec<_> = (0..100).map(|pod| record("prod", &format!("web-{pod}"))).collect();
    for record in &records {
        scene.store.put(record);
    }
    eventually(SOON, || async { scene.sink().health().suspended.then_some(()).ok_or("not yet") }).await;
    // It has been asked in vain.
    eventually(SOON, || async { (scene.plane.count(Verb::List) > 1).then_some(()).ok_or("not asked") }).await;
    scene.plane.heal();
    for record in &records {
        scene.placed(&record.doc.reference, 1).await;
    }
}

#[tokio::test]
async fn a_server_that_answers_and_does_not_write_is_left_alone_all_the_same() {
    let scene = Scene::fake(|settings| {
        settings.watch = false;
        settings.publish.breaker_open = NEVER;
    })
    .await;
    scene
        .plane
        .inject_always(&[Verb::Apply, Verb::Get], Fault::Fail { code: 503, moment: Moment::BeforeCommit });
    for pod in 0..100 {
        scene.store.put(&record("prod", &format!("web-{pod}")));
    }
    eventually(SOON, || async { scene.sink().health().suspended.then_some(()).ok_or("not yet") }).await;
    eventually(SOON, || async { (scene.plane.count(Verb::List) > 3).then_some(()).ok_or("not asked") }).await;
    let asked = scene.plane.count(Verb::Apply) + scene.plane.count(Verb::Get);
    assert!(asked < 20, "{asked} calls for a server that does not write");
    assert!(scene.sink().health().suspended);
}

#[tokio::test]
async fn news_during_a_write_become_one_more() {
    let scene = Scene::fake(|settings| settings.watch = false).await;
    scene.plane.inject(&[Verb::Apply], 0, Fault::Slow(Duration::from_secs(1)));
    let mut record = record("prod", "web-1");
    for sequence in 1..=200 {
        record.state.sequence = sequence;
        scene.store.put(&record);
    }
    scene.placed(&record.doc.reference, 200).await;
    assert!(scene.plane.count(Verb::Apply) <= 3, "{} writes", scene.plane.count(Verb::Apply));
}

#[tokio::test]
async fn no_more_calls_are_made_than_allowed() {
    let few = NonZeroU32::new(10).unwrap();
    let scene =
        Scene::fake(|settings| (settings.qps, settings.burst, settings.watch) = (few, few, false)).await;
    let records: Vec<_> = (0..30).map(|pod| record("prod", &format!("web-{pod}"))).collect();
    let two_seconds = Deadline::after(Duration::from_millis(1_800));
    for record in &records {
        scene.store.put(record);
    }
    for record in &records {
        scene.placed(&record.doc.reference, 1).await;
    }
    assert!(two_seconds.is_over(), "30 writes at 10 a second took {:?}", two_seconds.elapsed());
}

#[tokio::test]
async fn a_watch_that_missed_something_lists_again() {
    let scene = Scene::fake(|_| {}).await;
    let (kept, gone) = (record("prod", "web-1"), record("prod", "web-2"));
    for record in [&kept, &gone] {
        scene.store.put(record);
        scene.placed(&record.doc.reference, 1).await;
    }
    eventually(SOON, || async { (scene.plane.count(Verb::Watch) > 0).then_some(()).ok_or("not yet") }).await;
    scene
        .plane
        .inject_always(&[Verb::Watch, Verb::List], Fault::Fail { code: 503, moment: Moment::BeforeCommit });
    scene.plane.drop_watches();
    scene.plane.delete("prod", &gone.doc.reference.id.to_string());
    scene.plane.watch_gap();
    scene.plane.heal();
    eventually(SOON, || async {
        let deleted = scene.store.placement(&gone.doc.reference).is_some_and(|placement| placement.deleted);
        deleted.then_some(()).ok_or("not noticed yet")
    })
    .await;
    assert!(!scene.store.placement(&kept.doc.reference).unwrap().deleted);
}

#[tokio::test]
async fn whoever_waits_for_a_request_learns_that_it_exists() {
    let scene = Scene::fake(|settings| settings.watch = false).await;
    scene.plane.inject(&[Verb::Apply], 0, Fault::Slow(Duration::from_millis(300)));
    let (here, displaced, never) =
        (record("prod", "web-1"), record("nowhere", "web-2"), record("prod", "web-3"));
    let requests = [&here, &displaced, &never].map(|record| record.doc.reference.clone());
    let waiting = scene.sink().existing(requests.to_vec());
    scene.store.put(&here);
    scene.store.put(&displaced);
    let mut existing = waiting.await;
    existing.sort_by(|one, other| other.request.namespace.cmp(&one.request.namespace));
    let places: Vec<_> = existing.iter().map(|existing| &*existing.place.namespace).collect();
    assert_eq!(places, ["prod", "seawall"]);
}
