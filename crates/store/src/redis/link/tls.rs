//! TLS to the server: rustls with ring, the certificates of the system and those of the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};

use super::error::{LinkError, Scope};
use crate::{Failure, StoreError};

/// Whom to trust.
pub(super) struct Tls {
    /// A PEM file, read at every connect, so that authorities may be changed while we run.
    authority: Option<PathBuf>,
    /// The settings made of the file as it was last.
    made: Mutex<Option<(Vec<u8>, Arc<ClientConfig>)>>,
}

impl Tls {
    /// # Errors
    /// When there is nobody to trust.
    pub(super) fn new(authority: Option<PathBuf>) -> Result<Self, StoreError> {
        let tls = Self { authority, made: Mutex::new(None) };
        tls.config().map_err(|reason| StoreError::Refused { reason })?;
        Ok(tls)
    }

    pub(super) async fn secure(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, LinkError> {
        let denied = |reason: String| LinkError::new(Failure::Denied, Scope::Connection, reason);
        let config = self.config().map_err(denied)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| denied(format!("`{host}` is not a name that a certificate can have")))?;
        TlsConnector::from(config).connect(name, tcp).await.map_err(|error| {
            // Alerts and refused certificates come as TLS errors inside of I/O errors.
            match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
                Some(error @ TlsError::InvalidMessage(_)) => {
                    denied(format!("the server does not speak TLS there ({error})"))
                }
                Some(error) => {
                    denied(format!("TLS failed: {error}; check tlsCA and the server's certificate"))
                }
                None => LinkError::io(&error),
            }
        })
    }

    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let pem = match &self.authority {
            Some(path) => std::fs::read(path)
                .map_err(|error| format!("the certificates in {} cannot be read: {error}", path.display()))?,
            None => Vec::new(),
        };
        let mut made = self.made.lock();
        match &*made {
            Some((of, config)) if *of == pem => Ok(Arc::clone(config)),
            _ => {
                let config = Arc::new(self.build(&pem)?);
                *made = Some((pem, Arc::clone(&config)));
                Ok(config)
            }
        }
    }

    fn build(&self, pem: &[u8]) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.authority {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("{}: {error}", path.display()))?;
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            if roots.is_empty() {
                return Err(format!("{} contains no certificate in PEM", path.display()));
            }
        }
        // Some certificates of a system cannot be read by everybody; the others are enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("the system has no certificates to trust; name some with `tlsCA`".to_owned());
        }
        // Named here, so that nothing depends on a provider being installed for the whole process.
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}
