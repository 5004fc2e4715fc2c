//! What the fake can do that no API server does on demand.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::BodyExt;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client};
use seawall_testkit::kubernetes::{FakeApi, Fault, Moment, Verb};
use seawall_testkit::{Deadline, eventually};
use serde_json::{Value, json};

const COLLECTION: &str = "/apis/remediation.kubernaut.io/v1alpha1/namespaces/default/remediationrequests";

fn request(severity: &str, sequence: u64) -> Value {
    let epoch = json!({
        "remediation.kubernaut.io/epoch": "1",
        "remediation.kubernaut.io/sequence": sequence.to_string(),
    });
    let moment = "2026-11-28T15:31:00Z";
    json!({
        "apiVersion": "remediation.kubernaut.io/v1alpha1",
        "kind": "RemediationRequest",
        "metadata": { "name": "rr", "annotations": epoch },
        "spec": {
            "signalFingerprint": "a".repeat(64),
            "signalName": "PodCrashLooping",
            "severity": severity,
            "environment": "production",
            "priority": "P1",
            "remediationPath": "moderate",
            "signalType": "prometheus-alert",
            "signalSource": "alertmanager",
            "targetType": "kubernetes",
            "targetResource": { "kind": "Pod", "name": "web-1" },
            "firingTime": moment,
            "receivedTime": moment,
            "isStorm": false,
            "deduplication": { "isDuplicate": false, "firstSeen": moment, "lastSeen": moment, "occurrenceCount": 1 },
        },
    })
}

async fn open(
    client: &Client,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<http::Response<Body>, kube::Error> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/apply-patch+yaml")
        .body(Body::from(if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }))
        .unwrap();
    client.send(request).await
}

async fn apply(client: &Client, request: &Value) -> Result<http::Response<Body>, kube::Error> {
    open(client, "PATCH", &format!("{COLLECTION}/rr?fieldManager=seawall"), request).await
}

async fn code_of(client: &Client, request: &Value) -> u16 {
    apply(client, request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_conflict_comes_at_the_write_it_was_planned_for() {
    let fake = FakeApi::start().await;
    let client = fake.client();
    fake.inject(&Verb::WRITES, 2, Fault::Conflict);
    let mut codes = Vec::new();
    for sequence in 1..=4 {
        codes.push(code_of(&client, &request("warning", sequence)).await);
    }
    assert_eq!(codes, [201, 200, 409, 200]);
    assert_eq!(fake.count(Verb::Apply), 4);
    let history = fake.history();
    assert_eq!((history.creates(), history.updates()), (1, 2));
    assert!(history.step_back().is_none());
    assert_eq!(history.by("seawall").writes().len(), 3);
}

#[tokio::test]
async fn a_throttled_request_says_when_to_come_again_and_others_pass_after_healing() {
    let fake = FakeApi::start().await;
    let client = fake.client();
    fake.inject_always(&[Verb::Apply], Fault::Throttle { retry_after: Duration::from_secs(2) });
    for _ in 0..2 {
        let answer = apply(&client, &request("warning", 1)).await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "2");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let status: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&status["reason"], &status["details"]["retryAfterSeconds"]),
            (&json!("TooManyRequests"), &json!(2))
        );
    }
    assert!(fake.get("default", "rr").is_none());
    fake.heal();
    assert_eq!(code_of(&client, &request("warning", 1)).await, 201);
}

#[tokio::test]
async fn a_refusal_is_worded_by_the_test() {
    let fake = FakeApi::start().await;
    let client = fake.client();
    let (reason, message) = ("Forbidden".to_owned(), "exceeded quota".to_owned());
    fake.inject(&[Verb::Apply], 0, Fault::Refuse { code: 403, reason, message });
    let body =
        apply(&client, &request("warning", 1)).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&status["reason"], &status["message"]), (&json!("Forbidden"), &json!("exceeded quota")));
}

#[tokio::test]
async fn what_fails_or_is_cut_off_after_the_commit_is_there_and_before_it_is_not() {
    for (moment, there) in [(Moment::BeforeCommit, false), (Moment::AfterCommit, true)] {
        for code in [500, 504] {
            let fake = FakeApi::start().await;
            fake.inject(&[Verb::Apply], 0, Fault::Fail { code, moment });
            assert_eq!(code_of(&fake.client(), &request("warning", 1)).await, code);
            assert_eq!(fake.get("default", "rr").is_some(), there, "{code} {moment:?}");
        }

        let fake = FakeApi::start().await;
        let client = fake.client();
        fake.inject(&[Verb::Apply], 0, Fault::Reset { moment });
        apply(&client, &request("warning", 1)).await.unwrap_err();
        assert_eq!(fake.get("default", "rr").is_some(), there, "{moment:?}");
        // The next request finds a connection.
        assert_eq!(code_of(&client, &request("warning", 1)).await, if there { 200 } else { 201 });
    }
}

#[tokio::test]
async fn what_hangs_is_never_answered_and_what_is_slow_is_answered_late() {
    let fake = FakeApi::start().await;
    let client = fake.client();
    fake.inject(&[Verb::Apply], 0, Fault::Hang { moment: Moment::AfterCommit });
    let created = request("warning", 1);
    tokio::select! {
        answer = apply(&client, &created) => panic!("{answer:?}"),
        () = eventually(Duration::from_secs(10), || async {
            fake.get("default", "rr").map(drop).ok_or("it is not there")
        }) => {}
    }

    let slow = Duration::from_millis(150);
    fake.inject(&[Verb::Apply], 0, Fault::Slow(slow));
    let asked = Deadline::after(slow);
    assert_eq!(code_of(&client, &request("warning", 2)).await, 200);
    assert!(asked.is_over(), "{:?}", asked.elapsed());
}

/// Events of a watch by their type, until it ends or is cut.
async fn told(client: &Client, version: &str, until: &str) -> Vec<String> {
    let path = format!("{COLLECTION}?watch=true&allowWatchBookmarks=true&resourceVersion={version}");
    let mut body = open(client, "GET", &path, &Value::Null).await.unwrap().into_body();
    let mut told = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let event: Value = serde_json::from_slice(&frame.into_data().unwrap()).unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        let is_last = kind == until;
        told.push(kind);
        if is_last {
            break;
        }
    }
    told
}

#[tokio::test]
async fn after_a_gap_a_watch_is_cut_and_cannot_go_on() {
    let fake = FakeApi::start().await;
    let client = fake.client();
    apply(&client, &request("warning", 1)).await.unwrap();
    let version =
        fake.get("default", "rr").unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let gap = async {
        eventually(Duration::from_secs(10), || async {
            (fake.count(Verb::Watch) == 1).then_some(()).ok_or("no watch")
        })
        .await;
        apply(&client, &request("critical", 2)).await.unwrap();
        fake.bookmark();
    };
    let (events, ()) = tokio::join!(told(&client, &version, "BOOKMARK"), gap);
    assert_eq!(events, ["MODIFIED", "BOOKMARK"]);

    let gap = async {
        eventually(Duration::from_secs(10), || async {
            (fake.count(Verb::Watch) == 2).then_some(()).ok_or("no watch")
        })
        .await;
        fake.watch_gap();
    };
    let (events, ()) = tokio::join!(told(&client, &version, ""), gap);
    assert_eq!(events, ["MODIFIED"]);
    assert_eq!(told(&client, &version, "").await, ["ERROR"]);
}

#[tokio::test]
async fn what_is_done_by_hand_is_seen_like_what_is_asked_for() {
    let fake = FakeApi::start().await;
    let client = fake.client();
    fake.add_namespace("shop");
    apply(&client, &request("warning", 1)).await.unwrap();
    let version =
        fake.get("default", "rr").unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    assert!(fake.delete("default", "rr") && !fake.delete("default", "rr"));
    assert_eq!(told(&client, &version, "DELETED").await, ["DELETED"]);

    apply(&client, &request("warning", 1)).await.unwrap();
    fake.remove_namespace("default");
    assert!(fake.get("default", "rr").is_none());
    assert_eq!(code_of(&client, &request("warning", 1)).await, 404);
    let changes: BTreeMap<bool, usize> =
        fake.history().of("rr").writes().iter().fold(BTreeMap::new(), |mut counts, write| {
            *counts.entry(write.is_create).or_default() += 1;
            counts
        });
    assert_eq!(changes, BTreeMap::from([(true, 2), (false, 2)]));
}

#[tokio::test]
async fn the_client_that_seawall_has_gets_along_with_it() {
    let fake = FakeApi::start().await;
    let kind = GroupVersionKind::gvk("remediation.kubernaut.io", "v1alpha1", "RemediationRequest");
    let requests: Api<DynamicObject> =
        Api::namespaced_with(fake.client(), "default", &ApiResource::from_gvk(&kind));
    let params = PatchParams::apply("seawall").force();
    let created = requests.patch("rr", &params, &Patch::Apply(request("warning", 1))).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    let patch = json!({ "status": { "overallPhase": "Processing" } });
    requests.patch_status("rr", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    let listed = requests.list(&ListParams::default().limit(10)).await.unwrap();
    assert_eq!(listed.items[0].data["status"]["overallPhase"], "Processing");

    requests.delete("rr", &Default::default()).await.unwrap();
    let Err(kube::Error::Api(gone)) = requests.get("rr").await else { panic!("it is still there") };
    assert_eq!((gone.code, &*gone.reason), (404, "NotFound"));
    fake.inject(&[Verb::Apply], 0, Fault::Conflict);
    let Err(kube::Error::Api(stale)) =
        requests.patch("rr", &params, &Patch::Apply(request("warning", 2))).await
    else {
        panic!("it was planned to be refused")
    };
    assert_eq!((stale.code, &*stale.reason), (409, "Conflict"));
    assert_eq!(fake.history().of("rr").creates(), 1);
}
