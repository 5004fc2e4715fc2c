//! From files to what TLS is spoken with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seawall_model::{Clock, Timestamp};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::TlsError;
use super::certificate::Validity;

/// What the connections speak, as clients may ask for it. A client that wants nothing but HTTP/2 is told so at once.
const PROTOCOLS: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// The files of a listener, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// The authorities of clients; without them nobody is asked for a certificate.
    pub client_ca: Option<PathBuf>,
}

/// What is in the files at one time.
pub(super) struct Version {
    pub(super) config: ServerConfig,
    not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl TlsFiles {
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }

    /// Whether TLS could be spoken with what is in the files now, apart from the time.
    pub fn check(&self, clock: &Arc<dyn Clock>) -> Result<(), TlsError> {
        self.read(clock).map(|_| ())
    }

    pub(super) fn read(&self, clock: &Arc<dyn Clock>) -> Result<Version, TlsError> {
        // Named here, so that nothing depends on a provider being installed for the whole process.
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&self.cert)?;
        let Validity { not_before, not_after } = chain
            .first()
            .map(|leaf| Validity::of(leaf))
            .unwrap_or_else(|| Err("there is none".to_owned()))
            .map_err(|reason| TlsError::BadCertificate { path: self.cert.clone(), reason })?;
        let certified = self.certified(chain, &provider)?;
        let clients = self.clients(&provider)?;
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(Time(clock.clone())))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| self.unusable(&error))?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Version { config, not_before, not_after })
    }

    fn certified(
        &self,
        chain: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let key = private_key(&self.key)?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { cert: self.cert.clone(), key: self.key.clone() }
            }
            Error::InvalidCertificate(_) => self.unusable(&error),
            _ => TlsError::BadKey { path: self.key.clone() },
        })
    }

    /// Certificates of clients are asked for and verified, and nobody has to have one: others show a token.
    fn clients(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Some(path) = &self.client_ca else { return Ok(Arc::new(NoClientAuth)) };
        let bad = |reason: String| TlsError::BadCertificate { path: path.clone(), reason };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| bad(error.to_string()))
    }

    fn unusable(&self, error: &Error) -> TlsError {
        TlsError::BadCertificate { path: self.cert.clone(), reason: error.to_string() }
    }
}

impl Version {
    pub(super) fn is_valid_at(&self, files: &TlsFiles, now: Timestamp) -> Result<(), TlsError> {
        let path = || files.cert.clone();
        if now > self.not_after {
            return Err(TlsError::Expired { path: path(), not_after: self.not_after });
        }
        if now < self.not_before {
            return Err(TlsError::NotYetValid { path: path(), not_before: self.not_before });
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|reason| TlsError::Unreadable { path: path.to_owned(), reason })
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found
        .map_err(|error| TlsError::BadCertificate { path: path.to_owned(), reason: error.to_string() })?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// The first one. What the reader of PEM says is not passed on: it may repeat lines of the file.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let path = path.to_owned();
        // Both ways of writing an encrypted key have the word in the lines around it.
        let encrypted = pem.split(|byte| *byte == b'\n').any(|line| {
            line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY")
                || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
        });
        if encrypted { TlsError::EncryptedKey { path } } else { TlsError::NoKey { path } }
    })
}

/// The clock of everybody else.
struct Time(Arc<dyn Clock>);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Time").field(&self.0.now()).finish()
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
