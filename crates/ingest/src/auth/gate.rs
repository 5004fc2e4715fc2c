//! Nobody gets past without saying who they are.

use axum::extract::{MatchedPath, Request};

use super::token::BearerToken;
use super::{Denial, Identity, Reviewer};
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
    /// The API server has to be asked first, with [`identify`].
    Unknown(BearerToken),
    Closed(Denial),
}

/// Looks who sends a request without asking anybody, so that the usual request waits for nothing here. The body is not
/// touched: of whoever is not let through, none is read.
pub(crate) fn look(edge: &Edge, request: &mut Request) -> Entry {
    let Some(reviewer) = edge.reviewer() else { return Entry::Open };
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    if path.is_some_and(|path| OPEN.contains(&path)) {
        return Entry::Open;
    }
    let token = match BearerToken::take(request.headers_mut()) {
        Ok(token) => token,
        Err(denial) => {
            reviewer.count_unasked(denial);
            return Entry::Closed(denial);
        }
    };
    match reviewer.remembered(&token) {
        Some(identity) => {
            admit(request, identity, token);
            Entry::Open
        }
        None => Entry::Unknown(token),
    }
}

/// Asks who sends a request, and adds the [`Identity`] to its extensions.
pub(crate) async fn identify(
    reviewer: &Reviewer,
    token: BearerToken,
    request: &mut Request,
) -> Result<(), Denial> {
    let identity = reviewer.identify(&token).await?;
    admit(request, identity, token);
    Ok(())
}

fn admit(request: &mut Request, identity: Identity, token: BearerToken) {
    let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.as_str());
    tracing::debug!(request_id = id, %identity, "identified");
    request.extensions_mut().insert(identity);
    request.extensions_mut().insert(token);
}
