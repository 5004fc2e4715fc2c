//! A real control plane on the same two cores: where requests become objects, and who says who is asking.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, pin_mut, stream};
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::request::Request;
use kube::{Api, Client, Resource};
use seawall_model::{RemediationRequest, Timestamp};
use seawall_testkit::Samples;
use seawall_testkit::kubernetes::ControlPlane;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::Lab;
use crate::clock;
use crate::payload::namespace;

/// Namespaces that are made at the same time.
const AT_ONCE: usize = 16;
/// A service account that may send alerts about everything.
const SENDER: &str = "sender";
/// Longer than any run.
const TOKEN_SECONDS: u64 = 7_200;

/// etcd and an API server that knows what a request is, gone with this value.
pub struct Kubernetes {
    plane: ControlPlane,
    client: Client,
    runtime: Runtime,
    _directory: TempDir,
}

/// Writes of requests that the API server has carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    pub created: u64,
    pub updated: u64,
    /// Trials that leave nothing behind.
    pub trials: u64,
}

/// How the benchmark itself makes objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Create,
    /// Server-side apply, as Seawall does.
    Apply,
}

impl Kubernetes {
    pub fn start(lab: &Lab) -> Result<Self> {
        let directory = lab.directory()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let plane = runtime.block_on(ControlPlane::start_in(directory.path(), "kubernetes"));
        plane.install_crd();
        let client = plane.client();
        Ok(Self { plane, client, runtime, _directory: directory })
    }

    /// What makes a Seawall publish its requests here.
    pub fn sink(&self) -> Vec<(&'static str, String)> {
        vec![self.kubeconfig(), ("SEAWALL_SINK__KIND", "kubernetes".to_owned())]
    }

    /// What makes a Seawall ask here who is asking.
    pub fn authentication(&self) -> Vec<(&'static str, String)> {
        vec![self.kubeconfig(), ("SEAWALL_AUTH__KUBERNETES__ENABLED", "true".to_owned())]
    }

    fn kubeconfig(&self) -> (&'static str, String) {
        ("KUBECONFIG", self.plane.kubeconfig().to_string_lossy().into_owned())
    }

    /// The token of a service account that may send alerts.
    pub fn sender(&self) -> String {
        let account = self.plane.service_account("default", SENDER);
        let role = "--verb=create --resource=remediationrequests.remediation.kubernaut.io";
        let role: Vec<&str> = ["create", "clusterrole", SENDER].into_iter().chain(role.split(' ')).collect();
        self.plane.kubectl(&role);
        let role = format!("--clusterrole={SENDER}");
        let owner = format!("--serviceaccount={}:{}", account.namespace, account.name);
        self.plane.kubectl(&["create", "clusterrolebinding", SENDER, &role, &owner]);
        self.plane.token(&account.namespace, &account.name, None, TOKEN_SECONDS)
    }

    pub fn namespace(&self, name: &str) {
        self.plane.namespace(name);
    }

    /// Makes so many of the namespaces that alerts are about.
    pub fn namespaces(&self, count: u64) -> Result<()> {
        let make = |number| {
            let object =
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace(number) } });
            let request = Request::new("/api/v1/namespaces");
            let request = request.create(&PostParams::default(), object.to_string().into_bytes());
            async { anyhow::Ok(self.client.request::<Value>(request?).await?) }
        };
        let all = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>();
        self.runtime.block_on(all).context("cannot make namespaces").map(drop)
    }

    /// What the API server itself has counted since it was started.
    pub fn writes(&self) -> Result<Writes> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = self.runtime.block_on(self.client.request_text(request))?;
        let samples = Samples::parse(&text);
        let count = |labels: &[&str]| {
            let ours = [labels, &[r#"resource="remediationrequests""#]].concat();
            samples.sum("apiserver_request_total", &ours) as u64
        };
        let mut writes = Writes { created: 0, updated: 0, trials: 0 };
        for verb in ["APPLY", "PATCH", "PUT", "POST"].map(|verb| format!("verb=\"{verb}\"")) {
            writes.created += count(&[&verb, r#"code="201""#, r#"dry_run="""#]);
            writes.updated += count(&[&verb, r#"code="200""#, r#"dry_run="""#]);
            writes.trials += count(&[&verb, r#"dry_run="All""#]);
        }
        Ok(writes)
    }

    /// Waits until Seawall has tried whether it can write here, which makes the API server ready for the first object.
    pub fn tried(&self, patience: Duration) -> Result<()> {
        let tried = || self.writes().ok().filter(|writes| writes.trials > 0 || writes.created > 0).map(drop);
        clock::poll(Duration::from_millis(200), patience, tried).context("Seawall has not tried to write")
    }

    /// All requests in a namespace, as they are.
    pub fn requests(&self, namespace: &str) -> Result<Vec<Value>> {
        let request = Request::new(RemediationRequest::url_path(&(), Some(namespace)));
        let list: Value =
            self.runtime.block_on(self.client.request(request.list(&ListParams::default())?))?;
        Ok(list["items"].as_array().context("a list without items")?.clone())
    }

    /// Notes when it first sees each request with an alert from after `since`, which objects tell to the second, until
    /// that are `expected` or `patience` is over. In order.
    pub fn news(&self, since: Timestamp, expected: usize, patience: Duration) -> Result<Vec<Instant>> {
        let api: Api<RemediationRequest> = Api::all(self.client.clone());
        let mut seen = HashMap::new();
        let mut look = |object: &RemediationRequest| {
            if object.spec.deduplication.last_seen > since {
                let place = (object.metadata.namespace.clone(), object.metadata.name.clone());
                seen.entry(place).or_insert_with(clock::now);
            }
            seen.len() >= expected
        };
        let watched = async {
            // A server that has just started may break off; then it is asked again.
            loop {
                let list = api.list(&ListParams::default()).await?;
                let version = list.metadata.resource_version.unwrap_or_default();
                if list.items.iter().any(&mut look) {
                    return anyhow::Ok(());
                }
                let events = api.watch(&WatchParams::default(), &version).await?;
                pin_mut!(events);
                while let Some(event) = events.try_next().await? {
                    match event {
                        WatchEvent::Added(object) | WatchEvent::Modified(object) if look(&object) => {
                            return Ok(());
                        }
                        WatchEvent::Error(status) => anyhow::bail!("the watch is told {status:?}"),
                        _ => {}
                    }
                }
            }
        };
        let ended = self.runtime.block_on(async { tokio::time::timeout(patience, watched).await });
        ended.unwrap_or(Ok(()))?;
        let mut times: Vec<Instant> = seen.into_values().collect();
        times.sort_unstable();
        Ok(times)
    }

    /// Makes objects like `model`, one in each namespace of these numbers, so many at the same time.
    pub fn make(
        &self,
        method: Method,
        model: &Value,
        numbers: Range<u64>,
        writers: usize,
    ) -> Result<Duration> {
        let (next, end) = (Arc::new(AtomicU64::new(numbers.start)), numbers.end);
        let started = clock::now();
        self.runtime.block_on(async {
            let mut all = JoinSet::new();
            for _ in 0..writers {
                let (client, model, next) = (self.client.clone(), model.clone(), Arc::clone(&next));
                all.spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= end {
                            return anyhow::Ok(());
                        }
                        make_one(&client, method, model.clone(), number).await?;
                    }
                });
            }
            while let Some(ended) = all.join_next().await {
                ended.context("a writer panicked")??;
            }
            anyhow::Ok(())
        })?;
        Ok(clock::now() - started)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.plane.kill_apiserver();
    }

    /// Starts the API server again; returns when it is ready.
    pub fn restart(&mut self) {
        self.runtime.block_on(self.plane.restart_apiserver());
    }

    pub fn freeze(&self) {
        self.plane.pause();
    }

    pub fn thaw(&self) {
        self.plane.resume();
    }
}

async fn make_one(client: &Client, method: Method, mut object: Value, number: u64) -> Result<()> {
    let (namespace, name) = (namespace(number), format!("rr-{number:016x}-1"));
    object["metadata"]["namespace"] = namespace.as_str().into();
    object["metadata"]["name"] = name.as_str().into();
    let request = Request::new(RemediationRequest::url_path(&(), Some(&namespace)));
    let request = match method {
        Method::Create => request.create(&PostParams::default(), serde_json::to_vec(&object)?),
        Method::Apply => request.patch(&name, &PatchParams::apply("bench"), &Patch::Apply(&object)),
    };
    client.request::<Value>(request?).await.with_context(|| format!("cannot make {name}"))?;
    Ok(())
}

/// What of an object its maker says, without what the server added.
pub fn as_written(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, _| matches!(name.as_str(), "labels" | "annotations"));
    }
    object["apiVersion"] = RemediationRequest::api_version(&()).into();
    object["kind"] = RemediationRequest::kind(&()).into();
    object
}
