//! The section `server.tls`.

use std::path::Path;

use seawall_ingest::TlsFiles;

use super::Check;
use crate::config::tree::ServerTls;

const CERT: &str = "server.tls.cert";
const KEY: &str = "server.tls.key";
const CLIENT_CA: &str = "server.tls.clientCA";

impl Check<'_> {
    /// Nothing when TLS is not spoken. The files are not looked at here: they change on their own, and a reload of the rest
    /// must not depend on them.
    pub(super) fn tls(&mut self, tls: &ServerTls) -> Option<TlsFiles> {
        let ServerTls { cert, key, client_ca } = tls;
        for (file, path) in [(cert, CERT), (key, KEY), (client_ca, CLIENT_CA)] {
            if file.as_deref().is_some_and(|file| file.as_os_str().is_empty()) {
                self.fail(path, "a file is expected, not empty text");
            }
        }
        match (cert, key) {
            (Some(cert), Some(key)) => {
                return Some(TlsFiles { cert: cert.clone(), key: key.clone(), client_ca: client_ca.clone() });
            }
            (Some(_), None) => self.fail(CERT, "a certificate needs its key: `server.tls.key` is missing"),
            (None, Some(_)) => self.fail(KEY, "a key needs its certificate: `server.tls.cert` is missing"),
            (None, None) if client_ca.is_some() => {
                self.fail(CLIENT_CA, "clients show certificates over TLS only: `server.tls.cert` is missing");
            }
            (None, None) => {}
        }
        None
    }
}

/// The key that names this file.
pub(crate) fn key_of(files: &TlsFiles, file: &Path) -> &'static str {
    if file == files.cert {
        CERT
    } else if files.client_ca.as_deref().is_some_and(|authorities| file == authorities) {
        CLIENT_CA
    } else {
        KEY
    }
}
