//! Alerts as Alertmanager sends them.

use std::collections::BTreeMap;

use bytes::Bytes;
use seawall_model::Fingerprint;
use serde_json::{Value, json};

/// A time well in the past, for alerts that began then.
const STARTED: &str = "2026-11-01T09:00:00Z";
/// How Go says that a time is not set.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// One alert about one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub name: String,
    pub namespace: String,
    pub pod: String,
    pub resolved: bool,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Alert {
    pub fn new(name: &str, namespace: &str, pod: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            pod: pod.into(),
            resolved: false,
            labels: BTreeMap::from([("severity".to_owned(), "critical".to_owned())]),
            annotations: BTreeMap::from([("summary".to_owned(), format!("{name} in {namespace}"))]),
        }
    }

    /// `count` crashing pods of one namespace.
    pub fn pods(name: &str, namespace: &str, count: usize) -> Vec<Self> {
        (0..count).map(|pod| Self::new(name, namespace, format!("web-{pod}"))).collect()
    }

    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn resolved(mut self) -> Self {
        self.resolved = true;
        self
    }

    /// The identity that Seawall must find, worked out here once more from the text of the contract.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(None, [&self.name, &self.namespace, "Pod", &self.pod], [])
    }

    fn all_labels(&self) -> BTreeMap<&str, &str> {
        let own = [("alertname", &*self.name), ("namespace", &*self.namespace), ("pod", &*self.pod)];
        self.labels.iter().map(|(name, value)| (&**name, &**value)).chain(own).collect()
    }

    /// As one element of a webhook's `alerts`.
    pub fn webhook_alert(&self) -> Value {
        json!({
            "status": if self.resolved { "resolved" } else { "firing" },
            "labels": self.all_labels(),
            "annotations": self.annotations,
            "startsAt": STARTED,
            "endsAt": if self.resolved { "2026-11-01T09:30:00Z" } else { NEVER },
            "generatorURL": "http://prometheus.example/graph?g0.expr=up",
            "fingerprint": "5ef77f1f8a3ecfc1",
        })
    }

    /// As one element of what is posted to `/api/v2/alerts`. Alertmanager takes an alert as over when its end has
    /// come, so one that fires has none.
    pub fn api_alert(&self) -> Value {
        let mut alert = json!({
            "labels": self.all_labels(),
            "annotations": self.annotations,
            "generatorURL": "http://prometheus.example/graph?g0.expr=up",
        });
        if self.resolved {
            alert["startsAt"] = json!(STARTED);
            alert["endsAt"] = json!("2026-11-01T09:30:00Z");
        }
        alert
    }
}

/// The body of an Alertmanager webhook, version 4.
pub fn webhook(alerts: &[Alert]) -> Bytes {
    let body = json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"group\"}",
        "truncatedAlerts": 0,
        "status": if alerts.iter().all(|alert| alert.resolved) { "resolved" } else { "firing" },
        "receiver": "seawall",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": alerts.iter().map(Alert::webhook_alert).collect::<Vec<_>>(),
    });
    body.to_string().into()
}
