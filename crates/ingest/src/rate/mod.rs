//! How often a sender may send. It guards against abuse, not against storms: what is counted is bodies, not alerts.
//!
//! ```text
//! exempt address? ─► identity, else client address ─► GCRA, here or shared by all replicas ─► 429, or 503 for who gives up
//! ```

mod client;
mod local;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::Request;
use compact_str::CompactString;
use http::StatusCode;
use http::request::Parts;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use seawall_store::{SharedLimit, SharedLimits};
use seawall_telemetry::Metrics;

use crate::auth::Identity;
use crate::problem::Problem;
use client::client_of;
use local::Local;

/// The address that a connection comes from, and behind [`RateLimiter::resolve`] the one that sent the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How often a sender may send, and who is not asked.
#[derive(Clone, Debug)]
pub struct RateSettings {
    /// Bodies in each `window` from an address without an identity.
    pub requests: NonZeroU32,
    pub window: Duration,
    /// Bodies that may come at once after a pause.
    pub burst: NonZeroU32,
    /// Addresses that may send as often as they like.
    pub exempt: Vec<IpNet>,
    /// Bodies in each `window` from each identity; none: as many as it likes.
    pub authenticated: Option<NonZeroU32>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for RateSettings {
    fn default() -> Self {
        let requests = NonZeroU32::MIN.saturating_add(99);
        Self {
            requests,
            window: Duration::from_secs(60),
            burst: requests,
            exempt: vec![
                Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into(),
                Ipv6Net::from(Ipv6Addr::LOCALHOST).into(),
            ],
            authenticated: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// Whose bodies are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Identity(CompactString),
    /// An IPv6 address stands for its /64, which is one customer's.
    Client(IpAddr),
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(user) => f.write_str(user),
            Self::Client(address) => address.fmt(f),
        }
    }
}

impl Sender {
    const fn scope(&self) -> &'static str {
        match self {
            Self::Identity(_) => "identity",
            Self::Client(_) => "client",
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Identity(user) => format!("i{user}"),
            Self::Client(address) => format!("c{address}"),
        }
    }
}

pub(crate) struct RateLimiter {
    settings: RateSettings,
    clients: Local,
    identities: Option<Local>,
    shared: OnceLock<Arc<dyn SharedLimits>>,
}

impl RateLimiter {
    pub(crate) fn new(settings: RateSettings) -> Self {
        let clients = Local::new(settings.client_limit());
        let identities = settings.identity_limit().map(Local::new);
        Self { settings, clients, identities, shared: OnceLock::new() }
    }

    /// All replicas count together from now on. To be said before the first request, and once.
    pub(crate) fn share(&self, shared: Arc<dyn SharedLimits>) {
        if self.shared.set(shared).is_err() {
            tracing::error!("limits are shared already; the second store is not asked");
        }
    }

    /// Counts one body, or says when its sender may send the next.
    pub(crate) async fn check(
        &self,
        metrics: &Metrics,
        parts: &Parts,
        sender: Option<&Sender>,
    ) -> Result<(), Problem> {
        let Some(sender) = sender.filter(|_| !self.is_exempt(parts)) else { return Ok(()) };
        let counted = match sender {
            Sender::Client(_) => Some((&self.clients, self.settings.client_limit())),
            Sender::Identity(_) => self.identities.as_ref().zip(self.settings.identity_limit()),
        };
        let Some((local, limit)) = counted else { return Ok(()) };
        let waits = match self.shared.get() {
            None => local.take(sender.clone()),
            Some(shared) => match shared.take(&sender.key(), limit).await {
                Ok(waits) => waits,
                // A store that is away says so itself in a moment; until then each replica counts alone.
                Err(_) => local.take(sender.clone()),
            },
        };
        let Some(wait) = waits else { return Ok(()) };
        metrics.rate_limited(sender.scope());
        let SharedLimit { requests, window, burst } = limit;
        let detail = format!(
            "more than {requests} requests in {} s, of which {burst} at once; send again after `Retry-After`",
            window.as_secs_f64()
        );
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", detail)
            .with("limit", requests.get())
            .retry_after(wait))
    }

    fn is_exempt(&self, parts: &Parts) -> bool {
        let client = parts.extensions.get();
        client.is_some_and(|Peer(client)| self.settings.exempt.iter().any(|net| net.contains(client)))
    }

    /// Finds out where a request comes from, proxies apart, and lets everybody behind know. Gives its network; nothing inside
    /// of this process.
    pub(crate) fn resolve(&self, request: &mut Request) -> Option<IpAddr> {
        let Peer(peer) = *request.extensions().get()?;
        let client = client_of(peer, request.headers(), &self.settings.trusted_proxies);
        if let Some(known) = request.extensions_mut().get_mut() {
            *known = Peer(client);
        }
        Some(client::network_of(client))
    }
}

/// Who sends; nobody in particular inside of this process.
pub(crate) fn sender_of(parts: &Parts) -> Option<Sender> {
    if let Some(identity) = parts.extensions.get::<Identity>() {
        return Some(Sender::Identity(identity.user().into()));
    }
    parts.extensions.get().map(|Peer(client)| Sender::Client(client::network_of(*client)))
}

impl RateSettings {
    const fn client_limit(&self) -> SharedLimit {
        SharedLimit { requests: self.requests, window: self.window, burst: self.burst }
    }

    fn identity_limit(&self) -> Option<SharedLimit> {
        let requests = self.authenticated?;
        Some(SharedLimit { requests, window: self.window, burst: requests })
    }
}
