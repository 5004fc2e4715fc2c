//! What is wrong with the files.

use std::path::{Path, PathBuf};

use seawall_model::Timestamp;

/// Why TLS cannot be spoken with what is in the files. Nothing of what is in a key is ever repeated.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, reason: std::io::Error },
    #[error("{path} has no certificate in it; one in PEM is expected (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate { path: PathBuf },
    #[error("{path} has a certificate in it that cannot be read: {reason}")]
    BadCertificate { path: PathBuf, reason: String },
    #[error("{path} has no private key in it; one in PEM is expected (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey { path: PathBuf },
    #[error(
        "the key in {path} is encrypted, and nobody is there to be asked for its password; write it without one"
    )]
    EncryptedKey { path: PathBuf },
    #[error(
        "the key in {path} cannot be used; RSA of 2048 bits or more, ECDSA (P-256, P-384) and Ed25519 can"
    )]
    BadKey { path: PathBuf },
    #[error("the key in {key} does not belong to the certificate in {cert}")]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("the certificate in {path} has expired: it was valid until {not_after}")]
    Expired { path: PathBuf, not_after: Timestamp },
    #[error("the certificate in {path} is not valid yet, but from {not_before} on")]
    NotYetValid { path: PathBuf, not_before: Timestamp },
}

impl TlsError {
    /// The file that has to be looked at.
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. }
            | Self::NoCertificate { path }
            | Self::BadCertificate { path, .. }
            | Self::NoKey { path }
            | Self::EncryptedKey { path }
            | Self::BadKey { path }
            | Self::Expired { path, .. }
            | Self::NotYetValid { path, .. } => path,
            Self::Mismatch { key, .. } => key,
        }
    }
}
