//! Why a problem is where it is.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use seawall_model::{Fingerprint, Timestamp};
use seawall_store::{ExplainedDecision, Explanation};
use serde::Serialize;
use utoipa::ToSchema;

use super::read;
use super::storms::{ReferenceView, StormView};
use crate::auth::{Caller, Right};
use crate::edge::Edge;
use crate::openapi::ProblemSchema;
use crate::problem::Problem;
use crate::query::Parameters;
use crate::signals::json_response;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExplanationView {
    kind: &'static str,
    #[schema(value_type = String, pattern = "^[a-f0-9]{64}$")]
    fingerprint: Fingerprint,
    identity: IdentityView,
    /// Whether a further firing signal would be a duplicate.
    open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_ref: Option<ReferenceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storm: Option<StormView>,
    /// In order of time.
    decisions: Vec<DecisionView>,
}

/// What the fingerprint is made of.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct IdentityView {
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    alertname: String,
    /// Empty for cluster-scoped resources.
    namespace: String,
    kind: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DecisionView {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `created`, `accepted`, `aggregated`, `duplicate`, `resolved`, `superseded`, `released` or `ended`.
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// A sentence with the numbers that made the difference.
    reason: String,
}

impl From<ExplainedDecision> for DecisionView {
    fn from(decision: ExplainedDecision) -> Self {
        Self {
            at: decision.at,
            decision: decision.decision,
            rule: decision.rule.map(|rule| rule.to_string()),
            reason: decision.reason,
        }
    }
}

impl From<Explanation> for ExplanationView {
    fn from(found: Explanation) -> Self {
        Self {
            kind: "Explanation",
            fingerprint: found.fingerprint,
            identity: IdentityView {
                cluster: found.identity.cluster.to_string(),
                alertname: found.identity.name.to_string(),
                namespace: found.identity.namespace.to_string(),
                kind: found.identity.kind.to_string(),
                name: found.identity.resource.to_string(),
            },
            open: found.open,
            request_ref: found.request.as_ref().map(ReferenceView::from),
            storm: found.storm.as_ref().map(StormView::from),
            decisions: found.decisions.into_iter().map(DecisionView::from).collect(),
        }
    }
}

/// The decisions taken for a fingerprint, with the rule and the numbers.
#[utoipa::path(
    get,
    path = "/api/v1/explain/{fingerprint}",
    operation_id = "explain",
    tag = "storms",
    params(("fingerprint" = String, Path, description = "64 lower-case hexadecimal digits")),
    responses(
        (status = 200, description = "What is known", body = ExplanationView),
        (status = 404, description = "Nothing is known about it", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "The state store is unavailable", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn explain(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Path(fingerprint): Path<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish("")?;
    // A fingerprint does not tell the namespace, and neither may the answer.
    caller.require(&edge, Right::Read, None).await?;
    // What is no fingerprint is the fingerprint of nothing.
    let parsed: Fingerprint = fingerprint
        .parse()
        .map_err(|error| Problem::not_found(format!("`{fingerprint}` is not known: {error}")))?;
    let found = read(&edge, edge.store().explain(parsed)).await?;
    Ok(json_response(StatusCode::OK, &ExplanationView::from(found), 4 * 1024))
}
