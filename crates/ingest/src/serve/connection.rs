//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::io::{AnswerBody, Observed, RequestBody};
use super::secure::{self, Secure};
use super::timing::{Timing, Verdict};
use crate::edge::Edge;
use crate::rate::Peer;

/// Bytes of a head, the request line included.
const MAX_HEAD: usize = 64 * 1024;
/// Bytes that one connection buffers in each direction. Large enough for a fast body, small enough for ten thousand
/// connections.
const MAX_BUFFER: usize = 128 * 1024;
/// The deadline of a connection that has none; far enough to be never.
const NEVER: Duration = Duration::from_secs(86_400);

/// How connections are told to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// After the answer to the current request, or now when there is none.
    pub(crate) graceful: CancellationToken,
    /// Now.
    pub(crate) abrupt: CancellationToken,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    /// It was aborted while a request was still being answered.
    Aborted,
}

/// What requests on a connection are answered with.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) router: Router,
    pub(super) peer: Peer,
    pub(super) timing: Arc<Timing>,
    /// What is known of the other end where TLS is spoken.
    pub(super) secure: Option<Arc<Secure>>,
}

/// Serves requests on `stream` until one side has had enough; over TLS where there is a configuration for it.
pub(crate) async fn drive(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    edge: Arc<Edge>,
    tls: Option<Arc<ServerConfig>>,
    ending: Ending,
) -> End {
    let timing = Arc::new(Timing::new(edge.settings().timeouts.clone()));
    let visit = Visit { router, peer, timing, secure: None };
    match tls {
        None => {
            let stream = Observed::new(stream, visit.timing.clone());
            exchange(stream, visit, &ending).await
        }
        // In a place of its own, so that connections without TLS do not carry its size.
        Some(config) => Box::pin(secure::drive(stream, config, edge, visit, ending)).await,
    }
}

/// Serves requests on a stream on which HTTP is spoken.
pub(super) async fn exchange<S>(stream: S, visit: Visit, ending: &Ending) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let timing = visit.timing.clone();
    let service = service_fn(move |request| answer(visit.clone(), request));
    let mut builder = http1::Builder::new();
    // The default of 100 headers stays: setting it, even to 100, costs an allocation per request.
    builder.header_read_timeout(None).max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFER);
    let connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    run(connection, &timing, ending).await
}

async fn answer(
    visit: Visit,
    mut request: Request<Incoming>,
) -> Result<hyper::Response<AnswerBody>, Infallible> {
    let Visit { mut router, peer, timing, secure } = visit;
    timing.begin_request(!request.body().is_end_stream());
    request.extensions_mut().insert(timing.clone());
    request.extensions_mut().insert(peer);
    if let Some(secure) = secure {
        router = secure.introduce(&mut request, router);
    }
    let noted = timing.clone();
    let request = request.map(|body| RequestBody { body, timing: noted });
    let response = router.call(request).await?;
    timing.begin_answer();
    Ok(response.map(|body| AnswerBody { body, timing }))
}

/// Polls the connection until it is done, its time is up or it is told to end.
async fn run<S, H>(
    mut connection: Pin<&mut http1::Connection<TokioIo<S>, H>>,
    timing: &Timing,
    ending: &Ending,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: hyper::service::HttpService<Incoming, ResBody = AnswerBody>,
    H::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut graceful = pin!(ending.graceful.cancelled());
    let mut abrupt = pin!(ending.abrupt.cancelled());
    let mut told = false;
    let mut armed = timing.next_deadline().unwrap_or_else(|| Instant::now() + NEVER);
    let mut timer = pin!(sleep_until(armed));
    poll_fn(|cx| {
        if !told && graceful.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        loop {
            match connection.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(End::Closed),
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "connection failed");
                    return Poll::Ready(End::Closed);
                }
                Poll::Pending => {}
            }
            if abrupt.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Aborted);
            }
            // The timer is moved only when it would fire too late; one that fires too early is armed again below.
            if let Some(deadline) = timing.next_deadline().filter(|deadline| *deadline < armed) {
                armed = deadline;
                timer.as_mut().reset(armed);
            }
            loop {
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                match timing.judge() {
                    Verdict::Nudge => break,
                    Verdict::Close(reason) => {
                        tracing::debug!(reason, "connection closed");
                        return Poll::Ready(End::Closed);
                    }
                    Verdict::Wait => {
                        armed = timing.next_deadline().unwrap_or_else(|| Instant::now() + NEVER);
                        timer.as_mut().reset(armed);
                    }
                }
            }
        }
    })
    .await
}
