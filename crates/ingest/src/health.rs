//! Whether the process lives, whether it should be sent anything, and its metrics.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use seawall_model::Timestamp;
use seawall_store::{Sink, SinkHealth};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Authenticator;
use crate::edge::Edge;
use crate::openapi::ProblemSchema;
use crate::problem::Problem;
use crate::signals::json_response;

#[derive(Serialize, ToSchema)]
pub(crate) struct Alive {
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ready`.
    status: &'static str,
    checks: Checks,
}

/// What readiness depends on, in words.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checks {
    /// `ok`, or why decisions cannot be made durable.
    state_store: String,
    /// Where requests live, and what keeps them from getting there. It does not make anything less ready: alerts are taken,
    /// and requests follow.
    sink: String,
    /// `off` when everybody may send and read; `ok`, or why nobody new can be told from anybody else. Nobody is let in
    /// then, and readiness does not depend on it.
    auth: Cow<'static, str>,
    /// `off` unless Kubernetes events are a source; `ok`, whichever replica watches them, or why nobody here does. Readiness
    /// does not depend on it: what happens meanwhile is taken later.
    kubernetes_events: Cow<'static, str>,
    /// `serving` or `draining`.
    server: &'static str,
}

/// The process is alive.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "live",
    tag = "operation",
    responses((status = 200, description = "It is", body = Alive))
)]
pub(crate) async fn live() -> Response {
    json_response(StatusCode::OK, &Alive { status: "ok" }, 32)
}

/// Whether alerts should be sent here.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "operation",
    responses(
        (status = 200, description = "Yes", body = Readiness),
        (status = 503, description = "No; `checks` says why", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    let health = edge.store().health();
    let draining = edge.is_draining();
    let state_store = match (health.available, health.reason) {
        (true, _) => "ok".to_owned(),
        (false, reason) => {
            reason.map_or_else(|| "unavailable".to_owned(), |reason| format!("unavailable: {reason}"))
        }
    };
    let checks = Checks {
        state_store,
        sink: edge
            .sink()
            .map_or_else(|| "in state store".to_owned(), |sink| sink_check(sink.as_ref(), edge.now())),
        auth: auth_check(&edge),
        kubernetes_events: edge.events().in_words(),
        server: if draining { "draining" } else { "serving" },
    };
    if health.available && !draining {
        return json_response(StatusCode::OK, &Readiness { status: "ready", checks }, 256);
    }
    let detail = if draining { "the server is shutting down" } else { "decisions cannot be made durable" };
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready", detail)
        .retry_after(std::time::Duration::from_secs(1));
    match serde_json::to_value(&checks) {
        Ok(checks) => problem.with("checks", checks).into_response(),
        Err(_) => problem.into_response(),
    }
}

/// As the last review went: nobody is asked only to know.
fn auth_check(edge: &Edge) -> Cow<'static, str> {
    match edge.authenticator().map(Authenticator::failure) {
        None => "off".into(),
        Some(None) => "ok".into(),
        Some(Some(failure)) => format!("unavailable: {}", failure.as_str()).into(),
    }
}

/// `ok`, or what is wrong and what waits for it.
fn sink_check(sink: &dyn Sink, now: Timestamp) -> String {
    let SinkHealth { pending, oldest_pending_since, suspended, problem } = sink.health();
    let mut text = match (suspended, problem) {
        (false, None) => "ok".to_owned(),
        (false, Some(problem)) => problem,
        (true, problem) => {
            let problem = problem.map(|problem| format!(": {problem}")).unwrap_or_default();
            format!("{} is down, and left alone for a while{problem}", sink.kind())
        }
    };
    if let Some(since) = oldest_pending_since {
        let seconds = (now - since).max(0) / 1000;
        text += &format!("; {pending} pending, the oldest for {seconds} s");
    }
    text
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operation",
    responses((status = 200, description = "All metrics", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(edge): State<Arc<Edge>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], edge.metrics().render()).into_response()
}
