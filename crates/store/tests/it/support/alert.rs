//! Alerts as tests speak of them.

use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use seawall_model::{
    Detail, Field, Fingerprint, Identity, Severity, Signal, SignalType, Timestamp, priority_of,
    remediation_path_of,
};

/// An alert about a pod or, without a namespace, about a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub cluster: CompactString,
    pub namespace: CompactString,
    pub name: CompactString,
    pub resource: CompactString,
    pub severity: Severity,
    pub grouping: Vec<(Field, CompactString)>,
    pub payload: Bytes,
}

impl Alert {
    pub fn new(namespace: &str, name: &str, resource: &str) -> Self {
        Self {
            cluster: "".into(),
            namespace: namespace.into(),
            name: name.into(),
            resource: resource.into(),
            severity: Severity::Warning,
            grouping: Vec::new(),
            payload: Bytes::from_static(b"{}"),
        }
    }

    pub fn in_cluster(self, cluster: &str) -> Self {
        Self { cluster: cluster.into(), ..self }
    }

    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// With a label that a rule may group by.
    pub fn with(mut self, field: Field, value: &str) -> Self {
        self.grouping.push((field, value.into()));
        self
    }

    pub fn with_payload(self, payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..self }
    }

    pub fn firing(&self) -> Signal {
        self.signal(false)
    }

    pub fn resolved(&self) -> Signal {
        self.signal(true)
    }

    fn kind(&self) -> &'static str {
        if self.namespace.is_empty() { "Node" } else { "Pod" }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let cluster = Some(self.cluster.as_str()).filter(|cluster| !cluster.is_empty());
        Fingerprint::of(cluster, [&self.name, &self.namespace, self.kind(), &self.resource], [])
    }

    fn signal(&self, resolved: bool) -> Signal {
        let environment = "staging";
        let priority = priority_of(self.severity, environment);
        Signal {
            fingerprint: self.fingerprint(),
            identity: Identity {
                cluster: self.cluster.clone(),
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                kind: self.kind().into(),
                resource: self.resource.clone(),
            },
            api_version: Some("v1".into()),
            severity: self.severity,
            environment: environment.into(),
            priority,
            path: remediation_path_of(environment, priority),
            resolved,
            firing_time: Timestamp::from_millis(1_600_000_000_000),
            grouping: self.grouping.clone(),
            detail: Detail {
                signal_type: SignalType::PrometheusAlert,
                source: "test".into(),
                payload: self.payload.clone().into(),
                context: Default::default(),
            },
        }
    }
}

/// The same alert from `count` pods.
pub fn pods(namespace: &str, name: &str, count: usize) -> Vec<Alert> {
    (0..count).map(|nth| Alert::new(namespace, name, &format_compact!("web-{nth}"))).collect()
}
