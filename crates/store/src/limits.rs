//! Limits that several replicas keep together.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::StoreFuture;

/// So many in each window, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedLimit {
    pub requests: NonZeroU32,
    pub window: Duration,
    pub burst: NonZeroU32,
}

/// Counts for all replicas together.
pub trait SharedLimits: Send + Sync + 'static {
    /// Takes one for `key`: nothing when it may be, else how long until it may.
    fn take(&self, key: &str, limit: SharedLimit) -> StoreFuture<'_, Option<Duration>>;
}
