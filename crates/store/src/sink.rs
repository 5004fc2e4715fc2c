//! What those who answer senders need to know of whoever publishes requests outside of the state store.

use std::future::Future;
use std::pin::Pin;

use seawall_model::{RequestRef, Timestamp};

/// Where requests exist besides the state store.
pub trait Sink: Send + Sync + 'static {
    /// How the sink is called in metrics, such as `kubernetes`.
    fn kind(&self) -> &'static str;

    /// Waits until the requests exist, but no longer than senders wait for it, and not at all for what cannot come in time.
    /// Returns those that do.
    fn existing(&self, requests: Vec<RequestRef>) -> Pin<Box<dyn Future<Output = Vec<Existing>> + Send>>;

    fn health(&self) -> SinkHealth;

    /// Totals since start.
    fn stats(&self) -> SinkStats;
}

/// A request that exists, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    pub request: RequestRef,
    /// Not what the request is called in the state store when its namespace did not exist or its name was taken.
    pub place: RequestRef,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkHealth {
    /// Requests that this replica still has to publish as they are now.
    pub pending: u64,
    /// Since when the oldest of them waits.
    pub oldest_pending_since: Option<Timestamp>,
    /// Whether calls are suspended because the other side is down.
    pub suspended: bool,
    /// What is wrong, for people; nothing while all is well.
    pub problem: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkStats {
    pub created: u64,
    pub updated: u64,
    /// Deleted by somebody else than Seawall.
    pub deleted: u64,
}
