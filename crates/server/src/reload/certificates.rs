//! Reading the files of TLS again. Apart from the configuration: a mistake there must not keep a certificate from being
//! renewed, nor the other way round.

use seawall_ingest::{Tls, TlsFiles};
use seawall_telemetry::Metrics;

use super::{Fingerprint, fingerprint};

/// What is known of the files.
#[derive(Default)]
pub(super) struct Certificates {
    seen: Vec<Fingerprint>,
    /// Why what is there now is not used. It is tried again at every look, because what makes it good may be no change of
    /// a file: its rights, or that its time has come.
    refused: Option<String>,
}

impl Certificates {
    /// To be made before the files are read: what changes in between is seen as a change.
    pub(super) fn new(files: Option<&TlsFiles>) -> Self {
        Self { seen: files.map(versions).unwrap_or_default(), refused: None }
    }

    pub(super) fn look(&mut self, tls: &Tls, metrics: &Metrics) {
        if versions(tls.files()) != self.seen {
            self.reload(tls, metrics);
        } else if self.refused.is_some() {
            self.attempt(tls, metrics);
        }
    }

    /// Says what comes of it, whatever was said before.
    pub(super) fn reload(&mut self, tls: &Tls, metrics: &Metrics) {
        self.refused = None;
        self.attempt(tls, metrics);
    }

    fn attempt(&mut self, tls: &Tls, metrics: &Metrics) {
        self.seen = versions(tls.files());
        match tls.reload() {
            Ok(not_after) => {
                metrics.config_reload(true);
                tracing::info!(%not_after, "certificate reloaded");
                self.refused = None;
            }
            Err(error) => {
                let reason = error.to_string();
                if self.refused.as_ref() != Some(&reason) {
                    metrics.config_reload(false);
                    tracing::error!(reason, "certificate refused; the one before stays");
                }
                self.refused = Some(reason);
            }
        }
    }
}

fn versions(files: &TlsFiles) -> Vec<Fingerprint> {
    files.paths().map(fingerprint).collect()
}
