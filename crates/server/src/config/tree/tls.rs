//! The section `server.tls`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ServerTls {
    /// A file with the certificate in PEM, followed by those between it and its authority. With it TLS is spoken, and
    /// nothing else.
    pub cert: Option<PathBuf>,
    /// A file with the certificate's private key in PEM, not encrypted.
    pub key: Option<PathBuf>,
    /// A file with the authorities, in PEM, that client certificates are verified against. A client may have none, but not
    /// a wrong one. Without the file nobody is asked for a certificate.
    #[serde(rename = "clientCA")]
    pub client_ca: Option<PathBuf>,
}
