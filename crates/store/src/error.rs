//! Why a store could not do what it was asked.

use std::time::Duration;

/// Messages name what failed; whoever shows them to a sender adds what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The decision is not durable. Nothing may be acknowledged; resending is safe.
    #[error("state store is unavailable: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
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
}
