//! From what is written to what makes sense.

mod audit;
mod auth;
mod classify;
mod freshness;
mod rate;
mod sink;
mod sources;
mod state;
mod tls;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use seawall_engine::MAX_RULES;
use seawall_engine::normalise::{NormaliserConfig, ResourceLabel};
use seawall_ingest::{EdgeSettings, Limits, Timeouts};
use seawall_model::{Field, Policy, StormRule};

use super::error::{ConfigError, ConfigErrors, KeyPath};
use super::node::Node;
use super::settings::Settings;
use super::tree::{Config, LogFormat, LogLevel, Rule, StateKind};
use super::units::{Period, Size};

pub(crate) use state::URLS;
pub(crate) use tls::key_of;

/// Names of rules are values of labels of metrics and requests.
const MAX_RULE_NAME: usize = 63;

/// Affected resources that fit into a request whatever their names.
const MAX_SAMPLE: u32 = 1_000;

/// Validates `config`; `given` says where its values come from. Returns the settings and what is allowed but
/// surprising, one sentence each.
pub(crate) fn validate(
    config: &Config,
    given: &Node,
    allow_anonymous: bool,
) -> Result<(Settings, Vec<String>), ConfigErrors> {
    let mut check = Check { given, errors: Vec::new(), warnings: Vec::new() };
    let listen = check.address(&config.server.listen, "server.listen");
    let metrics_listen = config
        .server
        .metrics_listen
        .as_deref()
        .and_then(|address| check.address(address, "server.metricsListen"));
    check.listeners([listen, metrics_listen], allow_anonymous, config.auth.asks_who());
    let tls = check.tls(&config.server.tls);
    let edge = EdgeSettings {
        limits: check.limits(config),
        timeouts: check.timeouts(config),
        rate: check.rate_limit(config),
        freshness: check.freshness(&config.freshness),
        retryable_for: config.rate_limit.retryable_for.clone(),
        ..EdgeSettings::default()
    };
    check.identity(config);
    let classify = check.classify(&config.classify);
    let policy = check.policy(config);
    let identities = check.identities(config);
    let reviews = check.reviews(config);
    let events = check.sources(&config.sources);
    let state = check.state(config);
    let sink = check.sink(config);
    let audit = check.audit(&config.telemetry.audit);
    match (listen, state) {
        (Some(listen), Some(state)) if check.errors.is_empty() => {
            let settings = Settings {
                listen,
                metrics_listen,
                tls,
                edge,
                share_limits: config.rate_limit.shared,
                normaliser: normaliser(config),
                classify,
                policy,
                identities,
                reviews,
                events,
                state,
                sink,
                log_format: match config.telemetry.log_format {
                    None => seawall_telemetry::LogFormat::Auto,
                    Some(LogFormat::Json) => seawall_telemetry::LogFormat::Json,
                    Some(LogFormat::Pretty) => seawall_telemetry::LogFormat::Pretty,
                },
                log_filter: log_filter(config.telemetry.log_level),
                audit,
            };
            Ok((settings, check.warnings))
        }
        _ => Err(ConfigErrors(check.errors)),
    }
}

/// Libraries speak only when something is wrong, or when somebody looks closely; never as closely as to show what
/// they read from a connection.
const fn log_filter(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,seawall=info",
        LogLevel::Debug => "info,seawall=debug",
        LogLevel::Trace => "info,seawall=trace",
    }
}

fn normaliser(config: &Config) -> NormaliserConfig {
    let identity = &config.identity;
    let texts = |words: &[String]| words.iter().map(Into::into).collect();
    let mut severities = NormaliserConfig::default().severities;
    let words = config.classify.severity.iter();
    severities.extend(words.map(|(word, severity)| (word.to_lowercase().into(), *severity)));
    NormaliserConfig {
        cluster_label: identity.cluster_label.as_str().into(),
        extra_labels: texts(&identity.extra_labels),
        resource_labels: identity.resource_labels.iter().map(|label| ResourceLabel::of(label)).collect(),
        state_exporters: texts(&identity.exporters.state),
        host_exporters: texts(&identity.exporters.host),
        severities,
        environments: config
            .classify
            .environments
            .iter()
            .map(|(namespace, environment)| (namespace.into(), environment.into()))
            .collect(),
    }
}

struct Check<'a> {
    given: &'a Node,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Check<'_> {
    fn fail(&mut self, path: impl Into<KeyPath>, message: impl Into<String>) {
        let path = path.into();
        let origin = self.given.nearest_origin(&path);
        self.errors.push(ConfigError { origin, path, message: message.into() });
    }

    fn warn(&mut self, path: impl Into<KeyPath>, message: &str) {
        let path = path.into();
        let place =
            ConfigError { origin: self.given.nearest_origin(&path), path, message: message.to_owned() };
        self.warnings.push(place.to_string());
    }

    fn address(&mut self, text: &str, path: &str) -> Option<SocketAddr> {
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        let parsed = numeric.parse().ok();
        if parsed.is_none() {
            self.fail(
                path,
                format!("`{text}` is not an IP address and a port; write for example `127.0.0.1:8080` or `[::1]:8080`"),
            );
        }
        parsed
    }

    fn listeners(
        &mut self,
        [listen, metrics]: [Option<SocketAddr>; 2],
        allow_anonymous: bool,
        authenticated: bool,
    ) {
        if let (Some(listen), Some(metrics)) = (listen, metrics)
            && listen == metrics
            && listen.port() != 0
        {
            self.fail(
                "server.metricsListen",
                format!("`{metrics}` is also `server.listen`; leave the key out to serve metrics there"),
            );
        }
        for (address, path) in [(listen, "server.listen"), (metrics, "server.metricsListen")] {
            let Some(address) = address.filter(|address| !address.ip().to_canonical().is_loopback()) else {
                continue;
            };
            if authenticated {
                continue;
            }
            if allow_anonymous {
                self.warn(path, "everybody who reaches this address can send alerts and read requests");
            } else {
                self.fail(
                    path,
                    format!(
                        "`{address}` can be reached by other machines, and nobody is asked who they are; set \
                         `auth.identitiesFile`, turn on `auth.kubernetes`, listen on a loopback address, or start with --allow-anonymous"
                    ),
                );
            }
        }
    }

    fn positive(&mut self, value: u32, path: impl Into<KeyPath>) -> usize {
        if value == 0 {
            self.fail(path, "must be at least 1");
        }
        usize::try_from(value).unwrap_or(usize::MAX)
    }

    fn size(&mut self, size: Size, path: &str) -> u64 {
        if size.as_bytes() == 0 {
            self.fail(path, "must be larger than zero");
        }
        size.as_bytes()
    }

    fn lasting(&mut self, period: Period, path: impl Into<KeyPath>) -> Period {
        if period.is_zero() {
            self.fail(path, "must be longer than zero");
        }
        period
    }

    fn limits(&mut self, config: &Config) -> Limits {
        let limits = &config.server.limits;
        let checked = Limits {
            body_bytes: self.size(limits.body_bytes, "server.limits.bodyBytes"),
            alerts_per_body: self.positive(limits.alerts_per_body, "server.limits.alertsPerBody"),
            concurrent_requests: self
                .positive(limits.concurrent_requests, "server.limits.concurrentRequests"),
            buffered_bytes: self.size(limits.buffered_bytes, "server.limits.bufferedBytes"),
        };
        if checked.buffered_bytes > 0 && checked.buffered_bytes < checked.body_bytes {
            self.fail(
                "server.limits.bufferedBytes",
                format!(
                    "{} is less than `server.limits.bodyBytes` ({}), so the largest bodies could never be taken",
                    limits.buffered_bytes, limits.body_bytes
                ),
            );
        }
        checked
    }

    fn timeouts(&mut self, config: &Config) -> Timeouts {
        let timeouts = &config.server.timeouts;
        Timeouts {
            header: self.lasting(timeouts.header, "server.timeouts.header").into(),
            body: self.lasting(timeouts.body, "server.timeouts.body").into(),
            idle: self.lasting(timeouts.idle, "server.timeouts.idle").into(),
            write: self.lasting(timeouts.write, "server.timeouts.write").into(),
            request: self.lasting(timeouts.request, "server.timeouts.request").into(),
            drain_delay: timeouts.drain_delay.into(),
            drain: timeouts.drain.into(),
        }
    }

    fn identity(&mut self, config: &Config) {
        let identity = &config.identity;
        self.label(&identity.cluster_label, "identity.clusterLabel".into());
        let lists = [
            (&identity.extra_labels, "identity.extraLabels"),
            (&identity.resource_labels, "identity.resourceLabels"),
            (&identity.exporters.state, "identity.exporters.state"),
            (&identity.exporters.host, "identity.exporters.host"),
        ];
        for (names, path) in lists {
            let mut seen = BTreeSet::new();
            for (position, name) in names.iter().enumerate() {
                let path = KeyPath::from(path).index(position);
                if !seen.insert(name) {
                    self.fail(path, format!("`{name}` is listed twice"));
                } else {
                    self.label(name, path);
                }
            }
        }
    }

    fn label(&mut self, name: &str, path: KeyPath) {
        if name.trim().is_empty() {
            self.fail(path, "a name is expected, not empty text");
        }
    }

    fn policy(&mut self, config: &Config) -> Policy {
        if config.storm.rules.len() > MAX_RULES {
            self.fail(
                "storm.rules",
                format!("there are {} rules; at most {MAX_RULES}", config.storm.rules.len()),
            );
        }
        let rules: Vec<StormRule> = config
            .storm
            .rules
            .iter()
            .enumerate()
            .map(|(position, rule)| {
                self.rule(rule, config.state.kind, &KeyPath::from("storm.rules").index(position))
            })
            .collect();
        let mut seen = BTreeSet::new();
        for (position, rule) in rules.iter().enumerate() {
            if !seen.insert(&rule.name) {
                let path = KeyPath::from("storm.rules").index(position).key("name");
                self.fail(path, format!("another rule is called `{}` too", rule.name));
            }
        }
        if config.storm.sample > MAX_SAMPLE {
            self.fail("storm.sample", format!("{} is too many; at most {MAX_SAMPLE}", config.storm.sample));
        }
        Policy {
            ttl: self.lasting(config.dedup.ttl, "dedup.ttl").as_millis(),
            cooldown: config.dedup.cooldown.as_millis(),
            rules,
            sample: self.positive(config.storm.sample, "storm.sample"),
            retention: self.lasting(config.sink.store.retention, "sink.store.retention").as_millis(),
            ..Policy::default()
        }
    }

    fn rule(&mut self, rule: &Rule, store: StateKind, path: &KeyPath) -> StormRule {
        if rule.name.is_empty() {
            self.fail(path.key("name"), "every rule needs a name");
        } else if rule.name.len() > MAX_RULE_NAME || rule.name.chars().any(char::is_control) {
            self.fail(
                path.key("name"),
                format!("the name of a rule is text of at most {MAX_RULE_NAME} bytes"),
            );
        }
        let group_by = self.group_by(rule, store, path);
        self.positive(rule.threshold, path.key("threshold"));
        self.lasting(rule.window, path.key("window"));
        self.lasting(rule.quiet, path.key("quiet"));
        self.lasting(rule.flush, path.key("flush"));
        self.lasting(rule.max_duration, path.key("maxDuration"));
        for (hold, key) in [(rule.hold, "hold"), (rule.hold_first, "holdFirst")] {
            if !rule.window.is_zero() && hold >= rule.window {
                let message = format!(
                    "{hold} is not shorter than `window` ({}), inside which the rule trips",
                    rule.window
                );
                self.fail(path.key(key), message);
            }
        }
        if !rule.max_duration.is_zero() && rule.max_duration < rule.window {
            let message = format!("{} is shorter than `window` ({})", rule.max_duration, rule.window);
            self.fail(path.key("maxDuration"), message);
        }
        StormRule {
            name: rule.name.as_str().into(),
            group_by,
            threshold: rule.threshold,
            window: rule.window.as_millis(),
            quiet: rule.quiet.as_millis(),
            max_duration: rule.max_duration.as_millis(),
            hold: rule.hold.as_millis(),
            hold_first: rule.hold_first.as_millis(),
            flush: rule.flush.as_millis(),
        }
    }

    fn group_by(&mut self, rule: &Rule, store: StateKind, path: &KeyPath) -> Vec<Field> {
        let path = path.key("groupBy");
        if rule.group_by.is_empty() {
            self.fail(
                path.clone(),
                "every rule needs at least one field to group by, for example `namespace`",
            );
        } else if rule.spans_namespaces() {
            let message = match store {
                StateKind::Embedded => {
                    "the rule does not group by `namespace`, so storms span namespaces and one noisy namespace can \
                     draw in others; with a store for many replicas it makes the whole cluster one partition"
                }
                StateKind::Redis => {
                    "the rule does not group by `namespace`, so storms span namespaces and one noisy namespace can \
                     draw in others; with the Redis store it makes the whole cluster one partition, whose alerts are \
                     decided one after the other"
                }
            };
            self.warn(path.clone(), message);
        }
        let mut seen = BTreeSet::new();
        for (position, field) in rule.group_by.iter().enumerate() {
            if field.trim().is_empty() {
                self.fail(path.index(position), "a field or label is expected, not empty text");
            } else if !seen.insert(field) {
                self.fail(path.index(position), format!("`{field}` is listed twice"));
            }
        }
        rule.group_by.iter().map(|field| Field::parse(field)).collect()
    }
}
