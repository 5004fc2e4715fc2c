//! Settings: what the server is started with. Every value is there and makes sense.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use seawall_model::Policy;

use super::tree;

/// A validated configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub listen: SocketAddr,
    pub metrics_listen: Option<SocketAddr>,
    /// Whether other machines may be served although nobody is asked who they are.
    pub allow_anonymous: bool,
    pub limits: LimitSettings,
    pub timeouts: TimeoutSettings,
    pub identity: tree::Identity,
    pub classify: tree::Classify,
    pub policy: Policy,
    pub data_dir: PathBuf,
    pub log_format: Option<tree::LogFormat>,
    pub log_level: tree::LogLevel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    pub body_bytes: usize,
    pub alerts_per_body: usize,
    pub concurrent_requests: usize,
    pub buffered_bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    pub header: Duration,
    pub body: Duration,
    pub idle: Duration,
    pub write: Duration,
    pub request: Duration,
    pub drain_delay: Duration,
    pub drain: Duration,
}
