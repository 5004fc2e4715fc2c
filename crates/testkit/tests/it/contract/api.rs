//! One of the two, and how it is asked.

use std::time::Duration;

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use seawall_testkit::eventually;
use seawall_testkit::kubernetes::{ControlPlane, FakeApi};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

pub const APPLY: &str = "application/apply-patch+yaml";
pub const MERGE: &str = "application/merge-patch+json";

/// Both answer at once when there is something to say.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Processes end before their directory goes.
enum Where {
    Fake(FakeApi),
    Real { plane: Box<ControlPlane>, _home: TempDir },
}

pub struct Api {
    place: Where,
    client: Client,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
}

impl Api {
    pub async fn fake() -> Self {
        let fake = FakeApi::start().await;
        Self { client: fake.client(), place: Where::Fake(fake) }
    }

    pub async fn real() -> Self {
        let home = TempDir::with_prefix("seawall-contract-").unwrap();
        let plane = ControlPlane::start_in(home.path(), "kubernetes").await;
        plane.install_crd();
        Self { client: plane.client(), place: Where::Real { plane: Box::new(plane), _home: home } }
    }

    pub fn namespace(&self, name: &str) {
        match &self.place {
            Where::Fake(fake) => fake.add_namespace(name),
            Where::Real { plane, .. } => plane.namespace(name),
        }
    }

    /// Without a controller manager, nothing finishes what this begins.
    pub fn terminate_namespace(&self, name: &str) {
        match &self.place {
            Where::Fake(fake) => fake.terminate_namespace(name),
            Where::Real { plane, .. } => drop(plane.kubectl(&["delete", "namespace", name, "--wait=false"])),
        }
    }

    /// Lets it forget what has happened so far. Watches end.
    pub async fn forget(&mut self) {
        match &mut self.place {
            Where::Fake(fake) => fake.watch_gap(),
            Where::Real { plane, .. } => plane.restart_apiserver().await,
        }
    }

    pub async fn send(&self, method: &str, path: &str, kind: Option<&str>, body: &Value) -> Answer {
        let response = self.open(method, path, kind, body).await;
        let code = response.status().as_u16();
        let bytes =
            timeout(ANSWER_WITHIN, response.into_body().collect()).await.expect(path).unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { code, body }
    }

    async fn open(&self, method: &str, path: &str, kind: Option<&str>, body: &Value) -> http::Response<Body> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind.unwrap_or("application/json"))
            .header("user-agent", "contract/1.0")
            .body(Body::from(body))
            .unwrap();
        timeout(ANSWER_WITHIN, self.client.send(request)).await.expect(path).unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, &Value::Null).await
    }

    /// Applies as `seawall`, without force.
    pub async fn apply(&self, namespace: &str, name: &str, config: &Value) -> Answer {
        self.apply_as("seawall", "", namespace, name, config).await
    }

    pub async fn apply_as(
        &self,
        manager: &str,
        more: &str,
        namespace: &str,
        name: &str,
        config: &Value,
    ) -> Answer {
        let path = format!("{}?fieldManager={manager}{more}", object(namespace, name));
        self.send("PATCH", &path, Some(APPLY), config).await
    }

    pub async fn merge(&self, path: &str, patch: &Value) -> Answer {
        self.send("PATCH", path, Some(MERGE), patch).await
    }

    pub async fn watch(&self, path: &str) -> Watch {
        let response = eventually(ANSWER_WITHIN, || async {
            let response = self.open("GET", path, None, &Value::Null).await;
            // An API server that has just started does not yet know what there is to watch.
            if response.status() == 429 { Err("it has not started yet") } else { Ok(response) }
        })
        .await;
        assert_eq!(response.status(), 200, "{path}");
        Watch { body: response.into_body(), read: Vec::new() }
    }
}

impl Answer {
    pub fn version(&self) -> String {
        self.body["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_else(|| panic!("no version in {self:?}"))
            .to_owned()
    }

    pub fn expect(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{}", self.body);
        self
    }

    /// A refusal with this code and reason, and these reasons among its causes.
    pub fn refused(&self, code: u16, reason: &str, causes: &[&str]) {
        let said = self.body["reason"].as_str().unwrap_or_default();
        assert_eq!((self.code, said), (code, reason), "{}", self.body);
        assert_eq!(self.body["kind"], "Status");
        assert_eq!(self.causes("reason"), causes, "{}", self.body);
    }

    pub fn causes(&self, field: &str) -> Vec<&str> {
        let causes = self.body["details"]["causes"].as_array().into_iter().flatten();
        causes.map(|cause| cause[field].as_str().unwrap_or_default()).collect()
    }
}

/// The answer to a watch.
pub struct Watch {
    body: Body,
    read: Vec<u8>,
}

impl Watch {
    /// The next event that is no bookmark, which come when they like; none when the answer is over.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                if event["type"] != "BOOKMARK" {
                    return Some(event);
                }
                continue;
            }
            let frame = timeout(ANSWER_WITHIN, self.body.frame()).await.expect("an event or the end")?;
            self.read.extend(frame.expect("a watch that ends in order").into_data().expect("no trailers"));
        }
    }

    /// Type and name of the next events.
    pub async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("another event");
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
            told.push(format!("{} {name}", event["type"].as_str().unwrap_or_default()));
        }
        told
    }
}

const BASE: &str = "/apis/remediation.kubernaut.io/v1alpha1";

pub fn everywhere() -> String {
    format!("{BASE}/remediationrequests")
}

pub fn collection(namespace: &str) -> String {
    format!("{BASE}/namespaces/{namespace}/remediationrequests")
}

pub fn object(namespace: &str, name: &str) -> String {
    format!("{}/{name}", collection(namespace))
}

/// The least that the definition allows, under this name.
pub fn request(name: &str) -> Value {
    json!({
        "apiVersion": "remediation.kubernaut.io/v1alpha1",
        "kind": "RemediationRequest",
        "metadata": { "name": name, "labels": { "kubernaut.io/severity": "warning" } },
        "spec": {
            "signalFingerprint": "a".repeat(64),
            "signalName": "PodCrashLooping",
            "severity": "warning",
            "environment": "production",
            "priority": "P1",
            "remediationPath": "moderate",
            "signalType": "prometheus-alert",
            "signalSource": "alertmanager",
            "targetType": "kubernetes",
            "targetResource": { "kind": "Pod", "name": "web-1", "namespace": "shop" },
            "firingTime": "2026-11-28T15:31:00Z",
            "receivedTime": "2026-11-28T15:31:01.5Z",
            "isStorm": false,
            "affectedResources": ["shop:Pod:web-1"],
            "relatedRequests": [],
            "deduplication": {
                "isDuplicate": false,
                "firstSeen": "2026-11-28T15:31:01.5Z",
                "lastSeen": "2026-11-28T15:31:01.5Z",
                "occurrenceCount": 1,
            },
        },
    })
}

/// The least, with one thing otherwise.
pub fn request_with(name: &str, pointer: &str, value: Value) -> Value {
    let mut request = request(name);
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[field] = value;
    request
}
