//! Why a store could not do what it was asked.

use std::time::Duration;

/// Messages name what failed; whoever shows them to a sender adds what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The decision is not durable. Nothing may be acknowledged; resending is safe.
    #[error("state store is unavailable: {reason}")]
    Unavailable { class: Failure, reason: String, retry_after: Duration },
    /// More is waiting for the store than it may hold.
    #[error("state store is saturated")]
    Saturated { retry_after: Duration },
    #[error("{what} does not exist")]
    NotFound { what: String },
    /// The input can never succeed.
    #[error("{reason}")]
    Invalid { reason: String },
    /// The store refuses to start: what is there must not be touched before a person has looked.
    #[error("{reason}")]
    Refused { reason: String },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Saturated { .. })
    }

    /// How the error is called in metrics; nothing when it is the caller's mistake.
    pub const fn class(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable { class, .. } => Some(class.as_str()),
            Self::Saturated { .. } => Some("saturated"),
            Self::Refused { .. } => Some("refused"),
            Self::NotFound { .. } | Self::Invalid { .. } => None,
        }
    }
}

/// Why nothing is decided while a state is incomplete.
pub(crate) const INCOMPLETE: &str = "its state is new or was lost, and the open requests in the cluster have not been read yet: \
    without them a problem could get a second request";

/// What keeps a store from making decisions durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The store is closed, or was while the call was on its way.
    Closed,
    /// The disk does not take writes.
    Disk,
    /// Nobody listens at the server's address.
    Refused,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Reset,
    /// The server is at its `maxmemory`.
    OutOfMemory,
    /// The server is a replica, or must not write for another reason.
    ReadOnly,
    /// A part of the cluster, or the primary, is missing.
    ClusterDown,
    /// The server is still reading its data.
    Loading,
    /// Written, but not confirmed by as many replicas or by the disk of the server.
    NotReplicated,
    /// The server does not let us in, or not do this.
    Denied,
    /// A newer version of Seawall has taken the data over.
    Superseded,
    /// The server answered something else than it should.
    Protocol,
    /// The state is new or was lost, and the open requests outside were not taken over yet.
    Incomplete,
}

impl Failure {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Disk => "disk",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::OutOfMemory => "out_of_memory",
            Self::ReadOnly => "read_only",
            Self::ClusterDown => "cluster_down",
            Self::Loading => "loading",
            Self::NotReplicated => "not_replicated",
            Self::Denied => "denied",
            Self::Superseded => "superseded",
            Self::Protocol => "protocol",
            Self::Incomplete => "incomplete",
        }
    }
}
