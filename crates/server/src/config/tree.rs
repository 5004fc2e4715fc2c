//! The configuration as it is written. The comments here are the reference text, and every default is written here or
//! in the type it configures, once.

mod audit;
mod freshness;
mod rate;
mod sink;
mod sources;
mod state;
mod tls;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use seawall_engine::normalise::NormaliserConfig;
use seawall_model::{Field, Policy, Severity, StormRule};
use serde::{Deserialize, Serialize};

use super::units::{Period, Size};

pub use audit::Audit;
pub use freshness::FreshnessSection;
pub use rate::{RateLimit, parse_net};
pub use sink::{
    KubernetesSink, NamespacePolicy, Publish, PublishBreaker, PublishRetry, Sink, SinkKind, StoreSink,
};
pub use sources::{KubernetesEvents, SignalSources};
pub use state::{Durability, Embedded, Redis, RedisDurability, RedisMode, RedisUrl, State, StateKind};
pub use tls::ServerTls;

/// Everything that `seawall serve` can be told. Every key has a default, so an empty file is a good one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "Seawall configuration")]
pub struct Config {
    /// Where Seawall listens, and what it takes. Read at start only.
    pub server: Server,
    /// Who may send, read and work. Keys are read at start only.
    pub auth: Auth,
    /// How often one sender may send. Read at start only.
    pub rate_limit: RateLimit,
    /// Whether senders have to say when they sent. Read at start only.
    pub freshness: FreshnessSection,
    /// What is taken without anybody sending it. Read at start only.
    pub sources: SignalSources,
    /// What makes two alerts the same problem. Read at start only, because a change gives every open problem a new
    /// identity.
    pub identity: Identity,
    /// How bad an alert is, and which environment it comes from.
    pub classify: Classify,
    /// When an alert counts as a repeat.
    pub dedup: Dedup,
    /// When many alerts become one storm with one request.
    pub storm: Storm,
    /// Where open incidents, storms and requests are remembered. Read at start only.
    pub state: State,
    /// Where requests are written.
    pub sink: Sink,
    /// How requests come to exist outside of the state store. Read at start only; not used by the store sink.
    pub publish: Publish,
    /// Logs, and a record of what was decided.
    pub telemetry: Telemetry,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Server {
    /// Address and port for alerts and requests. An address that other machines can reach needs
    /// authentication (`auth`), or `--allow-anonymous`.
    pub listen: String,
    /// A second address and port for `/metrics` and health alone, for example one that only the monitoring reaches. TLS
    /// is not spoken there.
    pub metrics_listen: Option<String>,
    /// Addresses and networks of proxies in front of Seawall: of their requests the sender is the one that `X-Forwarded-For`
    /// names last, apart from such proxies. Nobody else's header is believed.
    pub trusted_proxies: Vec<String>,
    /// TLS, version 1.2 or 1.3, on `listen`. The files are read again when they change.
    pub tls: ServerTls,
    /// What is taken at most; more is answered 413, or 503 when waiting helps.
    pub limits: Limits,
    /// How long each step may take.
    pub timeouts: Timeouts,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            metrics_listen: None,
            trusted_proxies: Vec::new(),
            tls: ServerTls::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Bytes of one body.
    pub body_bytes: Size,
    /// Alerts in one body.
    pub alerts_per_body: u32,
    /// Requests that are worked on at the same time. One in 64 of these places is for senders that have few, so that one that
    /// takes all it gets keeps nobody else out.
    pub concurrent_requests: u32,
    /// Bytes of bodies that are held in memory at the same time, over all requests.
    pub buffered_bytes: Size,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = seawall_ingest::Limits::default();
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            body_bytes: Size::from_bytes(limits.body_bytes),
            alerts_per_body: count(limits.alerts_per_body),
            concurrent_requests: count(limits.concurrent_requests),
            buffered_bytes: Size::from_bytes(limits.buffered_bytes),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Timeouts {
    /// From the connect, or the first byte of a further request, to the end of the headers.
    pub header: Period,
    /// For the body, plus one second for every 256 KiB that have arrived.
    pub body: Period,
    /// For a kept-alive connection between two requests.
    pub idle: Period,
    /// Without progress, for a client that does not read its answer.
    pub write: Period,
    /// From the end of the body to the answer.
    pub request: Period,
    /// How long readiness says 503 before the listener closes, so that load balancers look elsewhere first. `0s`: not
    /// at all.
    pub drain_delay: Period,
    /// How long requests that have begun may take to end once the listener is closed.
    pub drain: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        let timeouts = seawall_ingest::Timeouts::default();
        Self {
            header: timeouts.header.into(),
            body: timeouts.body.into(),
            idle: timeouts.idle.into(),
            write: timeouts.write.into(),
            request: timeouts.request.into(),
            drain_delay: timeouts.drain_delay.into(),
            drain: timeouts.drain.into(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Auth {
    /// A file that says who there is, by hashes of tokens and passwords and by names of client certificates, and who may do
    /// what: [security.md](security.md). A change of the file counts from the next request on; another file needs a restart.
    pub identities_file: Option<PathBuf>,
    /// Tokens of a Kubernetes cluster, and the rights that their owners have there. The API server is that of the pod's
    /// service account, else that of `KUBECONFIG`.
    pub kubernetes: KubernetesAuth,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// Whether everything but health, metrics and `/openapi.json` needs a bearer token of the cluster, whose owner may
    /// `create remediationrequests` to send, `list` them to read, and `update remediationrequests/status` to report.
    /// Without it, that is so where Seawall runs in a cluster with a service account.
    pub enabled: Option<bool>,
    /// What tokens must be meant for; without it, tokens for the API server itself are taken.
    pub audience: Option<String>,
    /// How long an answer of the API server is kept, and so how long it takes until a withdrawn token or right is
    /// noticed. A "no" is kept for 5 s at most, and no token is trusted beyond its own end.
    pub cache_ttl: Period,
}

impl Auth {
    /// Whether anybody is asked who they are.
    pub fn asks_who(&self) -> bool {
        self.identities_file.is_some() || self.kubernetes.is_enabled()
    }
}

impl KubernetesAuth {
    /// What nobody has decided follows from where Seawall runs.
    pub fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or_else(seawall_cluster::is_inside)
    }
}

impl Default for KubernetesAuth {
    fn default() -> Self {
        Self { enabled: None, audience: None, cache_ttl: Period::from_millis(60_000) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Identity {
    /// Label that names the cluster. Where alerts carry it, it is part of their identity, and no storm spans two clusters.
    pub cluster_label: String,
    /// Further labels that are part of the identity.
    pub extra_labels: Vec<String>,
    /// Labels that name the affected resource, the first one present wins. A label that is not one of the default ones
    /// gives its own kind: `kafka_topic` names a `KafkaTopic`.
    pub resource_labels: Vec<String>,
    /// Exporters whose own `pod`, `container` and `service` labels say nothing about what the alert is about.
    pub exporters: Exporters,
}

impl Default for Identity {
    fn default() -> Self {
        let config = NormaliserConfig::default();
        Self {
            cluster_label: config.cluster_label.into(),
            extra_labels: texts(config.extra_labels),
            resource_labels: texts(config.resource_labels.into_iter().map(|resource| resource.label)),
            exporters: Exporters::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Exporters {
    /// Names of exporters that speak about other objects; `instance` is their own too.
    pub state: Vec<String>,
    /// Names of exporters that speak about a host; `instance` may be that host.
    pub host: Vec<String>,
}

impl Default for Exporters {
    fn default() -> Self {
        let config = NormaliserConfig::default();
        Self { state: texts(config.state_exporters), host: texts(config.host_exporters) }
    }
}

fn texts(words: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    words.into_iter().map(Into::into).collect()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Classify {
    /// Namespaces and their environment (`production`, `staging`, `development` or a name of your own). Namespaces
    /// that are not listed go by their names: `prod*`, `staging*` and `dev*`, else `unknown`. What the cluster says comes
    /// before this.
    pub environments: BTreeMap<String, String>,
    /// Values of the label `severity` and what they mean, in addition to the usual ones: `critical`, `page`, `error`,
    /// `sev1`, `p1` and `high` are critical; `info`, `none` and `low` are info; anything else is warning. Case does
    /// not matter.
    pub severity: BTreeMap<String, Severity>,
    /// Directory of policies in Rego, files `*.rego`, that have the last word about environment, priority and path. They are
    /// read again when a file changes.
    pub policy_dir: Option<PathBuf>,
    /// Whether the label `environment` of namespaces and the ConfigMap are watched; without it in a cluster only. Read at
    /// start only.
    pub kubernetes: Option<bool>,
    /// ConfigMap in our own namespace that says the environments of namespaces that have no label. Read at start only.
    pub config_map: String,
}

impl Default for Classify {
    fn default() -> Self {
        Self {
            environments: BTreeMap::new(),
            severity: BTreeMap::new(),
            policy_dir: None,
            kubernetes: None,
            config_map: "seawall-environments".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Dedup {
    /// An incident ends after this long without a firing alert; every repeat starts it again.
    pub ttl: Period,
    /// Alerts this soon after a request was finished still count on it. `0s`: they open a new one.
    pub cooldown: Period,
}

impl Default for Dedup {
    fn default() -> Self {
        let policy = Policy::default();
        Self { ttl: Period::from_millis(policy.ttl), cooldown: Period::from_millis(policy.cooldown) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Storm {
    /// The rules, in order: the first one that trips takes the alert. Given rules replace the default ones; an empty
    /// list turns storms off.
    pub rules: Vec<Rule>,
    /// Affected resources that a storm's request lists by name. Totals are exact however many there are.
    pub sample: u32,
}

impl Default for Storm {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            rules: policy.rules.iter().map(Rule::from).collect(),
            sample: u32::try_from(policy.sample).unwrap_or(u32::MAX),
        }
    }
}

/// One storm rule. Keys that are left out take the defaults shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(transform = name_and_group_are_required)]
pub struct Rule {
    /// Name of the rule, shown in requests and metrics.
    pub name: String,
    /// Alerts that share the values of all these are a group: `cluster`, `namespace`, `alertname`, `owner` (the
    /// workload), `node`, `severity` or any label. An alert that lacks one of them is not grouped by the rule.
    pub group_by: Vec<String>,
    /// Distinct new problems inside `window` that make a storm.
    pub threshold: u32,
    /// How far back problems are counted.
    pub window: Period,
    /// The storm ends after this long without an alert.
    pub quiet: Period,
    /// A storm older than this is continued by a successor with a request of its own.
    pub max_duration: Period,
    /// From the second problem of a group inside this long on, a request waits at most this long for the rule to trip,
    /// so that a burst makes one request. `0s`: requests never wait.
    pub hold: Period,
    /// How long the first problem of a group waits. `0s`: not at all.
    pub hold_first: Period,
    /// The least time between two updates of a storm's request.
    pub flush: Period,
}

/// An empty name and an empty group are refused, so a schema must not offer them as defaults.
fn name_and_group_are_required(schema: &mut schemars::Schema) {
    schema.insert("required".to_owned(), serde_json::json!(["name", "groupBy"]));
    for key in ["name", "groupBy"] {
        let property =
            schema.pointer_mut(&format!("/properties/{key}")).and_then(|value| value.as_object_mut());
        if let Some(property) = property {
            property.remove("default");
        }
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self::from(&StormRule::named("", Vec::new()))
    }
}

impl Rule {
    /// Whether its storms take in more than one namespace.
    pub fn spans_namespaces(&self) -> bool {
        !self.group_by.iter().any(|field| field == Field::Namespace.as_str())
    }
}

impl From<&StormRule> for Rule {
    fn from(rule: &StormRule) -> Self {
        Self {
            name: rule.name.to_string(),
            group_by: rule.group_by.iter().map(|field| field.as_str().to_owned()).collect(),
            threshold: rule.threshold,
            window: Period::from_millis(rule.window),
            quiet: Period::from_millis(rule.quiet),
            max_duration: Period::from_millis(rule.max_duration),
            hold: Period::from_millis(rule.hold),
            hold_first: Period::from_millis(rule.hold_first),
            flush: Period::from_millis(rule.flush),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Telemetry {
    /// `json` or `pretty`; without it `pretty` on a terminal and `json` elsewhere. Read at start only.
    pub log_format: Option<LogFormat>,
    /// What is logged: this and everything worse; of libraries only what matters. Read at start only.
    pub log_level: LogLevel,
    /// What was decided about every alert, why, and who sent it. Read at start only.
    pub audit: Audit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    Json,
    Pretty,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}
