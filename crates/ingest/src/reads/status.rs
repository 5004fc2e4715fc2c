//! A worker's report.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use seawall_model::RequestRef;
use seawall_store::StatusPatch;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::reference;
use super::requests::shown;
use crate::auth::{Caller, Right};
use crate::body::BodyReader;
use crate::detach::Detached;
use crate::edge::Edge;
use crate::openapi::{ProblemSchema, RequestSchema, StatusPatchSchema};
use crate::problem::Problem;
use crate::signals::{json_response, require_json};

/// Bytes of a report. A status has a handful of fields; conditions are the only long one.
const MAX_PATCH: u64 = 256 * 1024;

/// Merges a worker's report into the status (RFC 7396).
#[utoipa::path(
    patch,
    path = "/api/v1/requests/{namespace}/{name}/status",
    operation_id = "patchRequestStatus",
    tag = "requests",
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body(content(
        (StatusPatchSchema = "application/merge-patch+json"),
        (StatusPatchSchema = "application/json"),
    )),
    responses(
        (status = 200, description = "The request with its new status", body = RequestSchema),
        (status = "4XX", description = "Not JSON, no such request, an unknown field (422), or a status that is set in the cluster (409)", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "Not durable; send again after `Retry-After`", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn patch_status(
    State(edge): State<Arc<Edge>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    if edge.sink().is_some() {
        return Err(elsewhere(&namespace, &name));
    }
    let (parts, body) = request.into_parts();
    // Before the body is read, and before it is told whether there is such a request.
    Caller::of(&parts.extensions).require(&edge, Right::Work, Some(&namespace)).await?;
    require_json(&parts.headers)?;
    let reference = reference(&namespace, &name)?;
    let limit = MAX_PATCH.min(edge.settings().limits.body_bytes);
    let (body, held) = BodyReader::new(&edge, &parts.extensions, body, limit)?.whole().await?;
    let patch = parse(&body)?;
    drop((body, held));
    Detached::new(&edge.clone(), apply(edge, reference, patch)).await
}

async fn apply(edge: Arc<Edge>, reference: RequestRef, patch: StatusPatch) -> Result<Response, Problem> {
    let began = Instant::now();
    let patched = edge.store().patch_status(reference, patch).await;
    edge.store_metrics.patch_status.observe(began.elapsed().as_secs_f64());
    match patched {
        Ok(record) => Ok(json_response(StatusCode::OK, &shown(&record), 4 * 1024)),
        Err(error) => {
            edge.note_store_error(&error);
            Err(error.into())
        }
    }
}

/// Two places for one status would contradict each other sooner or later.
fn elsewhere(namespace: &str, name: &str) -> Problem {
    let detail = "requests are resources of the cluster, and their status is read from there; set the phase on the resource, \
                  for example with `kubectl patch rr NAME --subresource=status --type=merge`";
    Problem::new(StatusCode::CONFLICT, "status-elsewhere", "The status is set on the resource", detail)
        .with("resource", format!("{namespace}/{name}"))
}

/// `{"status": {…}}` and nothing else: whoever sends more expects more to happen.
fn parse(body: &[u8]) -> Result<StatusPatch, Problem> {
    let invalid =
        |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid content", detail);
    let fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| Problem::malformed(format!("the patch is not a JSON object: {error}")))?;
    let mut status = None;
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("status", Value::Object(fields)) => status = Some(fields),
            ("status", _) => return Err(invalid("`status` must be an object".to_owned())),
            _ => return Err(invalid(format!("unknown field `{name}`; only `status` can be changed"))),
        }
    }
    status.map(StatusPatch).ok_or_else(|| invalid("`status` is missing".to_owned()))
}
