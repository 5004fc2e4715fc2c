//! What can happen to a Seawall, one readable line each.

use std::fmt;

use bytes::Bytes;
use seawall_model::{
    Detail, Field, Fingerprint, Identity, Millis, Phase, Severity, Signal, SignalType, Timestamp,
    priority_of, remediation_path_of,
};

/// An alert about a pod (or, without a namespace, about a node), before it is a signal.
#[derive(Clone, PartialEq)]
pub struct Alert {
    pub cluster: &'static str,
    pub namespace: &'static str,
    pub name: String,
    pub resource: String,
    pub severity: Severity,
    pub node: Option<&'static str>,
    pub team: Option<&'static str>,
}

impl Alert {
    pub fn new(namespace: &'static str, name: &str, resource: impl Into<String>) -> Self {
        Self {
            cluster: "",
            namespace,
            name: name.to_owned(),
            resource: resource.into(),
            severity: Severity::Warning,
            node: None,
            team: None,
        }
    }

    pub fn in_cluster(self, cluster: &'static str) -> Self {
        Self { cluster, ..self }
    }

    pub fn on_node(self, node: &'static str) -> Self {
        Self { node: Some(node), ..self }
    }

    pub fn of_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
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
        let cluster = Some(self.cluster).filter(|cluster| !cluster.is_empty());
        Fingerprint::of(cluster, [&self.name, self.namespace, self.kind(), &self.resource], [])
    }

    fn signal(&self, resolved: bool) -> Signal {
        let environment = if self.namespace == "pay" { "production" } else { "staging" };
        let priority = priority_of(self.severity, environment);
        let node = self.node.map(|node| (Field::Node, node.into()));
        let team = self.team.map(|team| (Field::Label("team".into()), team.into()));
        Signal {
            fingerprint: self.fingerprint(),
            identity: Identity {
                cluster: self.cluster.into(),
                namespace: self.namespace.into(),
                name: self.name.as_str().into(),
                kind: self.kind().into(),
                resource: self.resource.as_str().into(),
            },
            api_version: Some("v1".into()),
            severity: self.severity,
            environment: environment.into(),
            priority,
            path: remediation_path_of(environment, priority),
            resolved,
            firing_time: Timestamp::from_millis(0),
            grouping: node.into_iter().chain(team).collect(),
            detail: Detail {
                signal_type: SignalType::PrometheusAlert,
                source: "test".into(),
                payload: Bytes::from_static(b"{}").into(),
                context: Default::default(),
            },
        }
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.cluster.is_empty() {
            write!(f, "{}:", self.cluster)?;
        }
        write!(f, "{}/{}/{} {}", self.namespace, self.name, self.resource, self.severity.as_str())?;
        self.node.map_or(Ok(()), |node| write!(f, " node={node}"))?;
        self.team.map_or(Ok(()), |team| write!(f, " team={team}"))
    }
}

#[derive(Clone)]
pub enum Step {
    Fire(Alert),
    /// The same alert from this many resources.
    Burst(Alert, u8),
    Resolve(Alert),
    /// The last delivery once more.
    Redeliver,
    /// A worker reports about the n-th request that was ever seen in the sink.
    Report(usize, Phase),
    /// The clock moves, backward too.
    Clock(Millis),
    /// The clock moves and the engine is told.
    Tick(Millis),
    /// Other rules are loaded.
    Reload,
    /// Everything so far is durable and published.
    Commit,
    /// The process dies; `lost` says whether what was not committed is gone, or was committed and just not answered.
    Crash {
        lost: bool,
    },
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fire(alert) => write!(f, "fire {alert:?}"),
            Self::Burst(alert, resources) => write!(f, "fire {alert:?} and {resources} more"),
            Self::Resolve(alert) => write!(f, "resolve {alert:?}"),
            Self::Redeliver => write!(f, "redeliver"),
            Self::Report(nth, phase) => write!(f, "report {phase:?} for request {nth}"),
            Self::Clock(by) => write!(f, "clock {by:+}ms"),
            Self::Tick(by) => write!(f, "clock {by:+}ms and tick"),
            Self::Reload => write!(f, "reload"),
            Self::Commit => write!(f, "commit"),
            Self::Crash { lost: true } => write!(f, "crash, the open batch is lost"),
            Self::Crash { lost: false } => write!(f, "crash after a commit"),
        }
    }
}
