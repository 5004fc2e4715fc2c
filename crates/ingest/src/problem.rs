//! Errors as senders see them (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use seawall_store::StoreError;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What went wrong: a status, a stable code for programs, a sentence for people. It says nothing that only concerns
/// the inside.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(crate) status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// How somebody may say who they are, where that is what is wrong.
    challenges: &'static [&'static str],
    extra: Map<String, Value>,
}

/// The body of an error.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            retry_after: None,
            challenges: &[],
            extra: Map::new(),
        }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) const fn challenging(mut self, challenges: &'static [&'static str]) -> Self {
        self.challenges = challenges;
        self
    }

    /// The same with a status after which every sender sends again.
    pub(crate) fn into_retryable(mut self) -> Self {
        self.status = StatusCode::SERVICE_UNAVAILABLE;
        self.retry_after.get_or_insert(Duration::from_secs(1));
        self
    }

    pub(crate) fn bad_parameter(name: &str, wrong: impl std::fmt::Display) -> Self {
        let detail = format!("query parameter `{name}` {wrong}");
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", "Invalid query parameter", detail)
            .with("parameter", name)
    }

    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-body", "The body is not what it says it is", detail)
    }

    /// The number that was received belongs to it wherever it is known.
    pub(crate) fn too_large(what: &str, limit: u64) -> Self {
        let detail = format!("{what} is over the limit of {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large", detail).with("limit", limit)
    }

    pub(crate) fn media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "Unsupported media type", detail)
    }

    pub(crate) fn saturated(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "saturated", "Too much is going on", detail)
            .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn slow_body() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body took too long", detail)
    }

    pub(crate) fn request_timeout() -> Self {
        let detail =
            "there is no answer yet; what was sent may still be counted, and sending it again is safe";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "No answer in time", detail)
            .retry_after(Duration::from_secs(1))
    }

    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(crate) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "this path does not take this method; `Allow` says which it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
    }

    pub(crate) fn wants_tls() -> Self {
        let detail = "this port speaks HTTPS, and the request came without TLS";
        Self::new(StatusCode::BAD_REQUEST, "tls-required", "TLS is spoken here", detail)
    }

    pub(crate) fn certificate_ended() -> Self {
        let detail =
            "the client certificate of this connection has expired; connect again with one that has not";
        Self::new(StatusCode::UNAUTHORIZED, "certificate-ended", "The certificate has expired", detail)
    }

    pub(crate) fn internal() -> Self {
        let detail = "something went wrong inside; the log has the request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// The complete answer. `instance` is the path, `request_id` what the log calls this request.
    pub(crate) fn render(&self, instance: &str, request_id: &str) -> Response {
        let body = ProblemBody {
            r#type: format!("urn:seawall:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            request_id,
            extra: &self.extra,
        };
        let json = serde_json::to_vec(&body)
            .unwrap_or_else(|_| json!({"status": self.status.as_u16()}).to_string().into());
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for challenge in self.challenges {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, and never 0: that would ask for a storm of retries.
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64));
        }
        response
    }
}

/// Leaves the problem for the layer around all routes, which knows what else belongs into it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { retry_after, .. } => {
                let detail = "nothing of this could be made durable; sending it again is safe";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-durable", "State store unavailable", detail)
                    .retry_after(retry_after)
            }
            StoreError::Saturated { retry_after } => {
                Self::saturated("more is waiting for the state store than it may hold")
                    .retry_after(retry_after)
            }
            StoreError::NotFound { what } => Self::not_found(format!("{what} does not exist")),
            StoreError::Invalid { reason } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Invalid content", reason)
            }
            StoreError::Refused { .. } => Self::internal(),
        }
    }
}
