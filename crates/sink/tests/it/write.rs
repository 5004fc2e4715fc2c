//! What is written, and what refusals lead to.

use seawall_model::{RequestId, RequestRef};
use seawall_store::Sink;
use seawall_testkit::eventually;
use serde_json::json;

use crate::fake::record;
use crate::scene::{SOON, Scene};

#[tokio::test]
async fn a_request_becomes_an_object_and_its_news_become_updates() {
    let scene = Scene::start().await;
    let mut record = record("prod", "web-1");
    let request = record.doc.reference.clone();
    scene.store.put(&record);
    let place = scene.placed(&request, 1).await;
    assert_eq!(place, request);
    let object = scene.object(&place);
    assert_eq!(object["spec"]["signalFingerprint"], record.doc.fingerprint.to_string());
    assert_eq!(object["spec"]["deduplication"]["occurrenceCount"], 1);
    assert_eq!(object["metadata"]["managedFields"][0]["manager"], "seawall");
    assert_eq!(object["metadata"]["managedFields"][0]["operation"], "Apply");
    assert!(object.get("status").is_none(), "{object}");

    record.state.occurrences = 7;
    record.state.sequence = 2;
    scene.store.put(&record);
    scene.placed(&request, 2).await;
    let object = scene.object(&place);
    assert_eq!(object["spec"]["deduplication"]["occurrenceCount"], 7);
    assert_eq!(object["metadata"]["annotations"]["remediation.kubernaut.io/sequence"], "2");
    assert_eq!((scene.stats().created, scene.stats().updated), (1, 1));
}

#[tokio::test]
async fn what_others_write_on_an_object_stays() {
    let scene = Scene::start().await;
    let mut record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    scene.patch(&place, None, &json!({"metadata": {"labels": {"team": "shop"}}}));
    scene.patch(&place, Some("status"), &json!({"status": {"overallPhase": "Executing"}}));
    record.state.sequence = 2;
    record.state.occurrences = 2;
    scene.store.put(&record);
    scene.placed(&record.doc.reference, 2).await;
    let object = scene.object(&place);
    assert_eq!(object["metadata"]["labels"]["team"], "shop");
    assert_eq!(object["status"]["overallPhase"], "Executing");
    assert_eq!(object["spec"]["deduplication"]["occurrenceCount"], 2);
}

#[tokio::test]
async fn a_field_that_somebody_else_owns_is_left_to_them_and_reported() {
    let scene = Scene::start().await;
    let mut record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    scene.patch(&place, None, &json!({"spec": {"environment": "theirs"}}));
    record.state.sequence = 2;
    scene.store.put(&record);
    eventually(SOON, || async { scene.errors("foreign_manager").then_some(()).ok_or("not reported yet") })
        .await;
    assert_eq!(scene.object(&place)["spec"]["environment"], "theirs");
    eventually(SOON, || async {
        let problem = scene.sink().health().problem.unwrap_or_default();
        if problem.contains("environment") { Ok(()) } else { Err(problem) }
    })
    .await;
}

#[tokio::test]
async fn a_missing_namespace_sends_a_request_to_the_fallback_one_where_it_stays() {
    let scene = Scene::start().await;
    let mut record = record("nowhere", "web-1");
    let request = record.doc.reference.clone();
    scene.store.put(&record);
    let place = scene.placed(&request, 1).await;
    assert_eq!(place, RequestRef { namespace: "seawall".into(), id: request.id });
    let object = scene.object(&place);
    assert_eq!(object["metadata"]["labels"]["kubernaut.io/origin-namespace"], "nowhere");
    assert_eq!(object["metadata"]["annotations"]["remediation.kubernaut.io/request"], request.to_string());

    scene.plane.namespace("nowhere");
    record.state.sequence = 2;
    scene.store.put(&record);
    assert_eq!(scene.placed(&request, 2).await, place);
}

#[tokio::test]
async fn a_terminating_namespace_is_as_good_as_none() {
    let scene = Scene::start().await;
    let finalizer = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "keeps", "namespace": "prod", "finalizers": ["example.com/keeps"]}});
    scene.plane.apply(&finalizer.to_string());
    // Without a namespace controller it terminates for ever.
    scene.plane.kubectl(&["delete", "namespace", "prod", "--wait=false"]);
    let record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    assert_eq!(place.namespace, "seawall");
}

#[tokio::test]
async fn a_missing_fallback_namespace_is_said_and_the_request_follows_when_it_is_there() {
    let scene = Scene::with(|settings| settings.fallback_namespace = Some("later".into())).await;
    let record = record("nowhere", "web-1");
    scene.store.put(&record);
    eventually(SOON, || async {
        let problem = scene.sink().health().problem.unwrap_or_default();
        if problem.contains("\"later\" not found") { Ok(()) } else { Err(problem) }
    })
    .await;
    scene.plane.namespace("later");
    assert_eq!(scene.placed(&record.doc.reference, 1).await.namespace, "later");
}

#[tokio::test]
async fn a_name_that_another_problem_has_is_passed_over() {
    let scene = Scene::start().await;
    let (record, other) = (record("prod", "web-1"), record("prod", "web-2"));
    let mut taken = seawall_model::build_request(&other.doc, &other.state, None);
    taken.metadata.name = Some(record.doc.reference.id.to_string());
    (taken.metadata.resource_version, taken.metadata.creation_timestamp) = (None, None);
    scene.plane.apply(&serde_json::to_string(&taken).unwrap());
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    let RequestId { prefix, generation } = record.doc.reference.id;
    assert_eq!(place.id, RequestId { prefix, generation: generation + 1 });
    assert_eq!(scene.object(&place)["spec"]["signalFingerprint"], record.doc.fingerprint.to_string());
    let taken = scene.object(&record.doc.reference);
    assert_eq!(taken["spec"]["signalFingerprint"], other.doc.fingerprint.to_string(), "never merged");
    assert!(scene.errors("name_taken"));
}

#[tokio::test]
async fn a_request_that_exists_already_with_the_same_identity_is_taken_over() {
    let mut scene = Scene::start().await;
    let mut record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    let uid = scene.object(&place)["metadata"]["uid"].clone();
    scene.stop_sink().await;

    scene.store = std::sync::Arc::default();
    scene.start_sink();
    record.state.sequence = 5;
    scene.store.put(&record);
    assert_eq!(scene.placed(&record.doc.reference, 5).await, place);
    assert_eq!(scene.object(&place)["metadata"]["uid"], uid);
}

#[tokio::test]
async fn a_late_writer_stands_down() {
    let mut scene = Scene::start().await;
    let mut record = record("prod", "web-1");
    record.state.sequence = 9;
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 9).await;
    scene.stop_sink().await;

    // Somebody whose state is older, and who knows of the object.
    scene.store = std::sync::Arc::default();
    let placement = seawall_store::Placement {
        namespace: place.namespace.clone(),
        name: place.id.to_string().into(),
        uid: "".into(),
        sequence: 3,
        deleted: false,
    };
    record.placement = Some(placement);
    record.state.sequence = 4;
    record.state.occurrences = 99;
    scene.start_sink();
    scene.store.put(&record);
    scene.placed(&record.doc.reference, 9).await;
    assert_eq!(scene.object(&place)["spec"]["deduplication"]["occurrenceCount"], 1);
}

#[tokio::test]
async fn a_request_that_a_person_deleted_is_not_made_again() {
    let scene = Scene::with(|settings| settings.watch = false).await;
    let mut record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    scene.delete(&place);
    record.state.sequence = 2;
    scene.store.put(&record);
    eventually(SOON, || async {
        let deleted = scene.store.placement(&record.doc.reference).is_some_and(|placement| placement.deleted);
        deleted.then_some(()).ok_or("not noticed yet")
    })
    .await;
    assert!(scene.try_object(&place).unwrap_err().contains("NotFound"));
    assert_eq!(scene.stats().deleted, 1);
}

#[tokio::test]
async fn a_full_quota_is_said_in_the_words_of_the_server_and_the_request_follows() {
    let scene = Scene::start().await;
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": "prod"},
        "spec": {"hard": {"count/remediationrequests.remediation.kubernaut.io": "1"}}});
    scene.plane.apply(&quota.to_string());
    let (first, second) = (record("prod", "web-1"), record("prod", "web-2"));
    // Without a controller nobody counts, and the server lets nothing in before somebody has.
    let status = json!({"status": {"hard": {"count/remediationrequests.remediation.kubernaut.io": "1"},
        "used": {"count/remediationrequests.remediation.kubernaut.io": "0"}}});
    let patch = status.to_string();
    scene.plane.kubectl(&[
        "patch",
        "resourcequota",
        "few",
        "-n",
        "prod",
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ]);
    scene.store.put(&first);
    scene.placed(&first.doc.reference, 1).await;
    scene.store.put(&second);
    eventually(SOON, || async {
        let problem = scene.sink().health().problem.unwrap_or_default();
        if problem.contains("exceeded quota: few") { Ok(()) } else { Err(problem) }
    })
    .await;
    assert!(scene.errors("forbidden"));
    scene.plane.kubectl(&["delete", "resourcequota", "few", "-n", "prod"]);
    scene.placed(&second.doc.reference, 1).await;
}

#[tokio::test]
async fn an_object_that_the_server_refuses_does_not_keep_others_waiting() {
    let scene = Scene::start().await;
    let (mut bad, good) = (record("prod", "web-1"), record("prod", "web-2"));
    bad.doc.environment = "".into();
    scene.store.put(&bad);
    scene.store.put(&good);
    scene.placed(&good.doc.reference, 1).await;
    eventually(SOON, || async { scene.errors("invalid").then_some(()).ok_or("not reported yet") }).await;
    assert_eq!(scene.store.placement(&bad.doc.reference), None);
}

#[tokio::test]
async fn everything_is_published_after_the_server_was_away() {
    let mut scene = Scene::start().await;
    let first = record("prod", "web-0");
    scene.store.put(&first);
    scene.placed(&first.doc.reference, 1).await;
    scene.plane.kill_apiserver();
    let records: Vec<_> = (1..=50).map(|pod| record("prod", &format!("web-{pod}"))).collect();
    for record in &records {
        scene.store.put(record);
    }
    eventually(SOON, || async {
        let health = scene.sink().health();
        if health.suspended && health.pending == 50 { Ok(()) } else { Err(format!("{health:?}")) }
    })
    .await;
    let existing = scene.sink().existing(vec![first.doc.reference.clone(), records[0].doc.reference.clone()]);
    let existing = existing.await;
    assert_eq!(existing.len(), 1, "nobody waits for what cannot come");
    scene.plane.restart_apiserver().await;
    for record in &records {
        scene.placed(&record.doc.reference, 1).await;
    }
    assert_eq!(scene.stats().created, 51);
}
