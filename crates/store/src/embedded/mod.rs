//! The default store: one process, one data directory, nothing to install.
//!
//! One thread owns the state. Calls reach it over a bounded queue; it takes all that wait, decides them, writes what
//! changed in one synced commit, and only then answers. While it syncs, the next calls gather: the more there is to do,
//! the more decisions share a sync. Readers ask the same thread, after the commit, so they never see what a crash could
//! still take back.
//!
//! When a commit fails, what is in memory is ahead of what is on disk. It is thrown away and rebuilt from the disk as
//! soon as that takes writes again, exactly as after a crash; until then every call is answered as unavailable.

mod adopt;
mod disk;
mod job;
mod journal;
mod lock;
mod mark;
mod reader;
mod retention;
mod status;
mod unpublished;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::{Clock, Decision, Fingerprint, Policy, RequestRef, Signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{
    Change, Explanation, Failure, Health, Page, Placement, RequestFilter, RequestPage, RequestRecord,
    StateStore, Stats, StatusPatch, StoreError, StoreFuture, StormDetail, StormPage, TOLD,
};
use disk::Tables;
use job::Job;
use writer::Writer;

/// Calls that may wait for the writer. Each is one HTTP request, of which the edge admits 1024 at once by default; the
/// rest is room for readers and workers.
const QUEUE: usize = 4096;
/// Published changes that a slow watcher may be behind before it has to ask for what it missed: some seconds of a flood.
const CHANGES: usize = 8192;
/// When to come back after a failure that may have passed by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub struct EmbeddedOptions {
    /// The data directory; made if it does not exist.
    pub path: PathBuf,
}

/// How long a call waits for the open requests outside: a list of many pages, and less than a sender waits.
const ADOPTION: Duration = Duration::from_secs(1);

/// What the writer shares with everybody else.
struct Shared {
    policy: Mutex<Arc<Policy>>,
    health: Mutex<Health>,
    stats: Mutex<Arc<Stats>>,
    /// The tables while they can be read.
    tables: Mutex<Option<Tables>>,
    changes: broadcast::Sender<Change>,
    placements: broadcast::Sender<RequestRef>,
    /// Whether the open requests outside have to be taken over first.
    incomplete: watch::Sender<bool>,
    /// Until somebody takes it.
    unpublished: Mutex<Option<mpsc::Receiver<RequestRef>>>,
}

pub struct EmbeddedStore {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
}

impl EmbeddedStore {
    /// Opens the data directory, or makes it, and recovers what is in it. Blocks until that is done.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another process uses the directory, or when what is there is damaged or shorter than
    /// what was acknowledged; [`StoreError::Unavailable`] when the directory cannot be read or written.
    pub fn open(
        options: EmbeddedOptions,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let (jobs, queue) = std::sync::mpsc::sync_channel(QUEUE);
        let (publisher, unpublished) = mpsc::channel(TOLD);
        let shared = Arc::new(Shared {
            policy: Mutex::new(policy),
            health: Mutex::new(Health { available: true, reason: None }),
            stats: Mutex::default(),
            tables: Mutex::new(None),
            changes: broadcast::Sender::new(CHANGES),
            placements: broadcast::Sender::new(CHANGES),
            incomplete: watch::Sender::new(false),
            unpublished: Mutex::new(Some(unpublished)),
        });
        let writer = Writer::open(options.path, Arc::clone(&shared), clock, publisher)?;
        std::thread::Builder::new()
            .name("seawall-store".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|error| StoreError::Unavailable {
                class: Failure::Closed,
                reason: format!("cannot start the store's thread: {error}"),
                retry_after: RETRY_AFTER,
            })?;
        Ok(Arc::new(Self { jobs, shared }))
    }

    /// Hands a call to the writer and waits for its answer.
    async fn ask<T>(&self, job: impl FnOnce(job::Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(job(reply)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Saturated { retry_after: RETRY_AFTER },
            TrySendError::Disconnected(_) => closed(),
        })?;
        answer.await.map_err(|_| interrupted())?
    }

    /// At the very start reading them is a matter of moments, and nobody needs to send again. The writer has the last word.
    async fn wait_until_whole(&self) {
        let mut incomplete = self.shared.incomplete.subscribe();
        let _ = tokio::time::timeout(ADOPTION, incomplete.wait_for(|incomplete| !incomplete)).await;
    }

    fn tables(&self) -> Result<Tables, StoreError> {
        let unavailable = || StoreError::Unavailable {
            class: Failure::Closed,
            reason: self.shared.health.lock().reason.clone().unwrap_or_else(|| "it is closed".to_owned()),
            retry_after: RETRY_AFTER,
        };
        self.shared.tables.lock().clone().ok_or_else(unavailable)
    }
}

/// The call was lost on its way: the store was closed or its state thrown away while the call was being taken.
fn interrupted() -> StoreError {
    StoreError::Unavailable {
        class: Failure::Closed,
        reason: "it was interrupted before it could answer".to_owned(),
        retry_after: RETRY_AFTER,
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable {
        class: Failure::Closed,
        reason: "it is closed".to_owned(),
        retry_after: RETRY_AFTER,
    }
}

impl StateStore for EmbeddedStore {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn decide(&self, signals: Vec<Signal>) -> StoreFuture<'_, Vec<Decision>> {
        Box::pin(async move {
            if *self.shared.incomplete.borrow() {
                self.wait_until_whole().await;
            }
            self.ask(|reply| Job::Decide { signals, reply }).await
        })
    }

    fn requests(&self, filter: RequestFilter, page: Page) -> StoreFuture<'_, RequestPage> {
        Box::pin(self.list(filter, page))
    }

    fn request(&self, reference: RequestRef) -> StoreFuture<'_, RequestRecord> {
        Box::pin(self.get(reference))
    }

    fn patch_status(&self, reference: RequestRef, patch: StatusPatch) -> StoreFuture<'_, RequestRecord> {
        Box::pin(async move {
            let patched = reference.clone();
            self.ask(|reply| Job::PatchStatus { reference: patched, patch, reply }).await?;
            self.get(reference).await
        })
    }

    fn storms(&self, page: Page) -> StoreFuture<'_, StormPage> {
        Box::pin(self.ask(|reply| Job::Storms { page, reply }))
    }

    fn storm(&self, id: String, members: Page) -> StoreFuture<'_, StormDetail> {
        Box::pin(self.ask(|reply| Job::Storm { id, members, reply }))
    }

    fn explain(&self, fingerprint: Fingerprint) -> StoreFuture<'_, Explanation> {
        Box::pin(self.explain_any(fingerprint))
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    fn unpublished(&self) -> Option<mpsc::Receiver<RequestRef>> {
        self.shared.unpublished.lock().take()
    }

    fn placed(&self, reference: RequestRef, placement: Placement) -> StoreFuture<'_, ()> {
        Box::pin(self.ask(|reply| Job::Placed { reference, placement, reply }))
    }

    fn placements(&self) -> broadcast::Receiver<RequestRef> {
        self.shared.placements.subscribe()
    }

    fn deleted(&self, reference: RequestRef) -> StoreFuture<'_, bool> {
        Box::pin(self.ask(|reply| Job::Deleted { reference, reply }))
    }

    fn incomplete(&self) -> watch::Receiver<bool> {
        self.shared.incomplete.subscribe()
    }

    fn adopt(&self, open: Vec<RequestRecord>) -> StoreFuture<'_, ()> {
        Box::pin(self.ask(|reply| Job::Adopt { open, reply }))
    }

    fn health(&self) -> Health {
        self.shared.health.lock().clone()
    }

    fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats.lock())
    }

    fn set_policy(&self, policy: Arc<Policy>) {
        *self.shared.policy.lock() = policy;
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.ask(|reply| Job::Close { reply }))
    }
}
