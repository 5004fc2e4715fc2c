//! Why the server could not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use seawall_cluster::ConnectError;
use seawall_ingest::TlsError;
use seawall_store::StoreError;

use crate::config::ConfigErrors;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("configuration:\n{0}")]
    Config(#[from] ConfigErrors),
    #[error("start logging")]
    Logging(#[from] seawall_telemetry::LoggingError),
    #[error("open {store} (`seawall doctor` examines it)")]
    Open {
        /// As a part of a sentence: `the data directory ./seawall-data`.
        store: String,
        #[source]
        source: StoreError,
    },
    #[error(
        "reach the Kubernetes API that `sink.kind: kubernetes`, `auth.kubernetes`, `classify.kubernetes` or \
         `sources.kubernetesEvents` needs"
    )]
    Cluster(#[from] ConnectError),
    #[error("open the audit log {}", file.display())]
    Audit {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("speak TLS: {0}")]
    Tls(TlsError),
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("a Kubernetes cluster is needed, and there is none")]
    NoCluster,
    #[error("get random numbers of the system")]
    Random(#[source] std::io::Error),
    #[error("receive signals of the system")]
    Signals(#[source] std::io::Error),
    #[error("close {store}")]
    Close {
        store: String,
        #[source]
        source: StoreError,
    },
    /// A task ended that only shutdown may end.
    #[error("a task of the server ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl ServeError {
    /// Whether what was asked for is wrong, rather than what happened.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Cluster(_) | Self::Tls(_))
    }
}
