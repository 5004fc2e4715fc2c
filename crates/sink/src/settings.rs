//! What the sink may be told to do differently. The defaults are those of the configuration reference.

use std::num::NonZeroU32;
use std::time::Duration;

use compact_str::CompactString;

use crate::NamespacePolicy;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    pub namespace_policy: NamespacePolicy,
    /// Where requests go that have no namespace of their own; without it the namespace Seawall itself is in.
    pub fallback_namespace: Option<CompactString>,
    /// Calls to the API server a second, on average.
    pub qps: NonZeroU32,
    /// Calls at once.
    pub burst: NonZeroU32,
    /// Whether phases and deletions are noticed.
    pub watch: bool,
    pub publish: PublishSettings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSettings {
    /// How long a sender waits for its request to exist.
    pub respond_within: Duration,
    /// The first wait after a failed write; it doubles up to `retry_max`.
    pub retry_initial: Duration,
    pub retry_max: Duration,
    /// Outages in a row after which the server is left alone.
    pub breaker_failures: u32,
    /// For how long it is.
    pub breaker_open: Duration,
}

const QPS: NonZeroU32 = NonZeroU32::new(50).unwrap();
const BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();

impl Default for KubernetesSettings {
    fn default() -> Self {
        Self {
            namespace_policy: NamespacePolicy::default(),
            fallback_namespace: None,
            qps: QPS,
            burst: BURST,
            watch: true,
            publish: PublishSettings::default(),
        }
    }
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self {
            respond_within: Duration::from_secs(2),
            retry_initial: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            breaker_failures: 5,
            breaker_open: Duration::from_secs(30),
        }
    }
}
