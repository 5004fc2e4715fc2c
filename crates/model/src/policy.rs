//! The validated rules by which signals are decided. Configuration is turned into this once, at load.

use std::sync::Arc;

use compact_str::CompactString;

use crate::Millis;

/// What a storm rule may group by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    Cluster,
    Namespace,
    Alertname,
    /// The workload behind the resource: the first of the labels in [`Field::OWNER_LABELS`] that is present.
    Owner,
    Node,
    Severity,
    /// Any other label by its name.
    Label(CompactString),
}

impl Field {
    /// Labels that name a workload, most specific first.
    pub const OWNER_LABELS: [&'static str; 6] =
        ["deployment", "statefulset", "daemonset", "cronjob", "job_name", "owner_name"];

    pub fn parse(text: &str) -> Self {
        match text {
            "cluster" => Self::Cluster,
            "namespace" => Self::Namespace,
            "alertname" => Self::Alertname,
            "owner" => Self::Owner,
            "node" => Self::Node,
            "severity" => Self::Severity,
            label => Self::Label(label.into()),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Cluster => "cluster",
            Self::Namespace => "namespace",
            Self::Alertname => "alertname",
            Self::Owner => "owner",
            Self::Node => "node",
            Self::Severity => "severity",
            Self::Label(label) => label,
        }
    }

    /// Whether the value must be taken from the labels while they are at hand; the others are part of every signal.
    pub const fn is_taken_from_labels(&self) -> bool {
        matches!(self, Self::Owner | Self::Node | Self::Label(_))
    }
}

/// One storm rule. Lengths of time are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StormRule {
    pub name: Arc<str>,
    pub group_by: Vec<Field>,
    /// Distinct fingerprints of new incidents inside `window` that make a storm; at least 1.
    pub threshold: u32,
    pub window: Millis,
    /// A storm ends after this long without a signal.
    pub quiet: Millis,
    /// A storm older than this is continued by a successor.
    pub max_duration: Millis,
    /// From the second new signal of a group inside this long on, a request of its own waits at most this long. 0: off.
    pub hold: Millis,
    /// How long the request of the first signal of a group waits. 0: not at all.
    pub hold_first: Millis,
    /// The least time between two published updates of a storm's request.
    pub flush: Millis,
}

impl StormRule {
    /// A rule that takes the default for everything but its name and group.
    pub fn named(name: &str, group_by: Vec<Field>) -> Self {
        Self {
            name: name.into(),
            group_by,
            threshold: 10,
            window: 60_000,
            quiet: 300_000,
            max_duration: 3_600_000,
            hold: 1_000,
            hold_first: 0,
            flush: 1_000,
        }
    }

    /// `rate` for rules that look at one alert name, `flood` for rules that look across names.
    pub fn storm_type(&self) -> &'static str {
        if self.group_by.contains(&Field::Alertname) { "rate" } else { "flood" }
    }
}

/// Everything a decision depends on beside the signal, the state and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// An incident ends after this long without a firing signal.
    pub ttl: Millis,
    /// Signals this soon after a worker finished a request still count on it.
    pub cooldown: Millis,
    pub rules: Vec<StormRule>,
    /// The least time between two published updates of the request of a single incident.
    pub flush: Millis,
    /// Affected resources listed by name in a storm's request.
    pub sample: usize,
    /// Where requests of cluster-scoped signals, and of namespaces that are no DNS label, live.
    pub fallback_namespace: CompactString,
    /// How long an ended storm can still be looked at.
    pub storm_memory: Millis,
    /// How long a finished request is kept after its last change (store sink).
    pub retention: Millis,
    /// Whether requests also have to exist outside the state store: then what is not there yet is remembered.
    pub published: bool,
}

impl Policy {
    /// The labels whose values the rules need from every signal.
    pub fn grouping_fields(&self) -> impl Iterator<Item = &Field> {
        self.rules.iter().flat_map(|rule| &rule.group_by).filter(|field| field.is_taken_from_labels())
    }
}

impl Default for Policy {
    fn default() -> Self {
        let rate = StormRule::named("namespace-rate", vec![Field::Namespace, Field::Alertname]);
        let flood = StormRule::named("namespace-flood", vec![Field::Namespace]);
        Self {
            ttl: 300_000,
            cooldown: 300_000,
            rules: vec![rate, StormRule { threshold: 50, ..flood }],
            flush: 1_000,
            sample: 250,
            fallback_namespace: "default".into(),
            storm_memory: 3_600_000,
            retention: 7 * 86_400_000,
            published: false,
        }
    }
}
