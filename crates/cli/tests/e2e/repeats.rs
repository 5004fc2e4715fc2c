//! A problem that is reported again is the same problem, until it is over.

use seawall_model::RemediationRequest;
use seawall_testkit::{Alert, Client, eventually};
use serde_json::Value;

use crate::support::{SOON, count_status, fire, fire_at_once, name_of, occurrences, scene};

const SHORT: &str = "dedup: {ttl: 1s, cooldown: 1s}";

#[tokio::test]
async fn a_repeat_names_the_original_request_and_its_count() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let alert = Alert::new("PodCrashLooping", "prod", "web-1");
    let first = fire(&client, &alert).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = fire(&client, &alert).await;
    assert_eq!(again.status, 202);

    let (first, again) = (first.json(), again.json());
    assert_eq!(first["fingerprint"], alert.fingerprint().to_string());
    assert_eq!((again["status"].as_str(), again["duplicate"].as_bool()), (Some("duplicate"), Some(true)));
    assert_eq!(again["remediationRequestName"], first["remediationRequestName"]);
    let name = first["remediationRequestName"].as_str().expect("a name");
    assert_eq!(again["originalCRD"], format!("prod/{name}"));
    assert_eq!(again["metadata"]["count"], 2);
    assert_eq!(again["metadata"]["firstSeen"], first["metadata"]["firstSeen"]);

    let requests = client.requests("").await;
    assert_eq!(requests.iter().map(occurrences).collect::<Vec<_>>(), [2]);
    assert_eq!(name_of(&requests[0]), name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_identical_alerts_at_once_are_one_request_that_counts_a_hundred() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();

    let alerts = vec![Alert::new("PodCrashLooping", "prod", "web-1"); 100];
    let answers = fire_at_once(&client, &alerts).await;
    assert_eq!((count_status(&answers, 201), count_status(&answers, 202)), (1, 99));
    let mut counts: Vec<_> =
        answers.iter().filter_map(|answer| answer.json()["metadata"]["count"].as_u64()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=100).collect::<Vec<_>>(), "every answer tells its own count");

    let requests = client.requests("").await;
    assert_eq!(requests.iter().map(occurrences).collect::<Vec<_>>(), [100]);
}

#[tokio::test]
async fn silence_ends_a_problem_that_nobody_works_on() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(SHORT).start().await;
    let client = seawall.client();

    let alert = Alert::new("PodCrashLooping", "prod", "web-1");
    let first = fire(&client, &alert).await.json();
    let name = first["remediationRequestName"].as_str().expect("a name").to_owned();
    assert_eq!(client.set_phase("prod", &name, "Pending").await.status, 200);
    until_released(&client, &alert).await;

    let second = fire(&client, &alert).await;
    assert_eq!(second.status, 201, "{}", second.text());
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 2);
    assert_ne!(second.json()["remediationRequestName"], name.as_str(), "a finished request is never reused");
}

#[tokio::test]
async fn silence_does_not_end_a_problem_that_somebody_works_on() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config(SHORT).start().await;
    let client = seawall.client();

    let worked_on = Alert::new("PodCrashLooping", "prod", "web-1");
    let first = fire(&client, &worked_on).await.json();
    let name = first["remediationRequestName"].as_str().expect("a name");
    assert_eq!(client.set_phase("prod", name, "Analyzing").await.status, 200);
    // Fires later than the other, so when this one is over by silence the other would be too.
    let later = Alert::new("DiskFull", "shop", "db-1");
    fire(&client, &later).await;
    until_released(&client, &later).await;

    let again = fire(&client, &worked_on).await.json();
    assert_eq!(
        (again["status"].as_str(), &again["remediationRequestName"]),
        (Some("duplicate"), &first["remediationRequestName"])
    );
    assert_eq!(client.requests("namespace=prod").await.len(), 1);
}

#[tokio::test]
async fn a_finished_problem_gets_a_new_request_after_the_cooldown() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").config("dedup: {ttl: 1h, cooldown: 2s}").start().await;
    let client = seawall.client();

    let alert = Alert::new("PodCrashLooping", "prod", "web-1");
    let first = fire(&client, &alert).await.json();
    let name = first["remediationRequestName"].as_str().expect("a name").to_owned();
    let patched = client.set_phase("prod", &name, "Completed").await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    let within = fire(&client, &alert).await.json();
    assert_eq!(within["status"], "duplicate", "the cooldown has just begun");

    until_released(&client, &alert).await;
    let second = fire(&client, &alert).await;
    assert_eq!(second.status, 201, "{}", second.text());
    let requests = client.requests("").await;
    let new = other_than(&requests, &name);
    assert_eq!(new.spec.deduplication.previous_remediation_request_ref.as_deref(), Some(name.as_str()));
    assert_eq!(occurrences(new), 1);
}

/// Waits until a further alert would not be a repeat; asking does not change that.
pub async fn until_released(client: &Client, alert: &Alert) {
    let path = format!("/api/v1/explain/{}", alert.fingerprint());
    eventually(SOON, || async {
        match &client.document(&path).await["open"] {
            Value::Bool(false) => Ok(()),
            open => Err(format!("open is {open}")),
        }
    })
    .await;
}

fn other_than<'a>(requests: &'a [RemediationRequest], name: &str) -> &'a RemediationRequest {
    assert_eq!(requests.len(), 2);
    requests.iter().find(|request| name_of(request) != name).expect("a request with a new name")
}
