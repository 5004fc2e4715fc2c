//! The status belongs to whoever works on the request.

use seawall_store::StoreError;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Alert, SECOND, Scene, StoreUnderTest, pods};
use seawall_model::{RequestRef, Timestamp};

async fn open<S: StoreUnderTest>() -> (Scene<S>, RequestRef) {
    let scene = Scene::<S>::start().await;
    let reference = scene.fire(&Alert::new("shop", "Crash", "web-0")).await.request.unwrap();
    (scene, reference)
}

pub async fn a_report_is_merged_into_the_status<S: StoreUnderTest>() {
    let (scene, reference) = open::<S>().await;
    assert_eq!(scene.request(&reference).await.status, None);
    let first = json!({
        "overallPhase": "Processing",
        "startTime": "2023-11-14T22:13:20Z",
        "conditions": [{ "type": "Ready", "status": "False" }],
    });
    let after = scene.patch(&reference, first).await.unwrap();
    assert_eq!(after.doc.reference, reference);
    scene.patch(&reference, json!({ "message": "looking", "approvalNotificationSent": true })).await.unwrap();
    let conditions = json!({ "conditions": [{ "type": "Done", "status": "True" }] });
    let after = scene.patch(&reference, conditions).await.unwrap();
    let status = after.status.clone().unwrap();
    assert_eq!(status.overall_phase.as_deref(), Some("Processing"));
    assert_eq!(status.message.as_deref(), Some("looking"));
    assert_eq!(status.approval_notification_sent, Some(true));
    assert_eq!(status.start_time, Timestamp::parse("2023-11-14T22:13:20Z"));
    let conditions = status.conditions.as_ref().unwrap();
    assert_eq!((conditions.len(), conditions[0].condition_type.as_str()), (1, "Done"), "a list is replaced");
    assert_eq!(scene.request(&reference).await, after);
    assert_eq!(scene.only_request().await, after);
}

pub async fn null_removes_a_field<S: StoreUnderTest>() {
    let (scene, reference) = open::<S>().await;
    scene.patch(&reference, json!({ "overallPhase": "Blocked", "message": "why" })).await.unwrap();
    let after = scene.patch(&reference, json!({ "message": null, "completedAt": null })).await.unwrap();
    let status = after.status.unwrap();
    assert_eq!((status.message, status.overall_phase.as_deref()), (None, Some("Blocked")));
    let unchanged = scene.patch(&reference, json!({})).await.unwrap();
    assert_eq!(unchanged.status.unwrap().overall_phase.as_deref(), Some("Blocked"));
}

pub async fn an_unknown_field_is_invalid_and_changes_nothing<S: StoreUnderTest>() {
    let (mut scene, reference) = open::<S>().await;
    let refused = scene.patch(&reference, json!({ "overallPhase": "Completed", "phase": "x" })).await;
    let Err(StoreError::Invalid { reason }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("phase"), "{reason}");
    assert_eq!(scene.request(&reference).await.status, None);
    scene.pass(200 * SECOND);
    let repeat = scene.fire(&Alert::new("shop", "Crash", "web-0")).await;
    assert_eq!(repeat.request, Some(reference));
}

pub async fn a_field_of_the_wrong_type_is_invalid<S: StoreUnderTest>() {
    let (scene, reference) = open::<S>().await;
    for patch in [
        json!({ "overallPhase": 7 }),
        json!({ "startTime": "yesterday" }),
        json!({ "conditions": "none" }),
        json!({ "conditions": [{ "type": null }] }),
        json!({ "conditions": [{ "type": "Ready" }] }),
        json!({ "conditions": [{ "type": "Ready", "status": "Yes" }] }),
        json!({ "conditions": [{ "type": "Ready", "status": "True", "reasons": "unknown" }] }),
        json!({ "message": { "text": "nested" } }),
    ] {
        let refused = scene.patch(&reference, patch.clone()).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{patch}: {refused:?}");
    }
    assert_eq!(scene.request(&reference).await.status, None);
}

pub async fn a_report_about_a_stranger_is_not_found<S: StoreUnderTest>() {
    let (scene, mut reference) = open::<S>().await;
    let elsewhere = RequestRef { namespace: "pay".into(), ..reference.clone() };
    reference.id.generation += 1;
    for missing in [reference, elsewhere] {
        let refused = scene.patch(&missing, json!({ "overallPhase": "Completed" })).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{missing}: {refused:?}");
    }
    let untouched = scene.only_request().await;
    assert_eq!(untouched.status, None);
}

pub async fn a_report_about_a_held_request_is_not_found<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    scene.fire_each(&pods("shop", "Crash", 2)).await;
    let visible = scene.only_request().await.doc.reference;
    let prefix = Alert::new("shop", "Crash", "web-1").fingerprint().prefix();
    // The name that it will have, which nobody has been told.
    let mut held = visible;
    held.id.prefix = prefix;
    let refused = scene.patch(&held, json!({ "overallPhase": "Completed" })).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
    scene.pass(SECOND);
    scene.wait_for_requests(2).await;
    assert_eq!(scene.request(&held).await.status, None);
    scene.report(&held, "Completed").await;
}

pub async fn a_status_survives_a_crash<S: StoreUnderTest>() {
    let (mut scene, reference) = open::<S>().await;
    let before =
        scene.patch(&reference, json!({ "overallPhase": "Executing", "message": "m" })).await.unwrap();
    scene.crash().await;
    assert_eq!(scene.request(&reference).await.status, before.status);
    scene.send(&Alert::new("shop", "Crash", "web-0")).await;
    assert_eq!(scene.request(&reference).await.status, before.status, "a repeat leaves it alone");
}

pub async fn a_superseded_request_takes_reports<S: StoreUnderTest>() {
    let mut scene = Scene::<S>::start().await;
    let mut references = Vec::new();
    for alert in pods("shop", "Crash", 10) {
        references.extend(scene.fire(&alert).await.request);
        scene.pass(2 * SECOND);
    }
    let superseded = &references[4];
    let before = scene.request(superseded).await.state;
    for phase in ["Processing", "Skipped"] {
        let after = scene.report(superseded, phase).await;
        assert_eq!(after.status.unwrap().overall_phase.as_deref(), Some(phase));
        assert_eq!((after.state.superseded_by, after.state.occurrences), (before.superseded_by, 1));
    }
    let storm = scene.request(&references[0]).await;
    assert!(storm.state.storm.unwrap().ended_at.is_none(), "its own end is not that of the storm");
}

pub async fn reports_at_once_all_count<S: StoreUnderTest>() {
    let (scene, reference) = open::<S>().await;
    let fields = ["message", "remediationProcessingRef", "aiAnalysisRef", "workflowExecutionRef"];
    let mut workers = JoinSet::new();
    for field in fields {
        let (store, reference) = (scene.store(), reference.clone());
        let serde_json::Value::Object(patch) = json!({ field: field }) else { unreachable!() };
        workers.spawn(async move { store.patch_status(reference, seawall_store::StatusPatch(patch)).await });
    }
    for patched in workers.join_all().await {
        patched.unwrap();
    }
    let status = serde_json::to_value(scene.request(&reference).await.status).unwrap();
    assert_eq!(fields.map(|field| status[field].as_str()), fields.map(Some));
}
