//! Storms: which there are, and who is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use seawall_model::{Fingerprint, RequestRef, Timestamp};
use seawall_store::{MemberRecord, StormRecord};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ListMetadata, read};
use crate::auth::{Caller, Right};
use crate::edge::Edge;
use crate::openapi::ProblemSchema;
use crate::problem::Problem;
use crate::query::Parameters;
use crate::signals::json_response;

/// Where a request is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReferenceView {
    namespace: String,
    name: String,
}

impl From<&RequestRef> for ReferenceView {
    fn from(reference: &RequestRef) -> Self {
        Self { namespace: reference.namespace.to_string(), name: reference.id.to_string() }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StormView {
    id: String,
    rule: String,
    /// `rate` or `flood`.
    storm_type: &'static str,
    /// The values that the members share.
    group_by: BTreeMap<String, String>,
    pattern: String,
    request_ref: ReferenceView,
    /// Distinct fingerprints, superseded ones included.
    alert_count: u64,
    /// Firing signals counted on the storm's request.
    occurrence_count: u64,
    #[schema(value_type = String, format = DateTime)]
    opened_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Name of the request of the storm that continues this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    successor_ref: Option<String>,
}

impl From<&StormRecord> for StormView {
    fn from(storm: &StormRecord) -> Self {
        Self {
            id: storm.id.clone(),
            rule: storm.rule.to_string(),
            storm_type: storm.storm_type,
            group_by: storm
                .group_by
                .iter()
                .map(|(field, value)| (field.to_string(), value.to_string()))
                .collect(),
            pattern: storm.pattern.to_string(),
            request_ref: (&storm.request).into(),
            alert_count: storm.alert_count,
            occurrence_count: storm.occurrence_count,
            opened_at: storm.opened_at,
            last_seen: storm.last_seen,
            ended_at: storm.ended_at,
            successor_ref: storm.successor.map(|id| id.to_string()),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct StormList {
    kind: &'static str,
    metadata: ListMetadata,
    items: Vec<StormView>,
}

/// A storm and a page of its members.
#[derive(Serialize, ToSchema)]
pub(crate) struct StormWithMembers {
    #[serde(flatten)]
    storm: StormView,
    members: MemberList,
}

#[derive(Serialize, ToSchema)]
struct MemberList {
    metadata: ListMetadata,
    items: Vec<MemberView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemberView {
    #[schema(value_type = String, pattern = "^[a-f0-9]{64}$")]
    fingerprint: Fingerprint,
    kind: String,
    name: String,
    /// Empty for cluster-scoped resources.
    namespace: String,
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    count: u64,
    resolved: bool,
}

impl From<MemberRecord> for MemberView {
    fn from(member: MemberRecord) -> Self {
        Self {
            fingerprint: member.fingerprint,
            kind: member.identity.kind.to_string(),
            name: member.identity.resource.to_string(),
            namespace: member.identity.namespace.to_string(),
            first_seen: member.first_seen,
            last_seen: member.last_seen,
            count: member.count,
            resolved: member.resolved,
        }
    }
}

/// Open and recently ended storms, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/storms",
    operation_id = "listStorms",
    tag = "storms",
    params(
        ("limit" = Option<u32>, Query, description = "Items of a page: 1 to 5000, default 500"),
        ("continue" = Option<String>, Query, description = "`metadata.continue` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = StormList),
        (status = 400, description = "A parameter is wrong", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "The state store is unavailable", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_storms(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let page = parameters.take_page()?;
    parameters.finish("limit and continue")?;
    // Storms may span namespaces.
    caller.require(&edge, Right::Read, None).await?;
    let found = read(&edge, edge.store().storms(page)).await?;
    let list = StormList {
        kind: "StormList",
        metadata: ListMetadata { resource_version: Some(found.revision.to_string()), next: found.next },
        items: found.items.iter().map(StormView::from).collect(),
    };
    Ok(json_response(StatusCode::OK, &list, 4 * 1024))
}

/// One storm with a page of its members.
#[utoipa::path(
    get,
    path = "/api/v1/storms/{id}",
    operation_id = "getStorm",
    tag = "storms",
    params(
        ("id" = String, Path),
        ("limit" = Option<u32>, Query, description = "Members of a page: 1 to 5000, default 500"),
        ("continue" = Option<String>, Query, description = "`members.metadata.continue` of the page before"),
    ),
    responses(
        (status = 200, description = "The storm", body = StormWithMembers),
        (status = 400, description = "A parameter is wrong", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 404, description = "It does not exist", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "The state store is unavailable", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_storm(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    Path(id): Path<String>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let page = parameters.take_page()?;
    parameters.finish("limit and continue")?;
    // Storms may span namespaces.
    caller.require(&edge, Right::Read, None).await?;
    let found = read(&edge, edge.store().storm(id, page)).await?;
    let shown = StormWithMembers {
        storm: (&found.storm).into(),
        members: MemberList {
            metadata: ListMetadata { resource_version: None, next: found.next },
            items: found.members.into_iter().map(MemberView::from).collect(),
        },
    };
    Ok(json_response(StatusCode::OK, &shown, 4 * 1024))
}
