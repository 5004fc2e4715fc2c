//! Signals in: the routes that senders post to.
//!
//! ```text
//! headers ─► body within limits ─► parse (in place, or as a stream) ─► one decide ─► durable ─► answer
//! ```

mod answer;
mod decide;
mod json;
mod media;
mod stream;

use std::io::Read;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use compact_str::CompactString;
use http::{HeaderMap, StatusCode};
use seawall_engine::normalise::Normaliser;
use seawall_model::Timestamp;

use crate::adapters::{self, BodyError, ParsedBody};
use crate::auth::Caller;
use crate::body::{Beginning, BodyReader};
use crate::detach::Detached;
use crate::edge::Edge;
use crate::layer::RequestId;
use crate::problem::Problem;
use crate::rate::{Sender, sender_of};

pub(crate) use answer::Summary;
pub(crate) use decide::{ask_store, count_decided, count_received, json_response};
pub(crate) use media::require_json;

/// Bodies up to this size are parsed where they lie; larger ones while they arrive.
const IN_PLACE: u64 = 1024 * 1024;
/// The same when policies are asked about every alert: some dozens of alerts keep the thread that serves connections busy
/// for about as long as a megabyte otherwise does.
const IN_PLACE_SLOW: u64 = 32 * 1024;

/// Who is speaking, by the format it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Alertmanager,
    Prometheus,
    KubernetesEvent,
}

impl Source {
    pub(crate) const ALL: [Self; 3] = [Self::Alertmanager, Self::Prometheus, Self::KubernetesEvent];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Prometheus => "prometheus",
            Self::KubernetesEvent => "kubernetes-event",
        }
    }

    fn parse(
        self,
        body: Bytes,
        normaliser: &Normaliser,
        received: Timestamp,
        most: usize,
    ) -> Result<ParsedBody, BodyError> {
        match self {
            Self::Alertmanager => adapters::parse_alertmanager(body, normaliser, received, most),
            Self::Prometheus => adapters::parse_prometheus(body, normaliser, received, most),
            Self::KubernetesEvent => adapters::parse_kubernetes_event(body, normaliser, received, most),
        }
    }

    fn parse_stream(
        self,
        body: impl Read,
        normaliser: &Normaliser,
        received: Timestamp,
        most: usize,
    ) -> Result<ParsedBody, BodyError> {
        match self {
            Self::Alertmanager => adapters::stream_alertmanager(body, normaliser, received, most),
            Self::Prometheus => adapters::stream_prometheus(body, normaliser, received, most),
            Self::KubernetesEvent => adapters::stream_kubernetes_event(body, normaliser, received, most),
        }
    }
}

/// What is known of the request itself.
struct Arrival {
    id: CompactString,
    received: Timestamp,
    caller: Caller,
    sender: Option<Sender>,
}

/// Alerts as an Alertmanager webhook sends them (version 4; Grafana's is a superset).
#[utoipa::path(
    post,
    path = "/api/v1/signals/prometheus",
    operation_id = "sendAlertmanagerWebhook",
    tag = "signals",
    request_body(content = serde_json::Value, description = "Alertmanager webhook, version 4"),
    responses(
        (status = 201, description = "At least one request was created and exists", body = crate::openapi::BodyAnswerSchema),
        (status = 202, description = "Durable; nothing new exists yet. A single alert is answered without `results`", body = crate::openapi::SignalAnswerSchema),
        (status = "4XX", description = "Problem", body = crate::openapi::ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "Not durable or saturated; send again after `Retry-After`", body = crate::openapi::ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn alertmanager(
    State(edge): State<Arc<Edge>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Problem> {
    receive(edge, Source::Alertmanager, id, request).await
}

/// Alerts as Prometheus sends them to an Alertmanager.
#[utoipa::path(
    post,
    path = "/api/v2/alerts",
    operation_id = "sendPrometheusAlerts",
    tag = "signals",
    request_body(content = Vec<serde_json::Value>, description = "Alerts of the Alertmanager v2 API"),
    responses(
        (status = 200, description = "Durable", body = crate::openapi::BodyAnswerSchema),
        (status = "4XX", description = "Problem", body = crate::openapi::ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "Not durable or saturated; send again after `Retry-After`", body = crate::openapi::ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn prometheus(
    State(edge): State<Arc<Edge>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Problem> {
    receive(edge, Source::Prometheus, id, request).await
}

/// One Kubernetes Event (core/v1 or events.k8s.io/v1).
#[utoipa::path(
    post,
    path = "/api/v1/signals/kubernetes-event",
    operation_id = "sendKubernetesEvent",
    tag = "signals",
    request_body(content = serde_json::Value, description = "A Kubernetes Event"),
    responses(
        (status = 201, description = "A request was created and exists", body = crate::openapi::SignalAnswerSchema),
        (status = 202, description = "Durable, or suppressed because the event is not a warning", body = crate::openapi::SignalAnswerSchema),
        (status = "4XX", description = "Problem", body = crate::openapi::ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "Not durable or saturated; send again after `Retry-After`", body = crate::openapi::ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn kubernetes_event(
    State(edge): State<Arc<Edge>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Problem> {
    receive(edge, Source::KubernetesEvent, id, request).await
}

async fn receive(
    edge: Arc<Edge>,
    source: Source,
    id: RequestId,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let arrival = Arrival {
        id: id.0,
        received: edge.now(),
        caller: Caller::of(&parts.extensions),
        sender: sender_of(&parts),
    };
    let result = take(edge.clone(), source, arrival, &parts, body).await;
    result.map_err(|problem| {
        count_refused(&edge, source, problem.status);
        for_sender(&edge, problem, &parts.headers)
    })
}

async fn take(
    edge: Arc<Edge>,
    source: Source,
    arrival: Arrival,
    parts: &http::request::Parts,
    body: Body,
) -> Result<Response, Problem> {
    // Before anything of the body is read.
    edge.rate().check(edge.metrics(), parts, arrival.sender.as_ref()).await?;
    if let Some(freshness) = &edge.settings().freshness {
        let verdict = freshness.check(&parts.headers, arrival.received);
        verdict.inspect_err(|_| edge.source(source).rejected("not_fresh", 1))?;
    }
    require_json(&parts.headers)?;
    let limits = &edge.settings().limits;
    let mut body = BodyReader::new(&edge, &parts.extensions, body, limits.body_bytes)?;
    let in_place = if edge.normaliser().is_slow() { IN_PLACE_SLOW } else { IN_PLACE };
    match body.begin(in_place).await? {
        Beginning::Part(pieces) => stream::receive(edge, source, arrival, pieces, body).await,
        Beginning::Whole(bytes) => {
            let parsed = source.parse(bytes, &edge.normaliser(), arrival.received, limits.alerts_per_body);
            let parsed = parsed.map_err(|error| parse_problem(&edge, source, error))?;
            Detached::new(&edge.clone(), decide::decide(edge, source, parsed, arrival, body.into_held()))
                .await
        }
    }
}

/// Counts bodies that were refused as a whole; what the store refused and what was invalid is counted by the alert.
fn count_refused(edge: &Edge, source: Source, status: StatusCode) {
    let reason = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "media_type",
        StatusCode::REQUEST_TIMEOUT => "timeout",
        StatusCode::TOO_MANY_REQUESTS => "rate_limited",
        _ => return,
    };
    edge.source(source).rejected(reason, 1);
}

fn parse_problem(edge: &Edge, source: Source, error: BodyError) -> Problem {
    match error {
        BodyError::TooMany { limit, received } => {
            Problem::too_large("the number of alerts", limit as u64).with("received", received)
        }
        BodyError::TooLarge { what, limit } => Problem::too_large(what, limit as u64),
        other => {
            edge.source(source).rejected("malformed", 1);
            Problem::malformed(other.to_string())
        }
    }
}

/// Some senders take a 4xx for the end of the matter. What they should simply send again is a 503 for them.
fn for_sender(edge: &Edge, problem: Problem, headers: &HeaderMap) -> Problem {
    let comes_again = matches!(problem.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if comes_again && edge.gives_up(headers) { problem.into_retryable() } else { problem }
}
