//! Nobody gets past without saying who they are.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::token::BearerToken;
use super::{Denial, Identity, Reviewer};
use crate::edge::Edge;
use crate::layer::RequestId;
use crate::problem::Problem;

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

/// Lets a request through to its route once it is known who sends it, and adds the [`Identity`] to its extensions. The
/// body is not touched: of whoever is not let through, none is read.
pub(crate) async fn require_identity(
    State(edge): State<Arc<Edge>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(reviewer) = edge.reviewer() else { return next.run(request).await };
    if path.is_some_and(|path| OPEN.contains(&path)) {
        return next.run(request).await;
    }
    match identify(reviewer, &mut request).await {
        Ok((identity, token)) => {
            let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.as_str());
            tracing::debug!(request_id = id, %identity, "identified");
            request.extensions_mut().insert(identity);
            request.extensions_mut().insert(token);
            next.run(request).await
        }
        Err(denial) => Problem::from(denial).into_response(),
    }
}

async fn identify(reviewer: &Reviewer, request: &mut Request) -> Result<(Identity, BearerToken), Denial> {
    let token =
        BearerToken::take(request.headers_mut()).inspect_err(|denial| reviewer.count_unasked(*denial))?;
    let identity = reviewer.identify(&token).await?;
    Ok((identity, token))
}
