//! A sink between a store in memory and a real API server.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::Cluster;
use seawall_model::{RequestRef, SystemClock};
use seawall_sink::{KubernetesSettings, KubernetesSink};
use seawall_store::{Sink, SinkStats, StateStore};
use seawall_telemetry::Metrics;
use seawall_testkit::eventually;
use seawall_testkit::kubernetes::{ControlPlane, FakeApi};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fake::FakeStore;

/// Every wait of a test ends here; nothing takes nearly as long.
pub const SOON: Duration = Duration::from_secs(30);

pub struct Scene<P = ControlPlane> {
    pub plane: P,
    pub store: Arc<FakeStore>,
    pub metrics: Arc<Metrics>,
    settings: KubernetesSettings,
    running: Option<Running>,
    _home: TempDir,
}

/// Where a sink can write to.
pub trait Plane {
    fn client(&self) -> kube::Client;
    fn url(&self) -> String;
}

impl Plane for ControlPlane {
    fn client(&self) -> kube::Client {
        Self::client(self)
    }
    fn url(&self) -> String {
        Self::url(self)
    }
}

impl Plane for FakeApi {
    fn client(&self) -> kube::Client {
        Self::client(self)
    }
    fn url(&self) -> String {
        Self::url(self)
    }
}

struct Running {
    sink: Arc<KubernetesSink>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Scene {
    /// With the namespaces `prod` and `seawall`, which is the fallback.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut KubernetesSettings)) -> Self {
        let mut scene = Self::without_sink(change).await;
        scene.start_sink();
        scene
    }

    async fn without_sink(change: impl FnOnce(&mut KubernetesSettings)) -> Self {
        let home = TempDir::with_prefix("seawall-sink-").unwrap();
        let plane = ControlPlane::start_in(home.path(), "kubernetes").await;
        plane.install_crd();
        plane.namespace("prod");
        plane.namespace("seawall");
        Self::before(plane, home, change)
    }

    /// The object as it is.
    pub fn object(&self, place: &RequestRef) -> Value {
        self.try_object(place).unwrap()
    }

    pub fn try_object(&self, place: &RequestRef) -> Result<Value, String> {
        let (namespace, name) = (&*place.namespace, place.id.to_string());
        let text = self.plane.try_kubectl(&[
            "get",
            "rr",
            "-n",
            namespace,
            &name,
            "-o",
            "json",
            "--show-managed-fields",
        ])?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    /// Changes the object as somebody else does.
    pub fn patch(&self, place: &RequestRef, subresource: Option<&str>, patch: &Value) {
        let (namespace, name, patch) = (&*place.namespace, place.id.to_string(), patch.to_string());
        let mut args = vec!["patch", "rr", "-n", namespace, &name, "--type=merge", "-p", &patch];
        let subresource = subresource.map(|name| format!("--subresource={name}"));
        args.extend(subresource.as_deref());
        self.plane.kubectl(&args);
    }

    pub fn delete(&self, place: &RequestRef) {
        self.plane.kubectl(&["delete", "rr", "-n", &place.namespace, &place.id.to_string()]);
    }
}

impl Scene<FakeApi> {
    /// The same with an API server that can be told what goes wrong.
    pub async fn fake(change: impl FnOnce(&mut KubernetesSettings)) -> Self {
        let plane = FakeApi::start().await;
        plane.add_namespace("prod");
        plane.add_namespace("seawall");
        let home = TempDir::with_prefix("seawall-sink-").unwrap();
        let mut scene = Self::before(plane, home, change);
        scene.start_sink();
        scene
    }
}

impl<P: Plane> Scene<P> {
    fn before(plane: P, home: TempDir, change: impl FnOnce(&mut KubernetesSettings)) -> Self {
        let mut settings = KubernetesSettings {
            fallback_namespace: Some("seawall".into()),
            qps: NonZeroU32::new(1_000).unwrap(),
            burst: NonZeroU32::new(1_000).unwrap(),
            ..KubernetesSettings::default()
        };
        settings.publish.breaker_open = Duration::from_millis(500);
        change(&mut settings);
        let metrics = Arc::new(Metrics::new());
        Self { plane, store: Arc::default(), metrics, settings, running: None, _home: home }
    }

    fn cluster(&self) -> Cluster {
        Cluster { client: self.plane.client(), namespace: "default".to_owned(), server: self.plane.url() }
    }

    pub fn start_sink(&mut self) {
        let cluster = self.cluster();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let store: Arc<dyn StateStore> = self.store.clone();
        let clock = Arc::new(SystemClock);
        let sink =
            KubernetesSink::start(&cluster, &store, &self.settings, &self.metrics, clock, &tasks, &stop);
        tasks.close();
        self.running = Some(Running { sink, tasks, stop });
    }

    /// As another process on the same store.
    pub fn restart_sink(&mut self) {
        self.store = Arc::new(self.store.reopened());
        self.start_sink();
    }

    pub async fn stop_sink(&mut self) {
        let Running { tasks, stop, .. } = self.running.take().unwrap();
        stop.cancel();
        tokio::time::timeout(SOON, tasks.wait()).await.expect("the sink ends");
    }

    pub fn sink(&self) -> &KubernetesSink {
        &self.running.as_ref().unwrap().sink
    }

    pub fn stats(&self) -> SinkStats {
        self.sink().stats()
    }

    /// Waits until the store knows that the request exists in this version.
    pub async fn placed(&self, request: &RequestRef, sequence: u64) -> RequestRef {
        let placement = eventually(SOON, || async {
            match self.store.placement(request) {
                Some(placement) if placement.sequence >= sequence => Ok(placement),
                other => Err(format!("{other:?}; {:?}", self.sink().health())),
            }
        })
        .await;
        RequestRef { namespace: placement.namespace, id: placement.name.parse().unwrap() }
    }

    pub fn errors(&self, class: &str) -> bool {
        let line = format!("seawall_publish_errors_total{{sink=\"kubernetes\",class=\"{class}\"}}");
        self.metrics.render().lines().any(|shown| shown.starts_with(&line))
    }
}
