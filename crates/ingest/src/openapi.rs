//! The description of the interface, generated from the routes.

use std::collections::BTreeMap;

use seawall_model::{RemediationRequestSpec, RemediationRequestStatus};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
#[allow(dead_code, reason = "only its schema is used: the real one has fields that depend on the problem")]
pub(crate) struct ProblemSchema {
    /// Stable; ends in a code for programs.
    #[schema(example = "urn:seawall:problem:not-durable")]
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// The path that was asked for.
    instance: String,
    request_id: String,
}

/// A `RemediationRequest`, as Kubernetes would hold it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RemediationRequest)]
#[allow(
    dead_code,
    reason = "only its schema is used: the real one is generated and has no schema of this kind"
)]
pub(crate) struct RequestSchema {
    #[schema(example = "remediation.kubernaut.io/v1alpha1")]
    api_version: String,
    #[schema(example = "RemediationRequest")]
    kind: String,
    /// Kubernetes' object metadata.
    metadata: BTreeMap<String, serde_json::Value>,
    spec: RemediationRequestSpec,
    status: Option<RemediationRequestStatus>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RemediationRequestList)]
#[allow(dead_code, reason = "only its schema is used: the real one holds generated types")]
pub(crate) struct RequestListSchema {
    api_version: String,
    #[schema(example = "RemediationRequestList")]
    kind: String,
    metadata: crate::reads::ListMetadata,
    items: Vec<RequestSchema>,
}

/// A JSON merge patch; absent fields stay, null removes.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusPatch)]
#[allow(dead_code, reason = "only its schema is used: a merge patch can say null, which the status cannot")]
pub(crate) struct StatusPatchSchema {
    status: RemediationRequestStatus,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Seawall", description = "N alerts about one problem become one RemediationRequest."),
    tags(
        (name = "signals", description = "Alerts and events in"),
        (name = "requests", description = "What to remediate"),
        (name = "storms", description = "Why it was decided so"),
        (name = "operation", description = "Health and metrics"),
    )
)]
struct Description;

/// The parts of the description that do not come from a route.
pub(crate) fn description() -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    description
}

/// The OpenAPI description of all routes, as it is checked in and served.
pub fn openapi_json() -> String {
    // A description that cannot be written is caught by the test that compares it with the one checked in.
    crate::router::described().1.to_pretty_json().unwrap_or_default() + "\n"
}
