//! Whoever a route works for.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::extract::FromRequestParts;
use compact_str::CompactString;
use http::Extensions;
use http::request::Parts;
use tokio::time::sleep;

use super::credential::Credential;
use super::{Authenticator, Denial, Identity, Right, not_allowed};
use crate::edge::Edge;
use crate::problem::Problem;

/// A stream looks no more often than this whether it may go on, whatever its token says about its own end.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Whoever sends a request; nobody in particular where nobody is asked.
#[derive(Clone)]
pub(crate) struct Caller {
    identity: Option<Identity>,
    credential: Option<Credential>,
}

impl Caller {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Self { identity: extensions.get().cloned(), credential: extensions.get().cloned() }
    }

    /// Who it is, and who says what they may do; nothing where nobody is asked. A request that got here without an
    /// identity although one is asked for is not let through.
    fn known<'a>(&'a self, edge: &'a Edge) -> Result<Option<(&'a Identity, &'a Authenticator)>, Denial> {
        match (edge.authenticator(), &self.identity) {
            (None, _) => Ok(None),
            (Some(authenticator), Some(identity)) => Ok(Some((identity, authenticator))),
            (Some(_), None) => Err(Denial::Missing),
        }
    }

    /// Goes on only with the right in the namespace, or in all of them when none is named.
    pub(crate) async fn require(
        &self,
        edge: &Edge,
        right: Right,
        namespace: Option<&str>,
    ) -> Result<(), Problem> {
        let Some((identity, authenticator)) = self.known(edge)? else { return Ok(()) };
        let namespace = namespace.unwrap_or_default();
        if authenticator.allows(identity, right, namespace).await? {
            return Ok(());
        }
        tracing::debug!(%identity, ?right, namespace, "forbidden");
        Err(Problem::forbidden(not_allowed(identity, right, namespace)))
    }

    /// The namespaces that signals may not be sent about, with the sentence that says so.
    pub(crate) async fn forbidden<'a>(
        &self,
        edge: &Edge,
        namespaces: impl Iterator<Item = &'a str>,
    ) -> Result<Forbidden, Problem> {
        let Some((identity, authenticator)) = self.known(edge)? else { return Ok(Forbidden(None)) };
        let mut homes: HashSet<CompactString> = HashSet::new();
        for home in namespaces.map(|namespace| authenticator.home(namespace)) {
            if !homes.contains(home) {
                homes.insert(home.into());
            }
        }
        if homes.is_empty() {
            return Ok(Forbidden(None));
        }
        let forbidden = authenticator.forbidden(identity, Right::Send, homes).await?;
        if forbidden.is_empty() {
            return Ok(Forbidden(None));
        }
        tracing::debug!(%identity, namespaces = forbidden.len(), "forbidden");
        let fallback = authenticator.home("").into();
        Ok(Forbidden(Some(Closed { identity: identity.clone(), fallback, namespaces: forbidden })))
    }

    /// Resolves when what a stream was opened with does not hold any more: the token has ended or was withdrawn, the
    /// right was taken away, or nobody says. Whoever still has the right opens it again where it broke off.
    pub(crate) async fn lapsed(&self, edge: &Edge, right: Right, namespace: Option<&str>) {
        let (Some(authenticator), Some(credential)) = (edge.authenticator(), &self.credential) else {
            return pending().await;
        };
        let mut changes = authenticator.changes();
        // Since the request was let in there may have been one.
        changes.mark_changed();
        let mut trusted = None;
        loop {
            tokio::select! {
                Ok(()) = changes.changed() => {}
                () = end_of(trusted) => {}
            }
            let Ok(identity) = authenticator.identify(credential, edge.tasks()).await else { return };
            match authenticator.allows(&identity, right, namespace.unwrap_or_default()).await {
                Ok(true) => trusted = authenticator.trust(credential, &identity),
                Ok(false) | Err(_) => return,
            }
        }
    }
}

/// Resolves when that time is over; never without one.
async fn end_of(trusted: Option<Duration>) {
    match trusted {
        Some(trusted) => sleep(trusted.max(LOOK_AT_MOST_EVERY)).await,
        None => pending().await,
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// What one may not send signals about.
pub(crate) struct Forbidden(Option<Closed>);

struct Closed {
    identity: Identity,
    /// Where signals without a namespace of their own are at home.
    fallback: CompactString,
    namespaces: HashSet<CompactString>,
}

impl Forbidden {
    /// Why a signal about this namespace is not taken; nothing when it is.
    pub(crate) fn reason(&self, namespace: &str) -> Option<String> {
        let closed = self.0.as_ref()?;
        let home = if closed.namespaces.contains(namespace) {
            namespace
        } else if seawall_model::is_dns_label(namespace) || !closed.namespaces.contains(&closed.fallback) {
            return None;
        } else {
            &closed.fallback
        };
        Some(not_allowed(&closed.identity, Right::Send, home))
    }
}
