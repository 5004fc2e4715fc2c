//! What others do to the objects.

use seawall_model::RequestRef;
use seawall_testkit::eventually;
use serde_json::json;

use crate::fake::record;
use crate::scene::{SOON, Scene};

async fn phase(scene: &Scene, request: &RequestRef, expected: Option<&str>) {
    eventually(SOON, || async {
        let phase = scene.store.phase(request);
        if phase.as_deref() == expected { Ok(()) } else { Err(format!("{phase:?}")) }
    })
    .await;
}

async fn deleted(scene: &Scene, request: &RequestRef) {
    eventually(SOON, || async {
        let deleted = scene.store.placement(request).is_some_and(|placement| placement.deleted);
        deleted.then_some(()).ok_or("not noticed yet")
    })
    .await;
}

#[tokio::test]
async fn phases_that_a_worker_sets_reach_the_store() {
    let scene = Scene::start().await;
    let (here, displaced) = (record("prod", "web-1"), record("nowhere", "web-1"));
    for record in [&here, &displaced] {
        scene.store.put(record);
        let place = scene.placed(&record.doc.reference, 1).await;
        let status = json!({"status": {"overallPhase": "Executing", "message": "at it"}});
        scene.patch(&place, Some("status"), &status);
        phase(&scene, &record.doc.reference, Some("Executing")).await;
        let status = json!({"status": {"overallPhase": "Completed", "message": null}});
        scene.patch(&place, Some("status"), &status);
        phase(&scene, &record.doc.reference, Some("Completed")).await;
        assert_eq!(scene.store.get(&record.doc.reference).status.unwrap().message, None);
    }
}

#[tokio::test]
async fn a_deletion_is_noticed_at_once() {
    let scene = Scene::start().await;
    let record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    scene.delete(&place);
    deleted(&scene, &record.doc.reference).await;
    assert_eq!(scene.stats().deleted, 1);
}

#[tokio::test]
async fn an_object_that_lost_our_label_was_not_deleted() {
    let scene = Scene::start().await;
    let (mut one, other) = (record("prod", "web-1"), record("prod", "web-2"));
    for record in [&one, &other] {
        scene.store.put(record);
        scene.placed(&record.doc.reference, 1).await;
    }
    scene.patch(
        &one.doc.reference,
        None,
        &json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
    );
    // Deletions are handled in order, so when the second one was noticed the first one was looked at.
    scene.delete(&other.doc.reference);
    deleted(&scene, &other.doc.reference).await;
    assert!(!scene.store.placement(&one.doc.reference).unwrap().deleted);
    one.state.sequence = 2;
    scene.store.put(&one);
    scene.placed(&one.doc.reference, 2).await;
    let object = scene.object(&one.doc.reference);
    assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "seawall");
}

#[tokio::test]
async fn what_happened_while_nobody_watched_is_found_out() {
    let mut scene = Scene::start().await;
    let (finished, gone) = (record("prod", "web-1"), record("nowhere", "web-2"));
    for record in [&finished, &gone] {
        scene.store.put(record);
        scene.placed(&record.doc.reference, 1).await;
    }
    scene.stop_sink().await;
    scene.patch(&finished.doc.reference, Some("status"), &json!({"status": {"overallPhase": "Completed"}}));
    let place = RequestRef { namespace: "seawall".into(), id: gone.doc.reference.id };
    scene.delete(&place);

    scene.restart_sink();
    phase(&scene, &finished.doc.reference, Some("Completed")).await;
    deleted(&scene, &gone.doc.reference).await;
    assert!(!scene.store.placement(&finished.doc.reference).unwrap().deleted);
}

#[tokio::test]
async fn the_watch_goes_on_after_the_server_was_away() {
    let mut scene = Scene::start().await;
    let record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    scene.plane.restart_apiserver().await;
    scene.patch(&place, Some("status"), &json!({"status": {"overallPhase": "Executing"}}));
    phase(&scene, &record.doc.reference, Some("Executing")).await;
}

#[tokio::test]
async fn an_object_that_a_late_writer_took_back_is_written_again() {
    let scene = Scene::start().await;
    let mut record = record("prod", "web-1");
    record.state.sequence = 9;
    record.state.occurrences = 9;
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 9).await;
    record.state.sequence = 3;
    record.state.occurrences = 3;
    let mut late = seawall_model::build_request(&record.doc, &record.state, None);
    (late.metadata.resource_version, late.metadata.creation_timestamp) = (None, None);
    let late = serde_json::to_string(&late).unwrap();
    let apply = ["apply", "--server-side", "--field-manager=seawall", "-f", "-"];
    scene.plane.kubectl_as(&scene.plane.kubeconfig(), &apply, &late).unwrap();
    eventually(SOON, || async {
        let count = scene.object(&place)["spec"]["deduplication"]["occurrenceCount"].clone();
        if count == 9 { Ok(()) } else { Err(count) }
    })
    .await;
}
