//! HTTP: from a request to a verb, from what came of it to an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::feed::feed;
use super::read::{Selection, Watching};
use super::status::Status;
use super::write::{Content, Writing};
use super::{Fault, GROUP, Moment, PLURAL, Shared, Verb};

/// The API server reads no longer bodies.
const LONGEST_BODY: usize = 3 * 1024 * 1024;

/// The connection is broken off instead of an answer, or in the middle of one.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be cut")]
pub(super) struct Cut;

pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// Where a request leads.
enum Route<'a> {
    Collection { namespace: Option<&'a str> },
    Object { namespace: &'a str, name: &'a str, is_status: bool },
    Other(Result<Value, Status>),
}

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let Some((stream, handle)) = doubled(stream) else { continue };
        let (shared, handle) = (Arc::clone(&shared), Arc::new(handle));
        let answer = service_fn(move |request| serve(Arc::clone(&shared), Arc::clone(&handle), request));
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        connections.spawn(async {
            serving.await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The connection, and a second handle on it by which it can be reset while it is being served.
fn doubled(stream: TcpStream) -> Option<(TcpStream, TcpStream)> {
    stream.set_nodelay(true).ok()?;
    let stream = stream.into_std().ok()?;
    let handle = TcpStream::from_std(stream.try_clone().ok()?).ok()?;
    Some((TcpStream::from_std(stream).ok()?, handle))
}

async fn serve(
    shared: Arc<Shared>,
    handle: Arc<TcpStream>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let query = parameters(head.uri.query().unwrap_or_default());
    let path = head.uri.path().trim_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    let route = route(&shared, &segments);
    let verb = match verb(&route, &head.method, &head.headers, &query) {
        Ok(verb) => verb,
        Err(status) => return Ok(refusal(&status)),
    };
    // Read first, as the API server does: whoever is sending does not notice a refusal.
    let Ok(body) = Limited::new(body, LONGEST_BODY).collect().await else {
        return Ok(refusal(&Status::new(413, "RequestEntityTooLarge", "the request is too large")));
    };
    let body = body.to_bytes();

    let fault = verb.and_then(|verb| shared.plan.lock().next(verb));
    if let Some(fault) = fault.as_ref().filter(|fault| fault.moment() == Moment::BeforeCommit) {
        return go_wrong(fault, &route, &handle).await;
    }
    let answer = act(&shared, &route, verb, &head.headers, &query, &body);
    match fault {
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            Ok(answer)
        }
        Some(fault) => go_wrong(&fault, &route, &handle).await,
        None => Ok(answer),
    }
}

fn route<'a>(shared: &Shared, segments: &[&'a str]) -> Route<'a> {
    match segments {
        ["apis", group, "v1alpha1", rest @ ..] if *group == GROUP => match rest {
            [plural] if *plural == PLURAL => Route::Collection { namespace: None },
            ["namespaces", namespace, plural, rest @ ..] if *plural == PLURAL => match rest {
                [] => Route::Collection { namespace: Some(namespace) },
                [name] => Route::Object { namespace, name, is_status: false },
                [name, "status"] => Route::Object { namespace, name, is_status: true },
                _ => Route::Other(Err(Status::no_such_path())),
            },
            _ => Route::Other(Err(Status::no_such_path())),
        },
        ["api", "v1", "namespaces", name] => Route::Other(shared.state.lock().namespace(name)),
        ["apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions", name]
            if *name == format!("{PLURAL}.{GROUP}") =>
        {
            Route::Other(Ok(shared.state.lock().schema.definition().clone()))
        }
        ["version"] => Route::Other(Ok(json!({ "major": "1", "minor": "34", "gitVersion": "v1.34.4" }))),
        _ => Route::Other(Err(Status::no_such_path())),
    }
}

/// What is asked for; none for what is no RemediationRequest, which is neither counted nor goes wrong.
fn verb(
    route: &Route<'_>,
    method: &Method,
    headers: &HeaderMap,
    query: &BTreeMap<String, String>,
) -> Result<Option<Verb>, Status> {
    let is_object = matches!(route, Route::Object { .. });
    let verb = match (route, method.as_str()) {
        (Route::Other(_), "GET") => return Ok(None),
        (Route::Collection { .. }, "GET") => {
            let watches = query.get("watch").is_some_and(|value| value == "true" || value == "1");
            if watches { Verb::Watch } else { Verb::List }
        }
        (_, "GET") if is_object => Verb::Get,
        (_, "PUT") if is_object => Verb::Update,
        (Route::Object { is_status: false, .. }, "DELETE") => Verb::Delete,
        (_, "PATCH") if is_object => {
            match headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) {
                Some("application/apply-patch+yaml") => Verb::Apply,
                Some("application/merge-patch+json") => Verb::Patch,
                _ => {
                    return Err(Status::new(
                        415,
                        "UnsupportedMediaType",
                        "the fake does not know such patches",
                    ));
                }
            }
        }
        _ => return Err(Status::new(405, "MethodNotAllowed", "the server does not allow this method")),
    };
    // What would be done elsewhere, or not be done at all, must not seem to work.
    match query.get("dryRun") {
        Some(_) => Err(Status::bad_request("the fake does not know dryRun")),
        None => Ok(Some(verb)),
    }
}

fn act(
    shared: &Arc<Shared>,
    route: &Route<'_>,
    verb: Option<Verb>,
    headers: &HeaderMap,
    query: &BTreeMap<String, String>,
    body: &Bytes,
) -> Response<Body> {
    let result = match (route, verb) {
        (Route::Object { namespace, name, is_status }, Some(verb)) => {
            let key = ((*namespace).to_owned(), (*name).to_owned());
            match verb {
                Verb::Get => shared
                    .state
                    .lock()
                    .objects
                    .get(&key)
                    .map(|stored| (stored.to_json(), false))
                    .ok_or_else(|| Status::not_found(name)),
                Verb::Delete => {
                    let options = serde_json::from_slice(body).unwrap_or_default();
                    shared.change(|state| state.delete(&key, &options)).map(|status| (status, false))
                }
                verb => content(verb, query, body).and_then(|content| {
                    let is_strict = query.get("fieldValidation").is_some_and(|how| how == "Strict");
                    let manager = manager(verb, headers, query);
                    let writing = Writing { key, is_status: *is_status, is_strict, manager, content };
                    shared.change(|state| state.write(&writing))
                }),
            }
        }
        (Route::Collection { namespace }, Some(Verb::Watch)) => {
            return watching(shared, *namespace, query).unwrap_or_else(|status| refusal(&status));
        }
        (Route::Collection { namespace }, _) => {
            let mut state = shared.state.lock();
            Selection::new(&state, *namespace, query)
                .and_then(|selection| state.list(&selection, query))
                .map(|list| (list, false))
        }
        (Route::Other(result), _) => result.clone().map(|object| (object, false)),
        (Route::Object { .. }, None) => Err(Status::no_such_path()),
    };
    match result {
        Ok((object, is_new)) => {
            let code = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            text(code, &object)
        }
        Err(status) => refusal(&status),
    }
}

fn watching(
    shared: &Arc<Shared>,
    namespace: Option<&str>,
    query: &BTreeMap<String, String>,
) -> Result<Response<Body>, Status> {
    // Before the state is looked at: what happens in between is then seen twice and not missed.
    let mut signal = shared.signal.subscribe();
    let seen = *signal.borrow_and_update();
    let (watching, first) = {
        let state = shared.state.lock();
        let selection = Selection::new(&state, namespace, query)?;
        Watching::begin(&state, selection, query)?
    };
    let timeout = super::read::number(query, "timeoutSeconds")?.map(Duration::from_secs);
    let mut response = Response::new(feed(Arc::clone(shared), signal, seen, watching, first, timeout));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn content(verb: Verb, query: &BTreeMap<String, String>, body: &Bytes) -> Result<Content, Status> {
    let object: Value = serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("the fake reads JSON only: {error}")))?;
    let force = query.get("force").is_some_and(|force| force == "true" || force == "1");
    match verb {
        Verb::Apply => Ok(Content::Apply { config: object, force }),
        _ if force => Err(Status::invalid(
            "",
            &[("force".to_owned(), "may not be specified for non-apply patch".to_owned())],
        )),
        Verb::Patch => Ok(Content::Merge(object)),
        _ => Ok(Content::Replace(object)),
    }
}

/// Whoever does not say under which name it writes gets the first word of its user agent; an apply must say it.
fn manager(verb: Verb, headers: &HeaderMap, query: &BTreeMap<String, String>) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("unknown");
    let word = agent.split('/').next().unwrap_or_default().to_owned();
    let default = if verb == Verb::Apply { String::new() } else { word };
    query.get("fieldManager").cloned().unwrap_or(default)
}

async fn go_wrong(fault: &Fault, route: &Route<'_>, handle: &TcpStream) -> Result<Response<Body>, Cut> {
    let name = match route {
        Route::Object { name, .. } => name,
        _ => "",
    };
    let status = match fault {
        Fault::Conflict => Status::stale(name),
        Fault::Throttle { retry_after } => {
            let message = "the server has received too many requests and has asked us to try again later";
            Status::new(429, "TooManyRequests", message).retry_after(*retry_after)
        }
        Fault::Refuse { code, reason, message } => Status::new(*code, reason, message),
        Fault::Fail { code, .. } => {
            let reason = match code {
                503 => "ServiceUnavailable",
                504 => "Timeout",
                _ => "InternalError",
            };
            Status::new(*code, reason, "injected")
        }
        Fault::Reset { .. } => {
            // Closing it now sends a reset, and what was written before is lost with it.
            handle.set_zero_linger().ok();
            return Err(Cut);
        }
        Fault::Hang { .. } => std::future::pending().await,
        Fault::Slow(_) => unreachable!("what is slow goes well"),
    };
    Ok(refusal(&status))
}

fn refusal(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).expect("a status that exists");
    let mut response = text(code, &status.to_json());
    if let Some(after) = status.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().into());
    }
    response
}

fn text(code: StatusCode, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
