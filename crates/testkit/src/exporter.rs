//! A fake exporter: what it exposes can be changed while Prometheus scrapes it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::ports::loopback;

/// Serves its text on every path until it is dropped.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    text: Arc<Mutex<String>>,
    _server: JoinSet<()>,
}

impl Exporter {
    pub async fn start(text: &str) -> Self {
        let listener = TcpListener::bind(loopback(0)).await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let text = Arc::new(Mutex::new(text.to_owned()));
        let shown = Arc::clone(&text);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shown = Arc::clone(&shown);
                let answer = service_fn(move |_| {
                    let body = Full::new(Bytes::from(shown.lock().clone()));
                    async move { Ok::<_, Infallible>(Response::new(body)) }
                });
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                connections.spawn(async {
                    serving.await.ok();
                });
            }
        });
        Self { address, text, _server: server }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces what it exposes.
    pub fn set(&self, text: &str) {
        text.clone_into(&mut self.text.lock());
    }
}
