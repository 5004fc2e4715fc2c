//! Makes the cluster equal to the state store, again and again until it is.
//!
//! ```text
//! StateStore::unpublished ─► Pending (one writer per request, news coalesce) ─► Breaker ─► work
//!   work: newest record ─► Writer ─► StateStore::placed | deleted
//! ```

mod breaker;
mod pending;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use seawall_cluster::{ApiError, ApiFailure};
use seawall_model::{Clock, RequestRef};
use seawall_store::StateStore;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::breaker::Breaker;
use self::pending::{Job, Pending};
use self::work::Ended;
pub(crate) use self::work::Worker;
use crate::PublishSettings;
use crate::status::Status;

/// Writes at the same time. Measured: with eight the API server makes most objects a second, one object is never written by
/// two.
const WRITERS: usize = 8;

/// What somebody else noticed. Losing one costs time only, so the queue for them may be short.
pub(crate) enum Hint {
    /// The server can be reached.
    Reached,
    /// An object is not as it should be.
    Again(RequestRef),
}

pub(crate) const MAX_HINTS: usize = 1_024;

pub(crate) struct Publisher {
    store: Arc<dyn StateStore>,
    worker: Arc<Worker>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    pending: Pending,
    breaker: Breaker,
    writing: JoinSet<Ended>,
    /// What they write.
    jobs: HashMap<Id, Job>,
}

impl Publisher {
    pub(crate) fn new(
        store: Arc<dyn StateStore>,
        worker: Arc<Worker>,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        settings: &PublishSettings,
    ) -> Self {
        Self {
            store,
            worker,
            status,
            clock,
            pending: Pending::new(settings.retry_initial, settings.retry_max),
            breaker: Breaker::new(settings.breaker_failures, settings.breaker_open),
            writing: JoinSet::new(),
            jobs: HashMap::new(),
        }
    }

    /// Publishes until `stop`, and ends what it has begun.
    pub(crate) async fn run(mut self, mut hints: mpsc::Receiver<Hint>, stop: CancellationToken) {
        let Some(mut news) = self.store.unpublished() else {
            tracing::error!("the state store tells somebody else what to publish; nothing is published");
            self.status.failed("the state store tells somebody else what to publish".to_owned());
            return;
        };
        while !stop.is_cancelled() {
            self.begin();
            let next = self.next_turn();
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = self.writing.join_next_with_id() => self.ended(ended),
                told = news.recv(), if self.pending.has_room() => match told {
                    Some(request) => self.tell(request),
                    // The store is closed, and with it everything.
                    None => break,
                },
                Some(hint) = hints.recv() => match hint {
                    Hint::Reached => self.breaker.hint(Instant::now()),
                    Hint::Again(request) => self.tell(request),
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            self.show();
        }
        while let Some(ended) = self.writing.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn tell(&mut self, request: RequestRef) {
        self.pending.tell(request, Instant::now(), self.clock.now());
    }

    /// Begins what is due, as far as there are writers and the server is not left alone.
    fn begin(&mut self) {
        let now = Instant::now();
        let is_due = |pending: &Pending| pending.next_due().is_some_and(|due| due <= now);
        while self.writing.len() < WRITERS && is_due(&self.pending) && self.breaker.enter(now) {
            let Some(job) = self.pending.take(now) else { break };
            let task = self.writing.spawn(Arc::clone(&self.worker).work(job.clone()));
            self.jobs.insert(task.id(), job);
        }
    }

    /// When there may be something to begin; nothing when an end of a write comes first.
    fn next_turn(&self) -> Option<Instant> {
        if self.writing.len() >= WRITERS {
            return None;
        }
        let due = self.pending.next_due()?;
        match self.breaker.is_open() {
            true => self.breaker.opens_at().map(|opens| opens.max(due)),
            false => Some(due),
        }
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let now = Instant::now();
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, ended),
            Err(error) => {
                let reason = format!("the write broke off: {error}");
                (error.id(), Ended::Failed(ApiError::new(ApiFailure::Protocol, reason)))
            }
        };
        let Some(job) = self.jobs.remove(&id) else { return };
        match ended {
            Ended::Nothing => {
                self.breaker.left(now);
                self.pending.done(&job.request, now, self.clock.now());
            }
            Ended::Done => {
                self.answered();
                self.pending.done(&job.request, now, self.clock.now());
            }
            Ended::StateStore(error) => {
                self.breaker.left(now);
                tracing::debug!(request = %job.request, %error, "what to publish could not be read or noted");
                self.pending.failed(&job.request, None, None, now);
            }
            Ended::Failed(error) => self.failed(&job, &error, now),
        }
    }

    fn answered(&mut self) {
        if self.breaker.is_open() {
            tracing::info!("the Kubernetes API answers again; requests are published");
        }
        self.breaker.answered();
        self.status.succeeded();
    }

    fn failed(&mut self, job: &Job, error: &ApiError, now: Instant) {
        let request = &job.request;
        let class = error.class.as_str();
        if error.class.is_outage() {
            if self.breaker.outage(now) {
                tracing::warn!(class, %error, "the Kubernetes API is down; requests are published when it is back");
            }
        } else {
            self.breaker.answered();
        }
        let news = self.pending.failed(request, Some(error.class), error.retry_after, now);
        match (news, error.class) {
            (true, ApiFailure::ForeignManager) => tracing::error!(
                %request, class, %error,
                "the request is not published, because somebody else owns fields of its object that Seawall must write; \
                 give them up with `kubectl apply` or delete the object"
            ),
            (true, _) if !error.class.is_outage() && error.class != ApiFailure::Throttled => {
                tracing::error!(%request, class, %error, "the request is not published; it is tried again");
            }
            _ => tracing::debug!(%request, class, %error, "a write failed; it is tried again"),
        }
        self.status.failed(format!("{request}: {error}"));
    }

    fn show(&self) {
        self.status.set_pending(self.pending.len(), self.pending.oldest(), self.pending.queued_since());
        self.status.set_suspended(self.breaker.is_open());
    }
}
