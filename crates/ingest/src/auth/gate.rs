//! Nobody gets past without saying who they are.

use axum::extract::{MatchedPath, Request};

use super::credential::Credential;
use super::{Denial, Identity};
use crate::edge::Edge;
use crate::layer::RequestId;

/// What everybody may ask for. Everything else needs an identity, also what does not exist: a route that is added later
/// is closed unless it is listed here.
pub(crate) const OPEN: [&str; 8] = [
    "/healthz",
    "/health/live",
    "/readyz",
    "/ready",
    "/health/ready",
    "/health",
    "/metrics",
    "/openapi.json",
];

/// Whether a request may go to its route.
pub(crate) enum Entry {
    /// Nobody is asked, or who it is is known, and is among its extensions.
    Open,
    /// It has to be asked or computed first, with [`identify`].
    Unknown(Credential),
    Closed(Denial),
}

/// Looks who sends a request without asking anybody, so that the usual request waits for nothing here. The body is not
/// touched: of whoever is not let through, none is read.
pub(crate) fn look(edge: &Edge, request: &mut Request) -> Entry {
    let Some(authenticator) = edge.authenticator() else { return Entry::Open };
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if path.is_some_and(|path| OPEN.contains(&path)) {
        return Entry::Open;
    }
    let credential = match Credential::take(request) {
        Ok(credential) => credential,
        Err(denial) => {
            authenticator.count_unasked(denial);
            return Entry::Closed(denial);
        }
    };
    match authenticator.remembered(&credential) {
        Some(Ok(identity)) => {
            admit(request, identity, credential);
            Entry::Open
        }
        Some(Err(denial)) => Entry::Closed(denial),
        None => Entry::Unknown(credential),
    }
}

/// Finds out who sends a request, and adds the [`Identity`] to its extensions.
pub(crate) async fn identify(
    edge: &Edge,
    credential: Credential,
    request: &mut Request,
) -> Result<(), Denial> {
    let authenticator = edge.authenticator().ok_or(Denial::Missing)?;
    let identity = authenticator.identify(&credential, edge.tasks()).await?;
    admit(request, identity, credential);
    Ok(())
}

fn admit(request: &mut Request, identity: Identity, credential: Credential) {
    let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.as_str());
    tracing::debug!(request_id = id, %identity, "identified");
    request.extensions_mut().insert(identity);
    request.extensions_mut().insert(credential);
}
