//! Who is at the other end of a TLS connection, as its certificate says.

use std::sync::Arc;

/// Names in a client certificate that was verified against `server.tls.clientCA`: the subject alternative names, and the
/// common name. Among the extensions of every request on such a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerNames(pub(crate) Arc<[String]>);
