//! Gives a state store back what is open when it has lost it.

use std::sync::Arc;

use backon::BackoffBuilder;
use seawall_cluster::ApiError;
use seawall_store::StoreError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::RETRY;
use super::open::open_requests;
use crate::publisher::Worker;

pub(crate) struct Rebuilder {
    worker: Arc<Worker>,
    /// Asks the watch to list again: what happened between our list and its adoption meant nothing to the store.
    relist: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum RebuildError {
    #[error("the open requests in the cluster cannot be read: {0}")]
    Read(#[from] ApiError),
    #[error("the open requests in the cluster cannot be taken over: {0}")]
    Adopt(#[from] StoreError),
}

impl Rebuilder {
    pub(crate) fn new(worker: Arc<Worker>, relist: Arc<Notify>) -> Self {
        Self { worker, relist }
    }

    /// Whenever the store lacks them, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        // Boxed, because a list is much larger than the rest of what waits here.
        stop.run_until_cancelled(Box::pin(self.serve())).await;
    }

    async fn serve(self) {
        let mut incomplete = self.worker.store.incomplete();
        while incomplete.wait_for(|incomplete| *incomplete).await.is_ok() {
            let mut waits = RETRY.build();
            let mut said = None;
            while *incomplete.borrow_and_update() {
                let problem = self.rebuild().await.err().map(|error| error.to_string());
                self.worker.status.set_rebuild(problem.clone());
                let Some(problem) = problem else { continue };
                if said.as_ref() != Some(&problem) {
                    tracing::error!("{problem}; alerts are refused until they are");
                    said = Some(problem);
                }
                tokio::time::sleep(waits.next().unwrap_or_default()).await;
            }
        }
    }

    async fn rebuild(&self) -> Result<(), RebuildError> {
        let open = open_requests(self.worker.writer.objects()).await?;
        let found = !open.is_empty();
        self.worker.store.adopt(open).await?;
        if found {
            self.relist.notify_one();
        }
        Ok(())
    }
}
