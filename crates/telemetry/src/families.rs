//! Handles that are taken once and counted on without looking anything up.

use std::sync::OnceLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::histogram::Histogram;
use seawall_model::{DecisionKind, Severity};

use crate::{catalogue as families, monitoring};

/// What became of one alert, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionLabel {
    Decided(DecisionKind),
    Suppressed,
    Rejected,
}

impl DecisionLabel {
    const ALL: [Self; 7] = [
        Self::Decided(DecisionKind::Created),
        Self::Decided(DecisionKind::Accepted),
        Self::Decided(DecisionKind::Duplicate),
        Self::Decided(DecisionKind::Aggregated),
        Self::Decided(DecisionKind::Resolved),
        Self::Suppressed,
        Self::Rejected,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decided(kind) => kind.as_str(),
            Self::Suppressed => "suppressed",
            Self::Rejected => "rejected",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Decided(DecisionKind::Created) => 0,
            Self::Decided(DecisionKind::Accepted) => 1,
            Self::Decided(DecisionKind::Duplicate) => 2,
            Self::Decided(DecisionKind::Aggregated) => 3,
            Self::Decided(DecisionKind::Resolved) => 4,
            Self::Suppressed => 5,
            Self::Rejected => 6,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReceivedLabel {
    source: &'static str,
    severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct DecidedLabel {
    source: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RejectedLabel {
    source: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ScopeLabel {
    pub(crate) scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StormLabel {
    pub(crate) rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OperationLabel {
    pub(crate) store: &'static str,
    pub(crate) operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StoreErrorLabel {
    pub(crate) store: &'static str,
    pub(crate) class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SinkErrorLabel {
    pub(crate) sink: &'static str,
    pub(crate) class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PublishLabel {
    pub(crate) sink: &'static str,
    pub(crate) verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct VerbLabel {
    pub(crate) verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HttpLabel {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabel {
    pub(crate) route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PolicyLabel {
    pub(crate) policy: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AuthLabel {
    pub(crate) method: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct MethodLabel {
    pub(crate) method: &'static str,
}

/// Buckets from a tenth of a millisecond, a decision without a wait, to ten seconds, where every deadline has passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
            10.0,
        ])
    }
}

pub(crate) type DurationFamily<L> = Family<L, Histogram, Durations>;

/// Everything that is counted about the signals of one adapter.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    received: [Counter; 3],
    decided: [Counter; 7],
    source: &'static str,
    rejected: Family<RejectedLabel, Counter>,
}

impl SourceMetrics {
    pub(crate) fn new(
        source: &'static str,
        received: &Family<ReceivedLabel, Counter>,
        decided: &Family<DecidedLabel, Counter>,
        rejected: &Family<RejectedLabel, Counter>,
    ) -> Self {
        // From zero on, so that a rule which looks at increases sees the first ones.
        for reason in families::SIGNALS_REJECTED.labels[1].values {
            rejected.get_or_create_owned(&RejectedLabel { source, reason });
        }
        Self {
            received: [Severity::Info, Severity::Warning, Severity::Critical].map(|severity| {
                received.get_or_create_owned(&ReceivedLabel { source, severity: severity.as_str() })
            }),
            decided: DecisionLabel::ALL.map(|decision| {
                decided.get_or_create_owned(&DecidedLabel { source, decision: decision.as_str() })
            }),
            source,
            rejected: rejected.clone(),
        }
    }

    pub fn received(&self, severity: Severity, count: u64) {
        add(&self.received[severity as usize], count);
    }

    pub fn decided(&self, decision: DecisionLabel, count: u64) {
        add(&self.decided[decision.index()], count);
    }

    /// Signals, or whole bodies, that were not taken. Reasons are a handful of words, never what a sender wrote.
    pub fn rejected(&self, reason: &'static str, count: u64) {
        if count > 0 {
            self.rejected.get_or_create(&RejectedLabel { source: self.source, reason }).inc_by(count);
        }
    }
}

fn add(counter: &Counter, count: u64) {
    if count > 0 {
        counter.inc_by(count);
    }
}

/// What is counted about the storms of one rule.
#[derive(Clone, Debug)]
pub struct StormMetrics {
    pub started: Counter,
    pub members: Counter,
}

/// The calls of one store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    pub decide: Histogram,
    pub read: Histogram,
    pub patch_status: Histogram,
}

/// How the check of somebody ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthOutcome {
    Allowed,
    Denied,
    /// There was nothing to check.
    Missing,
    /// It cannot be checked now.
    Unavailable,
}

impl AuthOutcome {
    const ALL: [Self; 4] = [Self::Allowed, Self::Denied, Self::Missing, Self::Unavailable];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Missing => "missing",
            Self::Unavailable => "unavailable",
        }
    }
}

/// One way of checking who somebody is or what they may do.
#[derive(Clone, Debug)]
pub struct AuthMetrics {
    outcomes: [Counter; 4],
    duration: Histogram,
    calls: DurationFamily<VerbLabel>,
}

impl AuthMetrics {
    pub(crate) fn new(
        method: &'static str,
        outcomes: &Family<AuthLabel, Counter>,
        durations: &DurationFamily<MethodLabel>,
        calls: &DurationFamily<VerbLabel>,
    ) -> Self {
        Self {
            calls: calls.clone(),
            outcomes: AuthOutcome::ALL.map(|outcome| {
                outcomes.get_or_create_owned(&AuthLabel { method, outcome: outcome.as_str() })
            }),
            duration: durations.get_or_create_owned(&MethodLabel { method }),
        }
    }

    pub fn count(&self, outcome: AuthOutcome) {
        self.outcomes[outcome as usize].inc();
    }

    /// Of checks for which somebody else was asked; what is remembered takes no time.
    pub const fn duration(&self) -> &Histogram {
        &self.duration
    }

    /// A check for which the Kubernetes API was asked.
    pub fn reviewed(&self, seconds: f64) {
        self.duration.observe(seconds);
        self.calls.get_or_create(&VerbLabel { verb: "create" }).observe(seconds);
    }
}

/// The writes to one sink, and the calls that it takes. Verbs and classes are a handful of words.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    sink: &'static str,
    durations: DurationFamily<PublishLabel>,
    errors: Family<SinkErrorLabel, Counter>,
    calls: DurationFamily<VerbLabel>,
}

impl SinkMetrics {
    pub(crate) fn new(
        sink: &'static str,
        durations: &DurationFamily<PublishLabel>,
        errors: &Family<SinkErrorLabel, Counter>,
        calls: &DurationFamily<VerbLabel>,
    ) -> Self {
        // As above; others come and go with the network.
        for class in monitoring::REFUSALS {
            errors.get_or_create_owned(&SinkErrorLabel { sink, class });
        }
        Self { sink, durations: durations.clone(), errors: errors.clone(), calls: calls.clone() }
    }

    /// A request that was brought up to date, with everything that took.
    pub fn published(&self, verb: &'static str, seconds: f64) {
        self.durations.get_or_create(&PublishLabel { sink: self.sink, verb }).observe(seconds);
    }

    pub fn error(&self, class: &'static str) {
        self.errors.get_or_create(&SinkErrorLabel { sink: self.sink, class }).inc();
    }

    /// One call to the Kubernetes API.
    pub fn call(&self, verb: &'static str, seconds: f64) {
        self.calls.get_or_create(&VerbLabel { verb }).observe(seconds);
    }
}

/// One HTTP route.
#[derive(Debug)]
pub struct RouteMetrics {
    route: &'static str,
    durations: Histogram,
    requests: Family<HttpLabel, Counter>,
    /// The answers that nearly every request gets, so that counting them looks nothing up. Filled when the first one
    /// happens: a series appears only once it has counted something.
    usual: [(&'static str, u16, OnceLock<Counter>); 4],
}

impl RouteMetrics {
    pub(crate) fn new(
        route: &'static str,
        requests: &Family<HttpLabel, Counter>,
        durations: &DurationFamily<RouteLabel>,
    ) -> Self {
        Self {
            route,
            durations: durations.get_or_create_owned(&RouteLabel { route }),
            requests: requests.clone(),
            usual: [("POST", 201), ("POST", 202), ("POST", 200), ("GET", 200)]
                .map(|(method, status)| (method, status, OnceLock::new())),
        }
    }

    /// Counts one answered request. `method` must come from a bounded set.
    pub fn observe(&self, method: &'static str, status: u16, seconds: f64) {
        self.durations.observe(seconds);
        let label = HttpLabel { route: self.route, method, status };
        let usual = self.usual.iter().find(|(usual, code, _)| *usual == method && *code == status);
        match usual {
            Some((_, _, counter)) => counter.get_or_init(|| self.requests.get_or_create_owned(&label)).inc(),
            None => self.requests.get_or_create(&label).inc(),
        };
    }
}
