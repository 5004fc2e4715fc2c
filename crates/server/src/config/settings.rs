//! Settings: what the server is started with. Every value is there and makes sense.

use std::net::SocketAddr;
use std::path::PathBuf;

use seawall_engine::normalise::{Normaliser, NormaliserConfig};
use seawall_ingest::EdgeSettings;
use seawall_model::Policy;
use seawall_telemetry::LogFormat;

/// A validated configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// A second listener for metrics and health.
    pub metrics_listen: Option<SocketAddr>,
    pub edge: EdgeSettings,
    pub normaliser: NormaliserConfig,
    pub policy: Policy,
    pub data_dir: PathBuf,
    pub log_format: LogFormat,
    /// As the logger reads it: `warn,seawall=info`.
    pub log_filter: &'static str,
}

impl Settings {
    /// What turns alerts into signals, for these rules.
    pub fn build_normaliser(&self) -> Normaliser {
        Normaliser::new(&self.normaliser, &self.policy)
    }
}
