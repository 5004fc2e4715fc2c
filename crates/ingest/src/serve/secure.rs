//! A connection on which TLS is spoken: the handshake, who is at the other end, and for how long.
//!
//! ```text
//! first byte ─► a handshake? ─► TLS ─► HTTP, until the client's certificate ends
//!            └► anything else ─► HTTP, and 400 whatever is asked
//! ```

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::header::CONNECTION;
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use seawall_model::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::connection::{End, Ending, Visit, exchange};
use super::io::Observed;
use super::timing::{LINGER, Timing};
use crate::edge::Edge;
use crate::layer::with_edge_layers;
use crate::problem::Problem;
use crate::tls::Client;

/// How every TLS connection begins: the type of a record that carries a handshake.
const HANDSHAKE: u8 = 0x16;

/// Among the extensions of every request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

/// What is known of the other end of a connection.
pub(super) struct Secure {
    edge: Arc<Edge>,
    client: Option<Client>,
}

impl Secure {
    /// Says with the request who sends it. Gives whatever answers: somebody else when the certificate has ended.
    pub(super) fn introduce(&self, request: &mut Request<Incoming>, router: Router) -> Router {
        request.extensions_mut().insert(OverTls);
        let Some(client) = &self.client else { return router };
        if self.edge.now() > client.not_after {
            return refusing(&self.edge, Problem::certificate_ended);
        }
        request.extensions_mut().insert(client.names.clone());
        router
    }
}

/// Whatever is asked gets this problem, and the connection ends with it.
fn refusing(edge: &Arc<Edge>, problem: fn() -> Problem) -> Router {
    let of = edge.clone();
    let refuse = async move |headers: HeaderMap| {
        let problem = problem();
        let problem = if of.gives_up(&headers) { problem.into_retryable() } else { problem };
        ([(CONNECTION, "close")], problem)
    };
    with_edge_layers(Router::new().fallback(refuse), edge.clone())
}

/// In a place of its own: what TLS has to know is large, and is handed on several times.
type Secured = Box<TlsStream<Observed<TcpStream>>>;

enum Greeting {
    Tls(Secured),
    Other(TcpStream),
    /// There is nobody to talk to.
    Gone,
}

/// Serves requests on `stream`. The handshake is a part of the time for the first headers.
pub(super) async fn drive(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    edge: Arc<Edge>,
    visit: Visit,
    ending: Ending,
) -> End {
    let greeting = tokio::select! {
        greeting = greet(stream, config, &visit.timing) => greeting,
        // As with a client that has sent nothing yet.
        () = ending.graceful.cancelled() => Greeting::Gone,
    };
    match greeting {
        Greeting::Gone => End::Closed,
        Greeting::Other(stream) => {
            tracing::debug!("a client without TLS");
            let router = refusing(&edge, Problem::wants_tls);
            let stream = Observed::new(stream, visit.timing.clone());
            exchange(stream, Visit { router, ..visit }, &ending).await
        }
        Greeting::Tls(stream) => {
            let Ok(client) = client_of(&stream) else { return End::Closed };
            let not_after = client.as_ref().map(|client| client.not_after);
            let visit = Visit { secure: Some(Arc::new(Secure { edge: edge.clone(), client })), ..visit };
            match not_after {
                None => exchange(stream, visit, &ending).await,
                Some(not_after) => until(not_after, &edge, stream, visit, &ending).await,
            }
        }
    }
}

async fn greet(stream: TcpStream, config: Arc<ServerConfig>, timing: &Arc<Timing>) -> Greeting {
    let greeting = shake_hands(stream, config, timing);
    let greeting = match timing.next_deadline() {
        Some(deadline) => timeout_at(deadline, greeting).await,
        None => Ok(greeting.await),
    };
    greeting.unwrap_or_else(|_| {
        tracing::debug!("the handshake took too long");
        Greeting::Gone
    })
}

async fn shake_hands(stream: TcpStream, config: Arc<ServerConfig>, timing: &Arc<Timing>) -> Greeting {
    let mut first = [0];
    // Nothing is set aside for a client that says nothing.
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == HANDSHAKE => {}
        Ok(1) => return Greeting::Other(stream),
        Ok(_) | Err(_) => return Greeting::Gone,
    }
    let stream = Observed::new(stream, timing.clone());
    match TlsAcceptor::from(config).accept(stream).into_fallible().await {
        Ok(stream) => Greeting::Tls(Box::new(stream)),
        Err((error, stream)) => {
            tracing::debug!(%error, "TLS handshake failed");
            // Longer than that nobody needs to read why.
            timeout(LINGER, part(stream.into_inner())).await.ok();
            Greeting::Gone
        }
    }
}

/// Closes a socket on which bytes may still arrive so that the other side reads what it was told last.
async fn part(mut stream: TcpStream) {
    let mut sink = [0; 1024];
    if stream.shutdown().await.is_ok() {
        while matches!(stream.read(&mut sink).await, Ok(1..)) {}
    }
}

/// Who is at the other end; nothing when they did not say.
fn client_of(stream: &Secured) -> Result<Option<Client>, ()> {
    let certificates = stream.get_ref().1.peer_certificates();
    let Some(certificate) = certificates.and_then(<[_]>::first) else { return Ok(None) };
    Client::of(certificate).map(Some).map_err(|reason| {
        tracing::debug!(reason, "a client's certificate was verified and cannot be read");
    })
}

/// Serves requests until the client's certificate ends: then the connection ends after the current answer, and what takes
/// longer, such as a stream, is cut off when an answer would have to be there.
async fn until(not_after: Timestamp, edge: &Edge, stream: Secured, visit: Visit, ending: &Ending) -> End {
    let left = Duration::from_millis(u64::try_from(not_after - edge.now()).unwrap_or(0));
    let own = Ending { graceful: ending.graceful.child_token(), abrupt: ending.abrupt.child_token() };
    let lapse = async {
        sleep(left).await;
        own.graceful.cancel();
        sleep(edge.settings().timeouts.request).await;
        own.abrupt.cancel();
        pending().await
    };
    let end = tokio::select! {
        end = exchange(stream, visit, &own) => end,
        end = lapse => end,
    };
    // What a drain reports is what the drain has cut off.
    if ending.abrupt.is_cancelled() { end } else { End::Closed }
}
