//! What several tests do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seawall_model::RemediationRequest;
use seawall_testkit::{Alert, Answer, Client, Process, Samples, Scene, eventually};
use tokio::task::JoinSet;

/// Long enough for a loaded machine; nothing is expected to take this long.
pub const SOON: Duration = Duration::from_secs(30);

pub async fn scene() -> Scene {
    Scene::shared(env!("CARGO_BIN_EXE_seawall")).await
}

/// A scene without neighbours, for tests that load the machine.
pub async fn scene_alone() -> Scene {
    Scene::alone(env!("CARGO_BIN_EXE_seawall")).await
}

/// What a run of the binary came to.
pub struct Ended {
    pub code: Option<i32>,
    /// Both streams, in the order they were written.
    pub said: String,
}

/// Runs the binary in the scene's directory until it ends by itself.
pub async fn run(scene: &Scene, args: &[&str], env: &[(&str, &str)]) -> Ended {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let log = scene.path().join(format!("run-{}.log", RUNS.fetch_add(1, Ordering::Relaxed)));
    let mut command = std::process::Command::new(scene.binary());
    command.args(args).envs(env.iter().copied()).current_dir(scene.path());
    let mut process = Process::spawn("seawall", &mut command, &log, None);
    let status = process.exited(SOON).await;
    Ended { code: status.code(), said: process.output() }
}

/// Lets a fault last. Nothing is waited for: how long something stands still is what is tested.
pub async fn lasting(length: Duration) {
    tokio::time::sleep(length).await;
}

/// What `/metrics` shows.
pub async fn samples(client: &Client) -> Samples {
    Samples::parse(&client.get("/metrics").await.expect("metrics").text())
}

/// Sends every alert in a body of its own, all at once.
pub async fn fire_at_once(client: &Client, alerts: &[Alert]) -> Vec<Answer> {
    let mut deliveries = JoinSet::new();
    for alert in alerts {
        let (client, alert) = (client.clone(), alert.clone());
        deliveries.spawn(async move { client.fire(&[alert]).await.expect("an answer") });
    }
    deliveries.join_all().await
}

/// Sends one alert in a body of its own.
pub async fn fire(client: &Client, alert: &Alert) -> Answer {
    client.fire(std::slice::from_ref(alert)).await.expect("an answer")
}

pub fn count_status(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// Waits until exactly `count` requests exist in the namespace and returns them.
pub async fn requests_in(client: &Client, namespace: &str, count: usize) -> Vec<RemediationRequest> {
    let filter = format!("namespace={namespace}");
    eventually(SOON, || async {
        let requests = client.requests(&filter).await;
        if requests.len() == count {
            Ok(requests)
        } else {
            Err(format!("{} requests, not {count}", requests.len()))
        }
    })
    .await
}

/// Waits until whatever was held back when this was called has been published: a request that is held later for as
/// long comes later.
pub async fn after_the_hold(client: &Client) {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("after-the-hold-{call}");
    for alert in Alert::pods("Canary", &namespace, 2) {
        fire(client, &alert).await;
    }
    requests_in(client, &namespace, 2).await;
}

pub fn name_of(request: &RemediationRequest) -> &str {
    request.metadata.name.as_deref().expect("a request has a name")
}

/// The one request of a list that carries a storm.
pub fn the_storm(requests: &[RemediationRequest]) -> &RemediationRequest {
    let storms: Vec<_> = requests.iter().filter(|request| request.spec.is_storm).collect();
    assert_eq!(storms.len(), 1, "one request carries the storm");
    storms[0]
}

pub fn alert_count(request: &RemediationRequest) -> u64 {
    request.spec.storm_aggregation.as_ref().expect("a storm").alert_count
}

pub fn occurrences(request: &RemediationRequest) -> u64 {
    request.spec.deduplication.occurrence_count
}
