//! Notices what others do to the objects: phases that workers set, and deletions.
//!
//! ```text
//! list, then watch; again after 410 ─► Apply  ─► status news? ─► StateStore::patch_status
//!                                      Delete ─► really gone? ─► StateStore::deleted
//!                     end of a list ─► what the store knows and the list does not ─► the same
//! ```

use std::collections::HashSet;
use std::sync::Arc;

use backon::BackoffBuilder;
use futures_util::{Stream, StreamExt, pin_mut};
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use moka::future::Cache;
use seawall_cluster::ApiFailure;
use seawall_model::{Phase, RemediationRequestStatus, RequestRef};
use seawall_store::{Page, RequestFilter, RequestRecord, StoreError};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::RETRY;
use super::object::{SELECTOR, Seen};
use super::report::{patch, understood};
use super::write::place_of;
use crate::publisher::{Hint, Worker};

/// Reports that are remembered, so that the store is asked only about news.
const REMEMBERED: u64 = 16_384;
/// Requests of the store that are compared with a list at a time.
const COMPARED: usize = 500;
pub(crate) struct Watcher {
    worker: Arc<Worker>,
    hints: mpsc::Sender<Hint>,
    relist: Arc<Notify>,
    reported: Cache<RequestRef, Arc<RemediationRequestStatus>>,
    /// The requests of the list that is being read.
    listed: Option<HashSet<RequestRef>>,
}

impl Watcher {
    pub(crate) fn new(worker: Arc<Worker>, hints: mpsc::Sender<Hint>, relist: Arc<Notify>) -> Self {
        Self { worker, hints, relist, reported: Cache::new(REMEMBERED), listed: None }
    }

    /// Watches until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        // Boxed, because the library's stream is much larger than everything else that waits here.
        stop.run_until_cancelled(Box::pin(async move {
            loop {
                let api: Api<Seen> = Api::all(self.worker.writer.objects().client().clone());
                let config = watcher::Config::default().labels(SELECTOR);
                self.follow(watcher::watcher(api, config).default_backoff()).await;
                // What the store did not know when it was reported is news now.
                self.reported.invalidate_all();
            }
        }))
        .await;
    }

    /// Until somebody asks to list again.
    async fn follow(&mut self, events: impl Stream<Item = watcher::Result<Event<Seen>>>) {
        pin_mut!(events);
        let mut broken = false;
        let relist = Arc::clone(&self.relist);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = relist.notified() => return,
            };
            let Some(event) = event else { return };
            match event {
                Ok(event) => {
                    if std::mem::take(&mut broken) {
                        tracing::info!("requests are watched again");
                        self.worker.status.set_watch(None);
                    }
                    if self.worker.status.health().suspended {
                        // Losing it costs time only.
                        let _ = self.hints.try_send(Hint::Reached);
                    }
                    self.handle(event).await;
                }
                Err(error) => {
                    let problem = format!("requests are not watched: {}", said(&error));
                    if !std::mem::replace(&mut broken, true) {
                        tracing::warn!("{problem}; phases and deletions are noticed later");
                    }
                    self.worker.status.set_watch(Some(problem));
                }
            }
        }
    }

    async fn handle(&mut self, event: Event<Seen>) {
        match event {
            Event::Init => self.listed = Some(HashSet::new()),
            Event::InitApply(seen) => {
                if let (Some(listed), Some(request)) = (&mut self.listed, seen.request()) {
                    listed.insert(request);
                }
                self.applied(&seen, true).await;
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.compare(&listed).await;
                }
            }
            Event::Apply(seen) => self.applied(&seen, false).await,
            Event::Delete(seen) => {
                let (Some(request), Some(place)) = (seen.request(), seen.place()) else { return };
                self.reported.invalidate(&request).await;
                self.gone(&request, &place).await;
            }
        }
    }

    /// An object is there. Of one that appears the store knows what it says; what a list has may have happened before
    /// anybody watched.
    async fn applied(&self, seen: &Seen, from_list: bool) {
        let (Some(request), Some(place)) = (seen.request(), seen.place()) else { return };
        self.worker.places.note(&request, place.clone());
        if self.worker.writer.note(&place, seen.known()).await {
            // A writer that slept over its lease was here. Losing it costs time only.
            let _ = self.hints.try_send(Hint::Again(request.clone()));
        }
        let status = understood(seen.status.as_ref());
        let is_news = match self.reported.get(&request).await {
            Some(before) => *before != status,
            None => from_list || status != RemediationRequestStatus::default(),
        };
        if is_news {
            persist(|| self.report(&request, &status)).await;
            self.reported.insert(request, Arc::new(status)).await;
        }
    }

    async fn report(
        &self,
        request: &RequestRef,
        status: &RemediationRequestStatus,
    ) -> Result<(), StoreError> {
        let record = self.worker.store.request(request.clone()).await?;
        if record.status.unwrap_or_default() != *status {
            self.worker.store.patch_status(request.clone(), patch(status)).await?;
        }
        Ok(())
    }

    /// An object is not there any more, or does not carry our label any more. A server that has just started, and does not know
    /// the kind yet, is no witness.
    async fn gone(&self, request: &RequestRef, place: &RequestRef) {
        self.worker.writer.forget(place).await;
        for wait in RETRY.build() {
            match self.worker.writer.objects().get(place).await {
                Ok(_) => return,
                Err(error) if error.class == ApiFailure::NotFound => break,
                Err(_) => tokio::time::sleep(wait).await,
            }
        }
        persist(|| self.worker.deleted(request)).await;
    }

    /// Finds out what was deleted while nobody watched. Finished requests do not matter any more.
    async fn compare(&self, listed: &HashSet<RequestRef>) {
        let mut page = Page { limit: COMPARED, after: None };
        loop {
            let ask = || self.worker.store.requests(RequestFilter::default(), page.clone());
            let Some(answer) = persist(ask).await else { return };
            for record in answer.items.iter().filter(|record| is_expected(record)) {
                let request = &record.doc.reference;
                let place = record.placement.as_ref().and_then(place_of);
                if let Some(place) = place.filter(|_| !listed.contains(request)) {
                    self.gone(request, &place).await;
                }
            }
            match answer.next {
                Some(next) => page.after = Some(next),
                None => return,
            }
        }
    }
}

fn is_expected(record: &RequestRecord) -> bool {
    let phase = record.status.as_ref().and_then(|status| status.overall_phase.as_deref()).unwrap_or_default();
    record.placement.as_ref().is_some_and(|placement| !placement.deleted)
        && Phase::parse(phase) != Phase::Finished
}

/// Tries until the store takes it, for the event does not come again; until then the watch waits. Nothing when it is of no
/// interest to the store.
async fn persist<T, F: Future<Output = Result<T, StoreError>>>(mut call: impl FnMut() -> F) -> Option<T> {
    for wait in RETRY.build() {
        match call().await {
            Ok(answer) => return Some(answer),
            Err(error) if error.is_retryable() => tokio::time::sleep(wait).await,
            Err(StoreError::NotFound { .. }) => return None,
            Err(error) => {
                tracing::warn!(%error, "what became of a request in the cluster could not be noted");
                return None;
            }
        }
    }
    None
}

/// The outermost message says least.
fn said(error: &watcher::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text
}
