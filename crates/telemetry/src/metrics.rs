//! All families, and how they are shown.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use seawall_model::Timestamp;

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
            registry: Registry::with_prefix("seawall"),
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
            policy_evaluations: Family::default(),
            tls_not_after: Family::default(),
            state: StateCollector::default(),
        };
        metrics.register_signals();
        metrics.register_operations();
        metrics
    }

    fn register_signals(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        registry.register("signals_received", "Valid signals received", self.received.clone());
        registry.register("decisions", "What became of the signals", self.decided.clone());
        registry.register(
            "signals_rejected",
            "Signals and bodies that were not taken",
            self.rejected.clone(),
        );
        registry.register("storms_started", "Storms opened", self.storms_started.clone());
        registry.register("storm_members", "Fingerprints that joined a storm", self.storm_members.clone());
    }

    fn register_operations(&mut self) {
        let registry = &mut self.registry;
        let help = "Duration of calls to the state store";
        registry.register("state_operation_duration_seconds", help, self.state_operations.clone());
        registry.register("state_errors", "Failed calls to the state store", self.state_errors.clone());
        registry.register("publish_errors", "Failed writes to the sink", self.publish_errors.clone());
        let help = "Duration of calls to the Kubernetes API";
        registry.register("kube_api_duration_seconds", help, self.kube_calls.clone());
        registry.register("http_requests", "HTTP requests answered", self.http_requests.clone());
        let help = "Time from the end of the headers to the answer";
        registry.register("http_request_duration_seconds", help, self.http_durations.clone());
        registry.register(
            "http_requests_in_flight",
            "HTTP requests being answered",
            self.http_in_flight.clone(),
        );
        registry.register("auth", "Checks of who is asking and what they may do", self.auth.clone());
        let help = "Duration of the reviews that checks needed; remembered answers need none";
        registry.register("auth_duration_seconds", help, self.auth_durations.clone());
        let help = "Requests that were refused because their sender sends too many";
        registry.register("rate_limited", help, self.rate_limited.clone());
        registry.register("config_reloads", "Reloads of the configuration", self.config_reloads.clone());
        let help = "Evaluations of classification policies";
        registry.register("policy_evaluations", help, self.policy_evaluations.clone());
        let help = "Until when the certificate that is served is valid, as Unix time";
        registry.register("tls_certificate_not_after_seconds", help, self.tls_not_after.clone());
        registry.register_collector(Box::new(self.state.clone()));
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
        AuthMetrics::new(method, &self.auth, &self.auth_durations)
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
