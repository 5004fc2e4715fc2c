//! Kubernetes events as a source: a real API server, and a store in memory.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use seawall_cluster::Cluster;
use seawall_engine::normalise::{Normaliser, NormaliserConfig};
use seawall_ingest::{Edge, EdgeSettings, EventSettings, follow_events, router};
use seawall_model::{Clock, Policy, Stopwatch, SystemClock};
use seawall_telemetry::Metrics;
use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::{Samples, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::fake::FakeStore;

const SOON: Duration = Duration::from_secs(30);
const LEASE: &str = "seawall-kubernetes-events";

struct Plane {
    plane: ControlPlane,
    _directory: TempDir,
}

impl Plane {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let plane = ControlPlane::start_in(directory.path(), "kubernetes").await;
        plane.namespace("seawall");
        plane.namespace("prod");
        Self { plane, _directory: directory }
    }

    fn api(&self, group: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        Api::namespaced_with(self.plane.client(), namespace, &resource)
    }

    /// Something has happened `count` times, for the last time `ago` seconds ago.
    async fn happens(&self, name: &str, count: u32, ago: i64) {
        let at = (SystemClock.now() - ago * 1000).to_string();
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "prod"},
            "involvedObject": {"kind": "Pod", "namespace": "prod", "name": format!("pod-of-{name}")},
            "reason": "BackOff", "message": "again", "type": "Warning", "count": count,
            "firstTimestamp": at[..19].to_owned() + "Z", "lastTimestamp": at[..19].to_owned() + "Z",
        });
        self.create(event).await;
    }

    async fn create(&self, event: Value) {
        let event = serde_json::from_value(event).unwrap();
        self.api("", "Event", "prod").create(&PostParams::default(), &event).await.unwrap();
    }

    /// It has happened again.
    async fn change(&self, name: &str, change: Value) {
        let patch = Patch::Merge(change);
        self.api("", "Event", "prod").patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn lease(&self) -> Value {
        let lease = self.api("coordination.k8s.io", "Lease", "seawall").get_opt(LEASE).await.unwrap();
        serde_json::to_value(lease).unwrap()
    }

    /// Waits until everything that happened until now is noted in the lease.
    async fn is_noted(&self) {
        let resource = self.api("", "Event", "prod");
        let newest = resource.list(&ListParams::default()).await.unwrap().items;
        let newest = newest.iter().map(|event| version(event.metadata.resource_version.as_deref())).max();
        eventually(SOON, || async {
            let lease = self.lease().await;
            let noted = &lease["metadata"]["annotations"]["remediation.kubernaut.io/events-version"];
            if version(noted.as_str()) >= newest.unwrap_or_default() {
                Ok(())
            } else {
                Err(lease.to_string())
            }
        })
        .await;
    }
}

fn version(text: Option<&str>) -> u64 {
    text.map_or(0, |text| text.parse().unwrap())
}

/// A Seawall that watches; ended when it is told to.
struct Follower {
    store: Arc<FakeStore>,
    edge: Arc<Edge>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Follower {
    fn start(plane: &Plane) -> Self {
        Self::over(plane, Arc::default())
    }

    fn over(plane: &Plane, store: Arc<FakeStore>) -> Self {
        Self::of(plane, plane.plane.client(), store)
    }

    fn of(plane: &Plane, client: kube::Client, store: Arc<FakeStore>) -> Self {
        let normaliser = Normaliser::new(&NormaliserConfig::default(), &Policy::default());
        let settings = EdgeSettings::default();
        let edge = Edge::new(
            store.clone(),
            Arc::new(normaliser),
            settings,
            Arc::new(Metrics::new()),
            Arc::new(SystemClock),
            None,
        );
        let cluster = Cluster { client, namespace: "seawall".to_owned(), server: plane.plane.url() };
        let stop = CancellationToken::new();
        let events = EventSettings { lease: Duration::from_secs(6) };
        #[allow(clippy::disallowed_methods, reason = "a test has no tracker")]
        let task = tokio::spawn(follow_events(cluster, edge.clone(), events, stop.clone()));
        Self { store, edge, stop, task }
    }

    /// Waits until readiness says so about the source.
    async fn says(&self, state: &str) {
        self.says_what(|says| says.contains(state)).await;
    }

    async fn watches(&self) {
        self.says_what(|says| says == "ok").await;
    }

    async fn says_what(&self, is_so: impl Fn(&str) -> bool) {
        eventually(SOON, || async {
            let request = http::Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
            let answer = router(self.edge.clone()).oneshot(request).await.unwrap();
            let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let says = body["checks"]["kubernetesEvents"].as_str().unwrap().to_owned();
            if is_so(&says) { Ok(()) } else { Err(says) }
        })
        .await;
    }

    /// Waits until so many occurrences are decided; an API server may say things about `default` of its own.
    async fn has_decided(&self, count: usize) {
        eventually(SOON, || async {
            let decided = self.store.signals_in("prod");
            if decided == count { Ok(()) } else { Err(format!("{decided} and not {count}")) }
        })
        .await;
    }

    fn metric(&self, name: &str, label: &str) -> f64 {
        Samples::parse(&self.edge.metrics().render()).sum(name, &["source=\"kubernetes-event\"", label])
    }

    /// As at the end of a server.
    async fn end(self) -> Arc<FakeStore> {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.task).await.expect("it ends").unwrap();
        self.store
    }
}

#[tokio::test]
async fn what_a_count_or_a_series_gains_becomes_that_many_occurrences() {
    let plane = Plane::start().await;
    let follower = Follower::start(&plane);
    follower.watches().await;
    plane.happens("counted", 3, 0).await;
    follower.has_decided(3).await;
    plane.change("counted", json!({"count": 8})).await;
    follower.has_decided(8).await;
    plane.change("counted", json!({"message": "other words"})).await;

    let now = SystemClock.now().to_string();
    let micro = now.replace('Z', "000Z");
    plane
        .create(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "series", "namespace": "prod"},
            "involvedObject": {"kind": "Pod", "namespace": "prod", "name": "web-1"}, "reason": "FailedScheduling",
            "message": "no nodes", "type": "Warning", "eventTime": micro, "reportingComponent": "scheduler",
            "reportingInstance": "one", "action": "Scheduling",
        }))
        .await;
    follower.has_decided(9).await;
    plane.change("series", json!({"series": {"count": 1500, "lastObservedTime": micro}})).await;
    follower.has_decided(1508).await;

    assert_eq!(follower.metric("seawall_signals_received_total", "severity=\"critical\""), 1500.0);
    eventually(SOON, || async {
        // A metric does not tell namespaces apart.
        let elsewhere = follower.store.signals() - 1508;
        let warnings = follower.metric("seawall_signals_received_total", "severity=\"warning\"");
        let decided = follower.metric("seawall_decisions_total", "decision=\"created\"")
            + follower.metric("seawall_decisions_total", "decision=\"duplicate\"");
        if (warnings, decided) == (8.0 + elsewhere as f64, 1508.0 + elsewhere as f64) {
            Ok(())
        } else {
            Err(format!("{warnings} warnings, {decided} decided, {elsewhere} elsewhere"))
        }
    })
    .await;
    follower.end().await;
}

#[tokio::test]
async fn events_that_report_no_problem_or_say_too_little_are_not_decided() {
    let plane = Plane::start().await;
    let follower = Follower::start(&plane);
    follower.watches().await;
    let event = |name: &str, kind: &str, reason: &str| {
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "prod"},
            "involvedObject": {"kind": "Pod", "namespace": "prod", "name": "web-1"}, "type": kind, "reason": reason,
        })
    };
    plane.create(event("normal", "Normal", "Pulled")).await;
    plane.create(event("nameless", "Warning", "")).await;
    plane.create(event("strange", "Odd", "Oddity")).await;
    plane.happens("real", 1, 0).await;
    follower.has_decided(1).await;
    assert_eq!(follower.metric("seawall_signals_rejected_total", "reason=\"no_reason\""), 1.0);
    assert_eq!(follower.metric("seawall_decisions_total", "decision=\"suppressed\""), 1.0);
    follower.end().await;
}

#[tokio::test]
async fn the_very_first_start_takes_nothing_that_was_over_before() {
    let plane = Plane::start().await;
    plane.happens("old", 40, 600).await;
    plane.happens("older", 1, 3000).await;
    let follower = Follower::start(&plane);
    follower.watches().await;
    plane.happens("new", 2, 0).await;
    follower.has_decided(2).await;
    // It happens again, and from now on it is ours.
    plane
        .change(
            "old",
            json!({"count": 41, "lastTimestamp": SystemClock.now().to_string()[..19].to_owned() + "Z"}),
        )
        .await;
    follower.has_decided(3).await;
    follower.end().await;
}

#[tokio::test]
async fn a_holder_that_comes_later_counts_what_happened_meanwhile_and_nothing_twice() {
    let plane = Plane::start().await;
    let first = Follower::start(&plane);
    first.watches().await;
    plane.happens("a", 3, 0).await;
    plane.happens("gone", 1, 0).await;
    first.has_decided(4).await;
    let store = first.end().await;
    let lease = plane.lease().await;
    assert!(lease["spec"].get("holderIdentity").is_none_or(Value::is_null), "{lease}");

    // Events are old news by the time somebody looks again; what was not decided is decided all the same.
    plane.change("a", json!({"count": 5})).await;
    plane.happens("b", 7, 3000).await;
    plane.api("", "Event", "prod").delete("gone", &Default::default()).await.unwrap();
    let second = Follower::over(&plane, store);
    second.has_decided(4 + 2 + 7).await;
    second.watches().await;
    second.end().await;
}

#[tokio::test]
async fn a_holder_whose_place_is_forgotten_goes_by_the_time_and_repeats_nothing_that_is_old() {
    let plane = Plane::start().await;
    let first = Follower::start(&plane);
    first.watches().await;
    plane.happens("new", 2, 0).await;
    first.has_decided(2).await;
    let store = first.end().await;
    plane.happens("meanwhile", 4, 0).await;
    plane.happens("old", 9, 3000).await;
    plane.plane.forget_history().await;
    let second = Follower::over(&plane, store);
    // What was decided shortly before the checkpoint cannot be told from what was not.
    second.has_decided(2 + 4 + 2).await;
    second.watches().await;
    second.end().await;
}

#[tokio::test]
async fn a_watch_that_is_too_old_lists_again_without_repeats() {
    let mut plane = Plane::start().await;
    let follower = Follower::start(&plane);
    follower.watches().await;
    plane.happens("a", 3, 0).await;
    plane.happens("b", 1, 0).await;
    follower.has_decided(4).await;
    plane.plane.kill_apiserver();
    plane.plane.forget_history().await;
    plane.plane.restart_apiserver().await;
    plane.change("b", json!({"count": 2})).await;
    plane.happens("c", 5, 0).await;
    follower.has_decided(4 + 1 + 5).await;
    follower.watches().await;
    follower.end().await;
}

#[tokio::test]
async fn what_the_store_does_not_take_waits_and_is_not_noted() {
    let plane = Plane::start().await;
    let follower = Follower::start(&plane);
    follower.watches().await;
    plane.happens("before", 1, 0).await;
    follower.has_decided(1).await;
    plane.is_noted().await;
    let noted = plane.lease().await["metadata"]["annotations"].clone();

    follower.store.fail(Some(FakeStore::unavailable()));
    let asked = follower.store.batches();
    for number in 0..20 {
        plane.happens(&format!("during-{number}"), 2, 0).await;
    }
    let renewed = plane.lease().await["spec"]["renewTime"].clone();
    eventually(SOON, || async {
        let lease = plane.lease().await;
        let tried = follower.store.batches() - asked;
        // It is still the holder, and it tries.
        if tried >= 3 && lease["spec"]["renewTime"] != renewed {
            Ok(())
        } else {
            Err(format!("{tried} {lease}"))
        }
    })
    .await;
    assert_eq!(plane.lease().await["metadata"]["annotations"], noted);
    assert_eq!(follower.store.signals_in("prod"), 1);

    follower.store.fail(None);
    follower.has_decided(41).await;
    plane.is_noted().await;
    follower.end().await;
}

#[tokio::test]
async fn one_that_ends_while_the_store_is_away_leaves_the_rest_to_the_next_one() {
    let plane = Plane::start().await;
    let first = Follower::start(&plane);
    first.watches().await;
    first.store.fail(Some(FakeStore::unavailable()));
    plane.happens("a", 3, 0).await;
    eventually(SOON, || async { if first.store.batches() > 0 { Ok(()) } else { Err("it was not asked") } })
        .await;
    let store = first.end().await;
    store.fail(None);
    let second = Follower::over(&plane, store);
    second.has_decided(3).await;
    second.end().await;
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_and_goes_on_later_where_it_was() {
    let mut plane = Plane::start().await;
    let follower = Follower::start(&plane);
    follower.watches().await;
    plane.happens("a", 3, 0).await;
    follower.has_decided(3).await;
    plane.plane.kill_apiserver();
    follower.says("the lease").await;
    plane.plane.restart_apiserver().await;
    plane.change("a", json!({"count": 4})).await;
    plane.happens("b", 2, 0).await;
    follower.has_decided(3 + 1 + 2).await;
    follower.watches().await;
    follower.end().await;
}

#[tokio::test]
async fn a_lease_that_somebody_else_took_is_left_to_them() {
    let plane = Plane::start().await;
    let follower = Follower::start(&plane);
    follower.watches().await;
    let taken = Patch::Merge(json!({"spec": {"holderIdentity": "other"}}));
    let leases = plane.api("coordination.k8s.io", "Lease", "seawall");
    leases.patch(LEASE, &PatchParams::default(), &taken).await.unwrap();
    follower.says("by another replica").await;
    plane.happens("a", 3, 0).await;
    assert_eq!(plane.lease().await["spec"]["holderIdentity"], "other");
    assert_eq!(follower.store.signals_in("prod"), 0);
    // Nothing is heard of the other one, so in the end the lease is free.
    follower.watches().await;
    follower.has_decided(3).await;
    follower.end().await;
}

#[tokio::test]
async fn rights_that_are_missing_are_named_until_they_are_there() {
    let plane = Plane::start().await;
    let account = plane.plane.service_account("seawall", "seawall");
    let client = plane.plane.client_of(&account).await;
    let follower = Follower::of(&plane, client, Arc::default());
    follower.says("cannot get resource").await;
    let role = |name: &str, group: &str, resource: &str, verbs: &[&str]| {
        let metadata = json!({"name": name});
        let subject = json!({"kind": "ServiceAccount", "namespace": "seawall", "name": "seawall"});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
        let rule = json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        plane.plane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": [rule]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
                "roleRef": role, "subjects": [subject]},
        ]}).to_string());
    };
    role("leases", "coordination.k8s.io", "leases", &["get", "create", "update"]);
    follower.says("cannot list resource").await;
    role("events", "events.k8s.io", "events", &["list", "watch"]);
    follower.watches().await;
    plane.happens("a", 1, 0).await;
    follower.has_decided(1).await;
    follower.end().await;
}

#[tokio::test]
async fn only_one_replica_watches_and_another_one_follows_it() {
    let plane = Plane::start().await;
    let first = Follower::start(&plane);
    first.watches().await;
    let second = Follower::start(&plane);
    second.says("by another replica").await;
    plane.happens("a", 1, 0).await;
    first.has_decided(1).await;
    assert_eq!(second.store.signals_in("prod"), 0);

    // It dies without a word: the lease has to run out.
    plane.is_noted().await;
    let began = Stopwatch::start();
    first.task.abort();
    plane.happens("b", 2, 0).await;
    second.has_decided(2).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let lease = plane.lease().await;
    assert_eq!(lease["spec"]["leaseTransitions"], 2, "{lease}");
    second.end().await;
}
