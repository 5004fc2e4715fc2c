//! Requests: one, a page of them, or a stream of what happens to them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use seawall_model::{RemediationRequest, build_request};
use seawall_store::{RequestFilter, RequestRecord};
use serde::Serialize;

use super::{ListMetadata, read, reference, watch};
use crate::auth::{Caller, Right};
use crate::edge::Edge;
use crate::openapi::{ProblemSchema, RequestListSchema, RequestSchema};
use crate::problem::Problem;
use crate::query::Parameters;
use crate::signals::json_response;

/// Bytes of a request, roughly.
const REQUEST_SIZE: usize = 4 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestList {
    api_version: &'static str,
    kind: &'static str,
    metadata: ListMetadata,
    items: Vec<RemediationRequest>,
}

pub(super) fn shown(record: &RequestRecord) -> RemediationRequest {
    build_request(&record.doc, &record.state, record.status.as_ref())
}

/// Requests by namespace and name, or a stream of their changes.
#[utoipa::path(
    get,
    path = "/api/v1/requests",
    operation_id = "listRequests",
    tag = "requests",
    params(
        ("namespace" = Option<String>, Query, description = "Only those in this namespace"),
        ("phase" = Option<String>, Query, description = "Only those in this phase, compared without case, spaces, `-` and `_`; empty: not taken up yet"),
        ("fingerprint" = Option<String>, Query, description = "Only those about this problem"),
        ("storm" = Option<bool>, Query, description = "Only those of storms, or only the others"),
        ("limit" = Option<u32>, Query, description = "Items of a page: 1 to 5000, default 500"),
        ("continue" = Option<String>, Query, description = "`metadata.continue` of the page before"),
        ("watch" = Option<bool>, Query, description = "Server-sent events `ADDED`, `MODIFIED` and `DELETED` with the request: all that exist, then every change"),
        ("resourceVersion" = Option<u64>, Query, description = "With `watch`: only what changed after this revision"),
        ("Last-Event-ID" = Option<u64>, Header, description = "With `watch`: the same, as browsers send it"),
    ),
    responses(
        (status = 200, description = "A page, or with `watch` a stream", content(
            (RequestListSchema = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 400, description = "A parameter is wrong", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "The state store is unavailable", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_requests(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    headers: HeaderMap,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let mut filter = RequestFilter {
        namespace: parameters.take_text("namespace").map(Into::into),
        phase: parameters.take_text("phase"),
        fingerprint: parameters.take("fingerprint", "64 lower-case hexadecimal digits")?,
        storm: parameters.take("storm", "`true` or `false`")?,
        since: None,
    };
    let is_watch = parameters.take("watch", "`true` or `false`")?.unwrap_or(false);
    let page = parameters.take_page()?;
    let known = "namespace, phase, fingerprint, storm, limit, continue, watch and resourceVersion";
    if is_watch {
        let since = parameters.take("resourceVersion", "a revision, which is a number")?;
        parameters.finish(known)?;
        filter.since = watch::last_event_id(&headers)?.or(since);
        caller.require(&edge, Right::Read, filter.namespace.as_deref()).await?;
        return Ok(watch::stream(edge, caller, filter).await?.into_response());
    }
    parameters.finish(known)?;
    caller.require(&edge, Right::Read, filter.namespace.as_deref()).await?;
    let found = read(&edge, edge.store().requests(filter, page)).await?;
    let list = RequestList {
        api_version: "remediation.kubernaut.io/v1alpha1",
        kind: "RemediationRequestList",
        metadata: ListMetadata { resource_version: Some(found.revision.to_string()), next: found.next },
        items: found.items.iter().map(shown).collect(),
    };
    Ok(json_response(StatusCode::OK, &list, list.items.len() * REQUEST_SIZE))
}

/// One request.
#[utoipa::path(
    get,
    path = "/api/v1/requests/{namespace}/{name}",
    operation_id = "getRequest",
    tag = "requests",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, description = "The request", body = RequestSchema),
        (status = 404, description = "It does not exist", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "The state store is unavailable", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_request(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.finish("")?;
    caller.require(&edge, Right::Read, Some(&namespace)).await?;
    let record = read(&edge, edge.store().request(reference(&namespace, &name)?)).await?;
    Ok(json_response(StatusCode::OK, &shown(&record), REQUEST_SIZE))
}
