//! The accept loop, and the way out of it.
//!
//! ```text
//! accept ─► [TLS handshake] ─► connection (timeouts, one request at a time) ─► router
//! shutdown ─► readiness 503 ─► drain delay ─► listener closed ─► answers say `close` ─► idle connections closed
//!          ─► everything answered or drain time over ─► the rest aborted
//! ```

mod connection;
mod io;
mod secure;
mod timing;

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::edge::Edge;
use crate::rate::Peer;
use crate::tls::Tls;
use connection::{End, Ending, drive};
pub(crate) use secure::OverTls;
pub(crate) use timing::{Expired, Timing};

/// How long idle connections stay open after the listener is closed: a request that is already on its way is answered
/// instead of reset.
const IDLE_GRACE: Duration = Duration::from_millis(250);
/// How often, at most, the reason why nothing can be accepted is logged, and how long it is waited for.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the end went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that were open when the listener was closed.
    pub open: usize,
    /// Connections that were cut off because the drain time was over.
    pub aborted: usize,
    /// Work that was still not done then, such as decisions of clients that had gone.
    pub unfinished: usize,
    /// From the signal to the end.
    pub took: Duration,
}

struct Server {
    router: Router,
    tls: Option<Arc<Tls>>,
    edge: Arc<Edge>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    aborted: Arc<AtomicUsize>,
    ending: Ending,
}

/// Serves `router` on `listener`, over TLS where there is some, until `shutdown`, then drains: requests in flight are
/// answered, new ones are not taken, and what is not done within the drain time is cut off.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    edge: Arc<Edge>,
    shutdown: impl Future<Output = ()>,
) -> DrainReport {
    let server = Server {
        slots: Arc::new(Semaphore::new(edge.settings().max_connections.max(1))),
        router,
        tls,
        edge,
        connections: TaskTracker::new(),
        aborted: Arc::default(),
        ending: Ending::default(),
    };
    let mut shutdown = pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => {}
        () = server.accept(&listener) => {}
    }
    let began = Instant::now();
    server.edge.begin_drain();
    let delay = server.edge.settings().timeouts.drain_delay;
    // A timeout is how this ends: the loop has no end of its own.
    let _ = timeout(delay, server.accept(&listener)).await;
    server.drain(listener, began).await
}

impl Server {
    async fn accept(&self, listener: &TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => self.spawn(stream, peer, slot),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection was gone before it was served");
            return;
        }
        let (router, edge) = (self.router.clone(), self.edge.clone());
        let tls = self.tls.as_deref().map(Tls::current);
        let (ending, aborted) = (self.ending.clone(), self.aborted.clone());
        self.connections.spawn(async move {
            if drive(stream, Peer(peer.ip()), router, edge, tls, ending).await == End::Aborted {
                aborted.fetch_add(1, Ordering::Relaxed);
            }
            drop(slot);
        });
    }

    async fn drain(self, listener: TcpListener, began: Instant) -> DrainReport {
        // Whoever is in the listener's queue has connected; closing the listener would reset them.
        while let Ok(slot) = self.slots.clone().try_acquire_owned()
            && let Some(Ok((stream, peer))) = listener.accept().now_or_never()
        {
            self.spawn(stream, peer, slot);
        }
        drop(listener);
        let open = self.connections.len();
        self.connections.close();
        self.edge.stop_streams();
        let deadline = Instant::now() + self.edge.settings().timeouts.drain;
        // Ends early when every connection is closed by its client.
        let _ = timeout(IDLE_GRACE, self.connections.wait()).await;
        self.ending.graceful.cancel();
        let tasks = self.edge.tasks();
        let done = async {
            self.connections.wait().await;
            tasks.close();
            tasks.wait().await;
        };
        if tokio::time::timeout_at(deadline, done).await.is_err() {
            self.ending.abrupt.cancel();
            self.connections.wait().await;
        }
        DrainReport {
            open,
            aborted: self.aborted.load(Ordering::Relaxed),
            unfinished: tasks.len(),
            took: began.elapsed(),
        }
    }
}

/// What has gone wrong with one connection is no reason to stop; what has gone wrong with the process (no file
/// descriptors, no memory) passes, and until then trying again at once would only burn the processor.
async fn pause_after(error: &std::io::Error) {
    if matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    ) {
        return;
    }
    tracing::warn!(%error, "no connection can be accepted");
    sleep(ACCEPT_PAUSE).await;
}
