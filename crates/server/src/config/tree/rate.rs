//! The section `rateLimit`.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use seawall_ingest::{EdgeSettings, RateSettings};
use serde::{Deserialize, Serialize};

use crate::config::units::Period;

/// How often one sender may send. It guards against abuse, not against storms: bodies are counted, not alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RateLimit {
    /// Bodies that a client address without an identity may send in each `window`; more are answered 429. The addresses
    /// of an IPv6 /64 count together.
    pub requests: u32,
    /// How long `requests` are counted for.
    pub window: Period,
    /// Bodies that may come at once after a pause; without it as many as `requests`.
    pub burst: Option<u32>,
    /// Addresses (`192.0.2.1`) and networks (`10.0.0.0/8`) that may send as often as they like.
    pub exempt: Vec<String>,
    /// Bodies that an identity may send in each `window`; without it as many as it likes.
    pub authenticated: Option<u32>,
    /// Beginnings of user agents that give up on a 4xx: what they should send again is answered 503 instead of 429 or 408.
    pub retryable_for: Vec<String>,
    /// Whether all replicas count together, in the Redis of `state.redis`; else each counts for itself.
    pub shared: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        let settings = RateSettings::default();
        Self {
            requests: settings.requests.get(),
            window: settings.window.into(),
            burst: None,
            exempt: settings.exempt.iter().map(ToString::to_string).collect(),
            authenticated: None,
            retryable_for: EdgeSettings::default().retryable_for,
            shared: false,
        }
    }
}

/// An address stands for itself alone.
pub fn parse_net(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    text.parse().ok().or_else(address)
}
