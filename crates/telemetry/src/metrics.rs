//! All families, and how they are shown.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use seawall_model::Timestamp;

use crate::catalogue::{self as families, FamilyDescription, PREFIX};
use crate::families::{
    AuthLabel, AuthMetrics, DecidedLabel, DurationFamily, Durations, HttpLabel, MethodLabel, OperationLabel,
    OutcomeLabel, PolicyLabel, ReceivedLabel, RejectedLabel, RouteLabel, RouteMetrics, ScopeLabel,
    SinkErrorLabel, SinkMetrics, SourceMetrics, StoreErrorLabel, StoreMetrics, StormLabel, StormMetrics,
    VerbLabel,
};
use crate::render::to_text_format;
use crate::state::{StateCollector, StateSnapshot};

/// The metrics of one Seawall.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    received: Family<ReceivedLabel, Counter>,
    decided: Family<DecidedLabel, Counter>,
    rejected: Family<RejectedLabel, Counter>,
    storms_started: Family<StormLabel, Counter>,
    storm_members: Family<StormLabel, Counter>,
    state_operations: DurationFamily<OperationLabel>,
    state_errors: Family<StoreErrorLabel, Counter>,
    publish_errors: Family<SinkErrorLabel, Counter>,
    kube_calls: DurationFamily<VerbLabel>,
    http_requests: Family<HttpLabel, Counter>,
    http_durations: DurationFamily<RouteLabel>,
    http_in_flight: Gauge,
    auth: Family<AuthLabel, Counter>,
    auth_durations: DurationFamily<MethodLabel>,
    rate_limited: Family<ScopeLabel, Counter>,
    config_reloads: Family<OutcomeLabel, Counter>,
    last_reload_successful: Gauge,
    policy_evaluations: Family<PolicyLabel, Counter>,
    /// A family without labels, so that a server without TLS shows none rather than one that ended in 1970.
    tls_not_after: Family<[(&'static str, &'static str); 0], Gauge>,
    state: StateCollector,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            received: Family::default(),
            decided: Family::default(),
            rejected: Family::default(),
            storms_started: Family::default(),
            storm_members: Family::default(),
            state_operations: Family::new_with_constructor(Durations),
            state_errors: Family::default(),
            publish_errors: Family::default(),
            kube_calls: Family::new_with_constructor(Durations),
            http_requests: Family::default(),
            http_durations: Family::new_with_constructor(Durations),
            http_in_flight: Gauge::default(),
            auth: Family::default(),
            auth_durations: Family::new_with_constructor(Durations),
            rate_limited: Family::default(),
            config_reloads: Family::default(),
            last_reload_successful: Gauge::default(),
            policy_evaluations: Family::default(),
            tls_not_after: Family::default(),
            state: StateCollector::default(),
        };
        metrics.register_signals();
        metrics.register_operations();
        metrics.begin_at_zero();
        metrics
    }

    fn register_signals(&mut self) {
        let registry = &mut self.registry;
        register(registry, &families::BUILD, Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        register(registry, &families::SIGNALS_RECEIVED, self.received.clone());
        register(registry, &families::DECISIONS, self.decided.clone());
        register(registry, &families::SIGNALS_REJECTED, self.rejected.clone());
        register(registry, &families::STORMS_STARTED, self.storms_started.clone());
        register(registry, &families::STORM_MEMBERS, self.storm_members.clone());
    }

    fn register_operations(&mut self) {
        let registry = &mut self.registry;
        register(registry, &families::STATE_OPERATION_DURATION, self.state_operations.clone());
        register(registry, &families::STATE_ERRORS, self.state_errors.clone());
        register(registry, &families::PUBLISH_ERRORS, self.publish_errors.clone());
        register(registry, &families::KUBE_API_DURATION, self.kube_calls.clone());
        register(registry, &families::HTTP_REQUESTS, self.http_requests.clone());
        register(registry, &families::HTTP_REQUEST_DURATION, self.http_durations.clone());
        register(registry, &families::HTTP_IN_FLIGHT, self.http_in_flight.clone());
        register(registry, &families::AUTH, self.auth.clone());
        register(registry, &families::AUTH_DURATION, self.auth_durations.clone());
        register(registry, &families::RATE_LIMITED, self.rate_limited.clone());
        register(registry, &families::CONFIG_RELOADS, self.config_reloads.clone());
        register(registry, &families::CONFIG_LAST_RELOAD_SUCCESSFUL, self.last_reload_successful.clone());
        register(registry, &families::POLICY_EVALUATIONS, self.policy_evaluations.clone());
        register(registry, &families::TLS_CERTIFICATE_NOT_AFTER, self.tls_not_after.clone());
        registry.register_collector(Box::new(self.state.clone()));
    }

    /// Shows what has not happened yet as zero, so that the first time it happens is an increase. Otherwise a rule that
    /// looks at increases would see the series begin at 1, which is none.
    fn begin_at_zero(&self) {
        for outcome in families::CONFIG_RELOADS.labels[0].values {
            self.config_reloads.get_or_create_owned(&OutcomeLabel { outcome });
        }
        for scope in families::RATE_LIMITED.labels[0].values {
            self.rate_limited.get_or_create_owned(&ScopeLabel { scope });
        }
        self.last_reload_successful.set(1);
    }

    /// Where the numbers about the state come from; called once per scrape.
    pub fn set_state_source(&self, source: impl Fn() -> StateSnapshot + Send + Sync + 'static) {
        self.state.set(Box::new(source));
    }

    /// The Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut open_metrics = String::with_capacity(16 * 1024);
        match prometheus_client::encoding::text::encode(&mut open_metrics, &self.registry) {
            Ok(()) => to_text_format(&open_metrics),
            Err(error) => {
                tracing::error!(%error, "metrics could not be rendered");
                String::new()
            }
        }
    }

    pub fn source(&self, source: &'static str) -> SourceMetrics {
        SourceMetrics::new(source, &self.received, &self.decided, &self.rejected)
    }

    pub fn storm(&self, rule: &str) -> StormMetrics {
        let label = StormLabel { rule: rule.to_owned() };
        StormMetrics {
            started: self.storms_started.get_or_create_owned(&label),
            members: self.storm_members.get_or_create_owned(&label),
        }
    }

    pub fn store(&self, store: &'static str) -> StoreMetrics {
        let operation = |operation| -> Histogram {
            self.state_operations.get_or_create_owned(&OperationLabel { store, operation })
        };
        StoreMetrics {
            decide: operation("decide"),
            read: operation("read"),
            patch_status: operation("patch_status"),
        }
    }

    /// A call to the state store that failed.
    pub fn state_error(&self, store: &'static str, class: &'static str) {
        self.state_errors.get_or_create(&StoreErrorLabel { store, class }).inc();
    }

    /// A write to the sink that failed.
    pub fn publish_error(&self, sink: &'static str, class: &'static str) {
        self.publish_errors.get_or_create(&SinkErrorLabel { sink, class }).inc();
    }

    pub fn sink(&self, sink: &'static str) -> SinkMetrics {
        SinkMetrics::new(sink, self.state.publish_durations(), &self.publish_errors, &self.kube_calls)
    }

    pub fn route(&self, route: &'static str) -> RouteMetrics {
        RouteMetrics::new(route, &self.http_requests, &self.http_durations)
    }

    /// One way of checking who somebody is or what they may do.
    pub fn auth(&self, method: &'static str) -> AuthMetrics {
        AuthMetrics::new(method, &self.auth, &self.auth_durations, &self.kube_calls)
    }

    /// A call to the Kubernetes API that no sink made.
    pub fn kube_call(&self, verb: &'static str, seconds: f64) {
        self.kube_calls.get_or_create(&VerbLabel { verb }).observe(seconds);
    }

    /// A request that was refused: `client` for an address, `identity` for somebody known.
    pub fn rate_limited(&self, scope: &'static str) {
        self.rate_limited.get_or_create(&ScopeLabel { scope }).inc();
    }

    pub fn http_in_flight(&self) -> &Gauge {
        &self.http_in_flight
    }

    /// A reload of the configuration that was taken over or kept out.
    pub fn config_reload(&self, taken: bool) {
        let outcome = if taken { "success" } else { "failure" };
        self.config_reloads.get_or_create(&OutcomeLabel { outcome }).inc();
        self.last_reload_successful.set(taken.into());
    }

    /// The certificate that new connections are served with is valid until then.
    pub fn tls_certificate(&self, not_after: Timestamp) {
        self.tls_not_after.get_or_create(&[]).set(not_after.as_seconds());
    }

    /// What came of asking a classification policy. Both are words of a fixed set.
    pub fn policy_evaluation(&self, policy: &'static str, outcome: &'static str) {
        self.policy_evaluations.get_or_create(&PolicyLabel { policy, outcome }).inc();
    }
}

fn register(registry: &mut Registry, family: &FamilyDescription, metric: impl Metric) {
    registry.register(family.stem, family.help, metric);
}
