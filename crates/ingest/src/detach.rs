//! Work that must not end with the connection that asked for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::edge::Edge;

/// Runs a future in place as long as somebody waits for it, and in a task of its own when nobody does any more.
///
/// The server drops a handler whose client has gone. What changes state must then still come to its end, and shutdown
/// must wait for it. Handing it over only when that happens spares every other request a task and a wake-up.
pub(crate) struct Detached<T: Send + 'static> {
    edge: Arc<Edge>,
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: Send + 'static> Detached<T> {
    pub(crate) fn new(edge: &Arc<Edge>, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { edge: edge.clone(), work: Some(Box::pin(work)) }
    }
}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it runs, so that work that panics is not run again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let done = work.as_mut().poll(cx);
        if done.is_pending() {
            self.work = Some(work);
        }
        done
    }
}

impl<T: Send + 'static> Drop for Detached<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and nothing was acknowledged.
        if let Some(work) = self.work.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.edge.tasks().spawn_on(work, &runtime);
        }
    }
}
