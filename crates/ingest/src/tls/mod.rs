//! TLS on a listener: what it is spoken with, and how that changes while connections go on.
//!
//! ```text
//! files ─► checked as a whole ─► ServerConfig ─► current ─► every new connection
//! ```
//!
//! A connection keeps what it began with, so replacing the files disturbs nobody.

mod certificate;
mod error;
mod files;

use std::sync::Arc;

use parking_lot::RwLock;
use seawall_model::{Clock, Timestamp};
use seawall_telemetry::Metrics;
use tokio_rustls::rustls::ServerConfig;

pub(crate) use certificate::Client;
pub use error::TlsError;
pub use files::TlsFiles;
use files::Version;

/// What TLS is spoken with at the moment.
pub struct Tls {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files for the first time. A certificate out of its time is served all the same, because a restart must
    /// not turn it into an outage of everything else; it is said, and clients that look will refuse it.
    pub fn open(
        files: TlsFiles,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TlsError> {
        let version = files.read(&clock)?;
        if let Err(error) = version.is_valid_at(&files, clock.now()) {
            tracing::error!(%error, "clients will refuse the certificate");
        }
        metrics.tls_certificate(version.not_after);
        let current = RwLock::new(Arc::new(version.config));
        Ok(Arc::new(Self { files, clock, metrics, current }))
    }

    /// Reads the files again; new connections get what is in them now.
    ///
    /// # Errors
    /// When they are not better than what there is; that stays then.
    pub fn reload(&self) -> Result<Timestamp, TlsError> {
        let version = self.files.read(&self.clock)?;
        version.is_valid_at(&self.files, self.clock.now())?;
        let Version { config, not_after, .. } = version;
        *self.current.write() = Arc::new(config);
        self.metrics.tls_certificate(not_after);
        Ok(not_after)
    }

    pub const fn files(&self) -> &TlsFiles {
        &self.files
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.current.read().clone()
    }
}
