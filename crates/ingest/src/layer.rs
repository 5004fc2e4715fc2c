//! The one layer around every route: request id, limits, deadline, panics, problems, headers, metrics.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use compact_str::CompactString;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

use crate::auth::{Credential, Denial, Entry, identify, look};
use crate::edge::Edge;
use crate::places::Place;
use crate::problem::Problem;
use crate::serve::{Expired, OverTls, Timing};

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the log, the answer and the sender call this request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) CompactString);

/// Puts around `router` what every answer of Seawall needs.
pub fn with_edge_layers(router: Router, edge: Arc<Edge>) -> Router {
    router.layer(EdgeLayer { edge, gated: false })
}

/// The same, and lets nobody in without saying who they are; not even to what does not exist. In the same layer, because every
/// further one costs each request as much as finding out who sends it.
pub(crate) fn with_gate(router: Router, edge: Arc<Edge>) -> Router {
    router.layer(EdgeLayer { edge, gated: true })
}

#[derive(Clone)]
struct EdgeLayer {
    edge: Arc<Edge>,
    gated: bool,
}

impl<S> Layer<S> for EdgeLayer {
    type Service = EdgeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        EdgeService { inner, edge: self.edge.clone(), gated: self.gated }
    }
}

#[derive(Clone)]
struct EdgeService<S> {
    inner: S,
    edge: Arc<Edge>,
    gated: bool,
}

impl<S> Service<Request> for EdgeService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let exchange = Exchange::begin(self.edge.clone(), &mut request);
        let place = self.edge.enter(&mut request);
        if place.is_none() && !is_always_answered(request.uri().path()) {
            let problem = Problem::saturated("as many requests as allowed are being answered");
            return Box::pin(std::future::ready(Ok(exchange.finish(problem.into_response()))));
        }
        let entry = if self.gated { look(&self.edge, &mut request) } else { Entry::Open };
        let answer = match entry {
            // The handler is called here rather than in the future, so that the service need not be cloned.
            Entry::Open => Either::Left(self.inner.call(request)),
            Entry::Unknown(credential) => {
                Either::Right(ask_first(self.edge.clone(), self.inner.clone(), credential, request).boxed())
            }
            Entry::Closed(denial) => {
                let answer = exchange.finish(refuse(&self.edge, denial));
                return Box::pin(std::future::ready(Ok(answer)));
            }
        };
        Box::pin(async move {
            let response = guard(answer, exchange.timing.as_deref(), place).await;
            Ok(exchange.finish(response))
        })
    }
}

/// Finds out who sends the request, and lets it through then.
async fn ask_first<S>(
    edge: Arc<Edge>,
    inner: S,
    credential: Credential,
    mut request: Request,
) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    match identify(&edge, credential, &mut request).await {
        Ok(()) => inner.oneshot(request).await,
        Err(denial) => Ok(refuse(&edge, denial)),
    }
}

fn refuse(edge: &Edge, denial: Denial) -> Response {
    edge.authenticator().map_or_else(|| denial.into(), |known| known.refuse(denial)).into_response()
}

/// Health and metrics say how things are, most of all when there is too much to do.
fn is_always_answered(path: &str) -> bool {
    !path.starts_with("/api/") && !path.starts_with("/webhook/")
}

/// The handler's answer, or the problem that it panicked or took too long.
async fn guard(
    answer: impl Future<Output = Result<Response, Infallible>>,
    timing: Option<&Timing>,
    _place: Option<Place>,
) -> Response {
    let mut answer = pin!(AssertUnwindSafe(answer).catch_unwind());
    let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        // The connection's task polls once more when the deadline has passed; a late body is the handler's business.
        Poll::Pending if timing.is_some_and(|timing| timing.expired() == Some(Expired::Request)) => {
            Poll::Ready(None)
        }
        Poll::Pending => Poll::Pending,
    });
    match answered.await {
        Some(Ok(Ok(response))) => response,
        Some(Err(_)) => Problem::internal().into_response(),
        None => Problem::request_timeout().into_response(),
    }
}

/// One request and its answer.
struct Exchange {
    edge: Arc<Edge>,
    id: CompactString,
    uri: Uri,
    method: &'static str,
    route: Option<MatchedPath>,
    timing: Option<Arc<Timing>>,
    over_tls: bool,
    began: Instant,
}

impl Exchange {
    fn begin(edge: Arc<Edge>, request: &mut Request) -> Self {
        let given = request.headers().get(&X_REQUEST_ID).and_then(|id| valid_request_id(id.as_bytes()));
        let id = given.unwrap_or_else(|| edge.next_request_id());
        request.extensions_mut().insert(RequestId(id.clone()));
        edge.metrics().http_in_flight().inc();
        Self {
            id,
            uri: request.uri().clone(),
            method: method_label(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            timing: request.extensions().get::<Arc<Timing>>().cloned(),
            over_tls: request.extensions().get::<OverTls>().is_some(),
            began: Instant::now(),
            edge,
        }
    }

    fn finish(&self, mut response: Response) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            if problem.status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(request_id = %self.id, route = self.route(), "request failed inside");
            }
            let rendered = problem.render(self.uri.path(), &self.id);
            let (parts, body) = rendered.into_parts();
            response.headers_mut().extend(parts.headers);
            *response.body_mut() = body;
        }
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.over_tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert(X_REQUEST_ID.clone(), id);
        }
        // What is left of a body is not read, so the client must not send its next request behind it.
        if self.edge.is_draining() || self.timing.as_ref().is_some_and(|timing| timing.is_body_left()) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let route = self.edge.route(self.route());
        route.observe(self.method, response.status().as_u16(), self.began.elapsed().as_secs_f64());
        response
    }
}

impl Exchange {
    fn route(&self) -> Option<&str> {
        self.route.as_ref().map(MatchedPath::as_str)
    }
}

/// Also when the client has left before the answer.
impl Drop for Exchange {
    fn drop(&mut self) {
        self.edge.metrics().http_in_flight().dec();
    }
}

/// 1 to 128 of `[A-Za-z0-9._-]`.
fn valid_request_id(id: &[u8]) -> Option<CompactString> {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=128).contains(&id.len()) || !id.iter().all(valid) {
        return None;
    }
    CompactString::from_utf8(id).ok()
}

/// Methods are the sender's choice; labels must be ours.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
