//! What the edge may be told to do differently. The defaults are those of the configuration reference.

use std::time::Duration;

use crate::{Freshness, RateSettings};

#[derive(Clone, Debug)]
pub struct EdgeSettings {
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// Beginnings of user agents that give up on a 4xx. What another sender should send again gets a 4xx, these get a
    /// 503: for them a 4xx is a lost alert.
    pub retryable_for: Vec<String>,
    pub max_connections: usize,
    pub rate: RateSettings,
    /// Within which time bodies have to arrive that say when they were sent; without it nobody is asked.
    pub freshness: Option<Freshness>,
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one body.
    pub body_bytes: u64,
    /// Alerts in one body.
    pub alerts_per_body: usize,
    /// Requests that are answered at the same time; health and metrics are answered beyond it.
    pub concurrent_requests: usize,
    /// Bytes of bodies that are held at the same time, over all requests.
    pub buffered_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct Timeouts {
    /// From connecting, or from the first byte of a later request, to the end of the headers.
    pub header: Duration,
    /// For the body, plus one second per 256 KiB received.
    pub body: Duration,
    /// A kept-alive connection between requests.
    pub idle: Duration,
    /// A client that does not read what it is sent.
    pub write: Duration,
    /// From the end of the body to the answer.
    pub request: Duration,
    /// Readiness says no, the listener is still open.
    pub drain_delay: Duration,
    /// From closing the listener to giving up on what is still going on.
    pub drain: Duration,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            retryable_for: ["Alertmanager/", "Prometheus/", "Grafana"].map(str::to_owned).to_vec(),
            // Ten thousand idle connections must not keep anybody else out.
            max_connections: 16_384,
            rate: RateSettings::default(),
            freshness: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 * 1024 * 1024,
            alerts_per_body: 100_000,
            concurrent_requests: 1024,
            buffered_bytes: 256 * 1024 * 1024,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(5),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            write: Duration::from_secs(10),
            request: Duration::from_secs(15),
            drain_delay: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}
