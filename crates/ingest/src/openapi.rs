//! The description of the interface, generated from the routes.

use std::collections::BTreeMap;

use seawall_model::{Priority, RemediationPath, RemediationRequestSpec, RemediationRequestStatus, Timestamp};
use serde::Serialize;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
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

/// What became of one alert.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignalAnswer)]
#[allow(dead_code, reason = "only its schema is used: answers are written field by field")]
pub(crate) struct SignalAnswerSchema {
    /// `created`, `duplicate`, `aggregated`, `accepted`, `resolved`, `suppressed`, or `rejected` among several.
    status: String,
    /// Only in the answer for a single alert; otherwise it is beside `results`.
    request_id: Option<String>,
    /// Position in the body, from 0; only among several.
    index: Option<usize>,
    #[schema(pattern = "^[a-f0-9]{64}$")]
    fingerprint: Option<String>,
    /// A sentence for people.
    message: String,
    duplicate: bool,
    /// Absent while the signal is held.
    remediation_request_name: Option<String>,
    remediation_request_namespace: Option<String>,
    /// `namespace/name` of the request a duplicate is counted on.
    #[serde(rename = "originalCRD")]
    original_crd: Option<String>,
    environment: Option<String>,
    priority: Option<Priority>,
    remediation_path: Option<RemediationPath>,
    is_storm: bool,
    /// `rate` or `flood`.
    storm_type: Option<String>,
    storm: Option<StormAnswerSchema>,
    metadata: Option<CountAnswerSchema>,
    /// When the body was received.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StormAnswer)]
#[allow(dead_code, reason = "only its schema is used: answers are written field by field")]
struct StormAnswerSchema {
    rule: String,
    pattern: String,
    /// Distinct fingerprints in the storm, this one included.
    alert_count: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CountAnswer)]
#[allow(dead_code, reason = "only its schema is used: answers are written field by field")]
struct CountAnswerSchema {
    /// Firing signals of this incident since `firstSeen`.
    count: u64,
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
}

/// What became of several alerts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BodyAnswer)]
#[allow(dead_code, reason = "only its schema is used: answers are written field by field")]
pub(crate) struct BodyAnswerSchema {
    /// The most that happened to any of them.
    status: String,
    request_id: String,
    /// In the order of the body; above 1000 alerts only rejected ones, 100 at most.
    results: Vec<SignalAnswerSchema>,
    /// `true` when `results` is shorter than the body.
    truncated: Option<bool>,
    summary: crate::signals::Summary,
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

/// How the security schemes are called.
const BEARER: &str = "bearer";
const BASIC: &str = "basic";
const CERTIFICATE: &str = "certificate";

/// The ways to say who one is; which of them are taken is a matter of configuration.
fn security_schemes() -> [(&'static str, SecurityScheme); 3] {
    let http = |scheme, description: &str| {
        let mut http = Http::new(scheme);
        http.description = Some(description.to_owned());
        SecurityScheme::Http(http)
    };
    let bearer = "A token of `auth.identitiesFile`, or one of the Kubernetes cluster with `auth.kubernetes.enabled`; with \
                  neither, nobody is asked.";
    let basic = "The name of somebody in `auth.identitiesFile`, and their password.";
    let certificate = "A client certificate with a name in `auth.identitiesFile`.";
    let certificate = SecurityScheme::MutualTls {
        description: Some(certificate.to_owned()),
        deprecated: None,
        extensions: None,
    };
    [
        (BEARER, http(HttpAuthScheme::Bearer, bearer)),
        (BASIC, http(HttpAuthScheme::Basic, basic)),
        (CERTIFICATE, certificate),
    ]
}

/// Adds what holds for every operation that is not open to everybody. Done for all at once, so that a new one cannot
/// lack it.
pub(crate) fn describe_authentication(description: &mut utoipa::openapi::OpenApi, open: &[&str]) {
    let components = description.components.get_or_insert_default();
    for (name, scheme) in security_schemes() {
        components.add_security_scheme(name, scheme);
    }
    for (path, item) in &mut description.paths.paths {
        if open.contains(&path.as_str()) {
            continue;
        }
        for operation in [&mut item.get, &mut item.post, &mut item.patch].into_iter().flatten() {
            // The empty requirement says that there are servers where it is not needed.
            let none = SecurityRequirement::default();
            let one = |name| SecurityRequirement::new(name, Vec::<String>::new());
            operation.security = Some(vec![one(BEARER), one(BASIC), one(CERTIFICATE), none]);
            let answers = &mut operation.responses.responses;
            for (status, sentence) in [
                ("401", "Not authenticated; `WWW-Authenticate` says how"),
                ("403", "Authenticated, and not allowed in the namespace (or any of the body's)"),
            ] {
                answers.insert(status.to_owned(), RefOr::T(problem_response(sentence)));
            }
        }
    }
}

fn problem_response(sentence: &str) -> Response {
    let schema = Ref::from_schema_name(ProblemSchema::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(sentence).content("application/problem+json", content).build()
}

/// The OpenAPI description of all routes, as it is checked in and served.
pub fn openapi_json() -> String {
    // A description that cannot be written is caught by the test that compares it with the one checked in.
    crate::router::described().1.to_pretty_json().unwrap_or_default() + "\n"
}
