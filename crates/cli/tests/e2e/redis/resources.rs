//! Requests of several replicas as resources of a real cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, Client, Deadline, Scene, Seawall, eventually};
use serde_json::Value;

use super::{clients, replicas};
use crate::kubernetes::{become_so, control_plane, count};
use crate::support::{SOON, fire, fire_at_once, samples, scene};

const LEASE: Duration = Duration::from_secs(2);
/// After the lease; the rest is for the breaker, and for a loaded machine.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(8);

const CONFIG: &str = "sink: {kind: kubernetes, kubernetes: {fallbackNamespace: seawall}}\n\
                      publish: {respondWithin: 10s, breaker: {open: 1s}}\n\
                      dedup: {cooldown: 0s}\n";

/// Two replicas with one Redis, and the cluster that has their requests.
struct Stage {
    // Those who ask end before those who are asked.
    replicas: Vec<Seawall>,
    clients: Vec<Client>,
    plane: ControlPlane,
    _redis: RedisServer,
    _scene: Scene,
}

impl Stage {
    async fn set() -> Self {
        let scene = scene().await;
        let plane = control_plane(&scene).await;
        let redis = RedisServer::start(&scene, "redis").await;
        let replicas = replicas(&scene, 2, |it| {
            it.config(CONFIG).redis(&redis).redis_option("publishLease", "2s").kubeconfig(plane.kubeconfig())
        })
        .await;
        let clients = clients(&replicas);
        Self { replicas, clients, plane, _redis: redis, _scene: scene }
    }

    /// Fires at one replica until that makes a request, whose name it returns.
    async fn opens(&self, replica: usize, alert: &Alert) -> String {
        eventually(SOON, || async {
            let answer = fire(&self.clients[replica], alert).await;
            let name = answer.json()["remediationRequestName"].as_str().map(str::to_owned);
            name.filter(|_| answer.status == 201).ok_or_else(|| answer.text())
        })
        .await
    }
}

fn name(resource: &Value) -> &str {
    resource["metadata"]["name"].as_str().expect("a name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_replica_had_not_published_is_published_once_by_another_one() {
    let mut stage = Stage::set().await;
    // Whoever published first is the one that publishes, until its lease is over.
    stage.opens(0, &Alert::new("Before", "prod", "web-1")).await;
    stage.plane.kill_apiserver();
    let alerts: Vec<_> = (0..20).map(|n| Alert::new(&format!("Alert{n}"), "prod", "web-1")).collect();
    for answer in fire_at_once(&stage.clients[0], &alerts).await {
        assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (202, Some("accepted")));
    }
    stage.replicas[0].kill9();
    stage.plane.restart_apiserver().await;

    let clock = Deadline::after(LEASE + TAKEN_OVER_WITHIN);
    let resources = become_so(&stage.plane, "prod", |resources| resources.len() == 21).await;
    assert!(!clock.is_over(), "it took {:?} with the API server back", clock.elapsed());
    let signals: BTreeSet<_> = resources.iter().map(|one| one["spec"]["signalName"].to_string()).collect();
    assert_eq!(signals.len(), 21, "one of each");
    assert!(resources.iter().all(|resource| count(resource) == 1), "{resources:?}");
    let published = samples(&stage.clients[1]).await;
    assert_eq!(published.sum("seawall_requests_published_total", &["outcome=\"created\""]), 20.0);

    // The first one comes back and finds that all is done.
    stage.replicas[0].restart().await;
    stage.opens(0, &Alert::new("After", "prod", "web-1")).await;
    become_so(&stage.plane, "prod", |resources| resources.len() == 22).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_still_fires_makes_a_new_request_when_somebody_deletes_its_own() {
    let stage = Stage::set().await;
    let alert = Alert::new("PodCrashLooping", "prod", "web-1");
    let first = stage.opens(0, &alert).await;
    let repeat = fire(&stage.clients[1], &alert).await.json();
    assert_eq!(repeat["status"], "duplicate", "{repeat}");
    become_so(&stage.plane, "prod", |resources| resources.iter().map(count).eq([2])).await;

    stage.plane.kubectl(&["delete", "rr", &first, "-n", "prod"]);
    let second = stage.opens(1, &alert).await;
    assert_ne!(second, first);
    fire(&stage.clients[0], &alert).await;
    // What was counted on the deleted one is gone with it.
    become_so(&stage.plane, "prod", |resources| {
        resources.iter().map(|one| (name(one), count(one))).eq([(&*second, 2)])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phase_that_a_worker_sets_on_a_resource_counts_at_every_replica() {
    let stage = Stage::set().await;
    let alert = Alert::new("PodCrashLooping", "prod", "web-1");
    let first = stage.opens(0, &alert).await;
    let report = |name: &str, phase: &str| {
        let status = format!(r#"{{"status":{{"overallPhase":"{phase}"}}}}"#);
        stage.plane.kubectl(&[
            "patch",
            "rr",
            name,
            "-n",
            "prod",
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ]);
    };
    report(&first, "Completed");
    let second = stage.opens(1, &alert).await;
    assert_ne!(second, first, "a finished request is never reused");

    report(&second, "Executing");
    eventually(SOON, || async {
        for client in &stage.clients {
            let requests = client.requests("phase=Executing").await;
            if requests.iter().all(|request| request.metadata.name.as_deref() != Some(&*second)) {
                return Err("a replica does not know that it is being executed");
            }
        }
        Ok(())
    })
    .await;
    let again = fire(&stage.clients[0], &alert).await.json();
    assert_eq!(again["status"], "duplicate", "{again}");
    assert_eq!(again["remediationRequestName"], *second);
    become_so(&stage.plane, "prod", |resources| resources.len() == 2).await;
}
