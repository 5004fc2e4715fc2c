//! Settings: what the server is started with. Every value is there and makes sense.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use seawall_classify::{Classifier, Known, Policies};
use seawall_engine::normalise::{Normaliser, NormaliserConfig};
use seawall_ingest::{AuditSettings, EdgeSettings, EventSettings, Identities, ReviewSettings, TlsFiles};
use seawall_model::Policy;
use seawall_sink::KubernetesSettings;
use seawall_store::{RedisMode, RedisOptions};
use seawall_telemetry::{LogFormat, Metrics};

use super::secrets::place;

/// A validated configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// A second listener for metrics and health.
    pub metrics_listen: Option<SocketAddr>,
    /// What TLS is spoken with on the first listener, if it is.
    pub tls: Option<TlsFiles>,
    pub edge: EdgeSettings,
    /// Whether all replicas count a sender's requests together.
    pub share_limits: bool,
    pub normaliser: NormaliserConfig,
    pub classify: ClassifySettings,
    pub policy: Policy,
    /// Who is known by the identities file, if there is one.
    pub identities: Option<Arc<Identities>>,
    /// How the cluster is asked who is asking, if it is. Without either, everybody may do everything.
    pub reviews: Option<ReviewSettings>,
    /// How Kubernetes events are watched, if they are.
    pub events: Option<EventSettings>,
    pub state: StateSettings,
    pub sink: SinkSettings,
    pub log_format: LogFormat,
    /// As the logger reads it: `warn,seawall=info`.
    pub log_filter: &'static str,
    /// Where decisions are recorded, if they are.
    pub audit: Option<AuditSettings>,
}

impl Settings {
    /// Whether anything needs a Kubernetes cluster.
    pub const fn wants_cluster(&self) -> bool {
        self.classify.kubernetes
            || self.reviews.is_some()
            || self.events.is_some()
            || matches!(self.sink, SinkSettings::Kubernetes(_))
    }

    /// What turns alerts into signals, for these rules and with what is `known` at the time.
    pub fn build_normaliser(&self, known: &Arc<Known>, metrics: &Arc<Metrics>) -> Normaliser {
        let normaliser = Normaliser::new(&self.normaliser, &self.policy);
        let ClassifySettings { kubernetes, policies, .. } = &self.classify;
        match (kubernetes, policies) {
            // Nobody has anything to say.
            (false, None) => normaliser,
            _ => {
                let classifier = Classifier::new(Arc::clone(known), policies.clone(), Arc::clone(metrics));
                normaliser.asking(Arc::new(classifier))
            }
        }
    }
}

/// What is asked about the class of a signal beside the tables.
#[derive(Clone, Debug)]
pub struct ClassifySettings {
    /// Whether the cluster is.
    pub kubernetes: bool,
    /// The name of the ConfigMap.
    pub config_map: String,
    pub policies: Option<Arc<Policies>>,
}

/// Where requests are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkSettings {
    /// Into the state store, and nowhere else.
    Store,
    /// Into a cluster too.
    Kubernetes(Box<KubernetesSettings>),
}

/// Which store, and everything it needs to be told.
#[derive(Clone)]
pub enum StateSettings {
    Embedded {
        /// The data directory.
        path: PathBuf,
    },
    Redis(Box<RedisOptions>),
}

impl StateSettings {
    /// The addresses of the Redis store as they may be shown, one after the other.
    pub fn addresses(options: &RedisOptions) -> String {
        options.urls.iter().map(|url| place(url)).collect::<Vec<_>>().join(", ")
    }
}

/// The store as a part of a sentence, without anything secret.
impl fmt::Display for StateSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { path } => write!(f, "the data directory {}", path.display()),
            Self::Redis(options) => {
                let addresses = Self::addresses(options);
                match &options.mode {
                    RedisMode::Standalone => write!(f, "Redis at {addresses}"),
                    RedisMode::Sentinel { master } => {
                        write!(f, "Redis `{master}` of the Sentinels at {addresses}")
                    }
                    RedisMode::Cluster => write!(f, "the Redis cluster at {addresses}"),
                }
            }
        }
    }
}

/// As for people: the options have addresses in them that may have passwords in them.
impl fmt::Debug for StateSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
