//! Requests that are read back from the cluster.

use std::collections::BTreeSet;

use seawall_model::{
    Affected, Fingerprint, Identity, RemediationRequestStatus, RequestId, RequestRef, StormState,
    build_request,
};
use seawall_store::{RequestRecord, Sink};
use seawall_testkit::eventually;
use seawall_testkit::kubernetes::{Fault, Moment, Verb};
use serde_json::json;

use crate::fake::{NOW, record};
use crate::scene::{Plane, SOON, Scene};

/// A request about a problem of a cluster, or of something that is in no namespace.
fn record_of(cluster: &str, namespace: &str, kind: &str, name: &str) -> RequestRecord {
    let mut record = record(namespace, name);
    let problem = ["PodCrashLooping", namespace, kind, name];
    record.doc.fingerprint = Fingerprint::of((!cluster.is_empty()).then_some(cluster), problem, []);
    record.doc.identity = Identity { cluster: cluster.into(), kind: kind.into(), ..record.doc.identity };
    let id = RequestId::open(&record.doc.fingerprint, NOW, None);
    record.doc.reference = RequestRef::locate(namespace, id, "seawall");
    record
}

fn storm(members: u64) -> StormState {
    let affected = |number| Affected {
        kind: "Pod".into(),
        name: format!("web-{number}").into(),
        namespace: "prod".into(),
        first_seen: NOW,
        last_seen: NOW + 1_000,
        count: number + 1,
    };
    StormState {
        rule: "namespace-rate".into(),
        storm_type: "rate".into(),
        pattern: "PodCrashLooping in prod".into(),
        window: 90_000,
        group_by: vec![("alertname".into(), "PodCrashLooping".into()), ("namespace".into(), "prod".into())],
        alert_count: members,
        affected: (0..members).map(affected).collect(),
        truncated: false,
        first_seen: NOW,
        last_seen: NOW + 1_000,
        ended_at: None,
        successor: None,
        supersedes: (1..4).map(|prefix| RequestId { prefix, generation: 7 }).collect(),
    }
}

/// The open requests that are handed over, by name; none twice.
async fn open<P: Plane>(scene: &Scene<P>) -> Vec<RequestRecord> {
    let mut records = scene.store.adopted().await;
    records.sort_by(|one, other| one.doc.reference.cmp(&other.doc.reference));
    let names: BTreeSet<_> = records.iter().map(|record| &record.doc.reference).collect();
    assert_eq!(names.len(), records.len());
    records
}

#[tokio::test]
async fn open_requests_are_read_back_as_they_were_published() {
    let scene = Scene::start().await;
    let single = record("prod", "web-1");
    let mut leader = record("prod", "web-0");
    leader.state.storm = Some(storm(300));
    leader.state.occurrences = 1_234;
    leader.state.last_seen = NOW + 1_000;
    (leader.state.epoch, leader.state.sequence) = (3, 77);
    let mut superseded = record("prod", "web-2");
    superseded.state.superseded_by = Some(leader.doc.reference.id);
    superseded.state.related = vec![leader.doc.reference.id];
    let displaced = record("nowhere", "web-1");
    let node = record_of("", "", "Node", "node-1");
    let elsewhere = record_of("east", "prod", "Pod", "web-1");
    let not_a_name = record_of("", "Not A Name", "Pod", "web-1");
    let at_fallback = record("seawall", "web-1");
    let (worked_on, finished, dying) =
        (record("prod", "web-3"), record("prod", "web-4"), record("prod", "web-5"));
    let all =
        [&single, &leader, &superseded, &displaced, &node, &elsewhere, &not_a_name, &at_fallback, &worked_on];
    for record in all.into_iter().chain([&finished, &dying]) {
        scene.store.put(record);
        scene.placed(&record.doc.reference, record.state.sequence).await;
    }
    let place = |record: &RequestRecord| record.doc.reference.clone();
    for (record, phase) in [(&worked_on, "Executing"), (&finished, "Timed Out")] {
        scene.patch(&place(record), Some("status"), &json!({"status": {"overallPhase": phase}}));
        eventually(SOON, || async { scene.store.phase(&place(record)).ok_or("not reported yet") }).await;
    }
    scene.patch(&place(&dying), None, &json!({"metadata": {"finalizers": ["example.com/keeps"]}}));
    scene.plane.kubectl(&["delete", "rr", "-n", "prod", &place(&dying).id.to_string(), "--wait=false"]);
    // Somebody's own, and somebody's copy.
    for (namespace, name) in [("prod", "mine".to_owned()), ("default", single.doc.reference.id.to_string())] {
        let mut other = build_request(&single.doc, &single.state, None);
        other.metadata.resource_version = None;
        (other.metadata.namespace, other.metadata.name) = (Some(namespace.to_owned()), Some(name));
        scene.plane.apply(&serde_json::to_string(&other).unwrap());
    }

    let everything = open(&scene).await;
    let mut expected: Vec<_> = all.iter().map(|record| scene.store.get(&record.doc.reference)).collect();
    expected.sort_by(|one, other| one.doc.reference.cmp(&other.doc.reference));
    assert_eq!(everything, expected);
    let placement = |record: &RequestRecord| {
        let found = everything.iter().find(|found| found.doc.reference == record.doc.reference).unwrap();
        found.placement.clone().unwrap()
    };
    assert_eq!(placement(&displaced).namespace, "seawall");
    assert_eq!(placement(&leader).sequence, 77);
}

#[tokio::test]
async fn a_status_that_only_its_worker_understands_keeps_no_request_from_being_read() {
    let scene = Scene::fake(|settings| settings.watch = false).await;
    let record = record("prod", "web-1");
    scene.store.put(&record);
    scene.placed(&record.doc.reference, 1).await;
    let status = json!({"status": {"overallPhase": "Levitating", "ticket": {"id": 7}}});
    let requests = "/apis/remediation.kubernaut.io/v1alpha1/namespaces/prod/remediationrequests";
    let path = format!("{requests}/{}/status", record.doc.reference.id);
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(status.to_string().into_bytes());
    scene.plane.client().request::<serde_json::Value>(request.unwrap()).await.unwrap();
    let found = open(&scene).await;
    let phase = Some("Levitating".to_owned());
    let status = RemediationRequestStatus { overall_phase: phase, ..RemediationRequestStatus::default() };
    assert_eq!(found[0].status, Some(status));
}

#[tokio::test]
async fn a_list_that_expires_in_the_middle_is_read_from_the_start() {
    let scene = Scene::fake(|settings| settings.watch = false).await;
    let records: Vec<_> = (0..510).map(|pod| record("prod", &format!("web-{pod}"))).collect();
    for record in &records {
        scene.store.put(record);
    }
    for record in &records {
        scene.placed(&record.doc.reference, 1).await;
    }
    let expired = Fault::Refuse { code: 410, reason: "Expired".to_owned(), message: "too old".to_owned() };
    scene.plane.inject(&[Verb::List], 1, expired);
    assert_eq!(open(&scene).await.len(), 510);
    // Two pages, one of which was read twice.
    assert_eq!(scene.plane.count(Verb::List), 4);
}

#[tokio::test]
async fn a_server_that_cannot_say_what_there_is_is_not_taken_for_an_empty_one() {
    let scene = Scene::fake(|settings| settings.watch = false).await;
    let record = record("prod", "web-1");
    scene.store.put(&record);
    scene.placed(&record.doc.reference, 1).await;
    let unknown = Fault::Refuse {
        code: 404,
        reason: "NotFound".to_owned(),
        message: "the server could not find the requested resource".to_owned(),
    };
    let faults = [
        unknown,
        Fault::Fail { code: 503, moment: Moment::BeforeCommit },
        Fault::Reset { moment: Moment::BeforeCommit },
        Fault::Refuse { code: 403, reason: "Forbidden".to_owned(), message: "no".to_owned() },
    ];
    for fault in faults {
        scene.plane.inject_always(&[Verb::List], fault.clone());
        scene.store.lose();
        let problem =
            eventually(SOON, || async { scene.sink().health().problem.ok_or("no problem yet") }).await;
        assert!(problem.starts_with("the open requests in the cluster cannot be read: "), "{problem}");
        assert!(scene.store.is_incomplete(), "{fault:?}");
        scene.plane.heal();
        assert_eq!(open(&scene).await.len(), 1);
        eventually(SOON, || async { scene.sink().health().problem.map_or(Ok(()), Err) }).await;
    }
}

#[tokio::test]
async fn without_the_definition_there_are_no_requests() {
    let mut scene = Scene::start().await;
    scene.stop_sink().await;
    scene.plane.kubectl(&["delete", "crd", "remediationrequests.remediation.kubernaut.io"]);
    scene.start_sink();
    assert_eq!(open(&scene).await, []);
}

#[tokio::test]
async fn a_phase_that_was_set_while_the_state_was_lost_is_reported_afterwards() {
    let scene = Scene::start().await;
    let record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    scene.store.forget(&record.doc.reference);
    scene.patch(&place, Some("status"), &json!({"status": {"overallPhase": "Executing"}}));
    // Whatever the watch has made of that, the store knew nothing of the request.
    assert_eq!(scene.store.adopted().await.len(), 1);
    eventually(SOON, || async { scene.store.phase(&record.doc.reference).ok_or("not reported yet") }).await;
}
