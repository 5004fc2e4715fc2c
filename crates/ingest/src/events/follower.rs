//! The work of the replica that holds the lease.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use futures_util::{FutureExt, StreamExt};
use seawall_cluster::{ApiError, ApiFailure, Notes};
use seawall_model::{Millis, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::api::{EventsApi, Line, Listed, WATCHED_FOR};
use super::checkpoint::Checkpoint;
use super::counts::{Batch, Counts};
use super::occurrences::{RETRY, decide};
use super::status::EventsState;
use crate::edge::Edge;

/// Sightings in one batch. What has come meanwhile is the next one, so a batch need not be large to be quick.
const MOST: usize = 256;
/// API servers forget versions that are older than 5 to 10 minutes. When nothing has happened for this long, a list makes
/// a younger one known, so that a hand-over still finds it.
const QUIET: Duration = Duration::from_secs(120);
/// How far the clocks of those who write events may be behind ours, when only the time is left to go by.
const SKEW: Millis = 30_000;
/// Between two watches, so that a server that ends them at once is not asked without a pause.
const PAUSE: Duration = Duration::from_millis(100);
/// What an end of a watch may be late.
const SLACK: Duration = Duration::from_secs(5);

/// What to do next.
#[derive(Clone, Debug)]
enum Next {
    /// Find out what the one before had counted when it left this.
    Recall(Checkpoint),
    /// Take what is there and not counted; of what is not known, only what happened since then.
    List(Option<Timestamp>),
    Watch,
}

pub(super) struct Follower {
    edge: Arc<Edge>,
    api: EventsApi,
    /// What happened before is nobody's, when there never was a holder.
    started: Timestamp,
    counts: Counts,
    next: Next,
    /// What is durable, once that is known.
    reached: Option<Checkpoint>,
    /// When that last moved.
    moved: Instant,
}

impl Follower {
    pub(super) fn new(edge: Arc<Edge>, api: EventsApi) -> Self {
        // Many events have their time in whole seconds.
        let started = Timestamp::from_millis(edge.now().as_seconds() * 1000);
        let next = Next::List(Some(started));
        Self { edge, api, started, counts: Counts::default(), next, reached: None, moved: Instant::now() }
    }

    /// Follows events until `stop`, beginning where `notes` say. What we know ourselves is used when nobody else was the
    /// holder since.
    pub(super) async fn run(
        &mut self,
        notes: &Notes,
        is_new: bool,
        noted: &watch::Sender<Notes>,
        stop: &CancellationToken,
    ) {
        if is_new || self.reached.is_none() {
            self.counts.clear();
            self.reached = None;
            self.next = match Checkpoint::read(notes) {
                Some(checkpoint) => Next::Recall(checkpoint),
                None => Next::List(Some(self.started)),
            };
        }
        if let Some(reached) = &self.reached {
            noted.send_replace(reached.notes());
        }
        self.edge.events().set(EventsState::Beginning);
        let mut waits = RETRY.build();
        let mut failing = false;
        while !stop.is_cancelled() {
            let before = self.reached.clone();
            let end = self.step(noted, stop).await;
            if self.reached != before || end.is_ok() {
                waits = RETRY.build();
            }
            let pause = match end {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("Kubernetes events are watched again");
                    }
                    PAUSE
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        let class = error.class.as_str();
                        tracing::warn!(%error, class, "Kubernetes events are not watched; they are taken later");
                    }
                    self.edge.events().set(EventsState::Failing(error.to_string()));
                    waits.next().unwrap_or(PAUSE)
                }
            };
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    async fn step(&mut self, noted: &watch::Sender<Notes>, stop: &CancellationToken) -> Result<(), ApiError> {
        match self.next.clone() {
            Next::Recall(checkpoint) => match stop.run_until_cancelled(self.recall(&checkpoint)).await {
                None => {}
                Some(Ok(())) => {
                    tracing::info!(
                        version = checkpoint.version,
                        "Kubernetes events go on where they were left"
                    );
                    self.reach(checkpoint, noted);
                    self.next = Next::Watch;
                }
                Some(Err(error)) if error.class == ApiFailure::Expired => {
                    tracing::warn!(
                        since = %checkpoint.time,
                        "the API server has forgotten where Kubernetes events were left; what happened since then is taken, \
                         and may be counted twice"
                    );
                    self.counts.clear();
                    self.next = Next::List(Some(checkpoint.time - SKEW));
                }
                Some(Err(error)) => return Err(error),
            },
            Next::List(since) => {
                if let Some(version) = self.list(since, stop).await? {
                    self.reach(Checkpoint { version, time: self.edge.now() }, noted);
                    self.next = Next::Watch;
                }
            }
            Next::Watch => match self.watch(noted, stop).await {
                Ok(()) if self.moved.elapsed() >= QUIET => self.next = Next::List(None),
                Err(error) if error.class == ApiFailure::Expired => {
                    tracing::debug!(%error, "Kubernetes events are listed again");
                    self.next = Next::List(None);
                }
                end => return end,
            },
        }
        Ok(())
    }

    fn reach(&mut self, checkpoint: Checkpoint, noted: &watch::Sender<Notes>) {
        noted.send_replace(checkpoint.notes());
        self.reached = Some(checkpoint);
        self.moved = Instant::now();
    }

    async fn recall(&mut self, checkpoint: &Checkpoint) -> Result<(), ApiError> {
        self.counts.clear();
        let mut next = None;
        loop {
            let page = self.api.list(Some(&checkpoint.version), next).await?;
            page.events.iter().for_each(|event| self.counts.recall(event));
            match page.next {
                Some(more) => next = Some(more),
                None => return Ok(()),
            }
        }
    }

    /// Counts what is there and was not counted yet, and returns the version of the list; nothing when it was stopped.
    async fn list(
        &mut self,
        since: Option<Timestamp>,
        stop: &CancellationToken,
    ) -> Result<Option<String>, ApiError> {
        let mut listed = HashSet::new();
        let mut next = None;
        loop {
            let Some(page) = stop.run_until_cancelled(self.api.list(None, next)).await else {
                return Ok(None);
            };
            let Listed { events, version, next: more } = page?;
            for events in events.chunks(MOST) {
                let mut batch = Batch::default();
                for event in events {
                    listed.insert(event.key);
                    batch.add(&self.counts, event, since);
                }
                if !self.settle(batch, stop).await {
                    return Ok(None);
                }
            }
            if more.is_none() {
                self.counts.keep_only(&listed);
                return Ok(Some(version));
            }
            next = more;
        }
    }

    /// Takes what happens, until the watch ends.
    async fn watch(
        &mut self,
        noted: &watch::Sender<Notes>,
        stop: &CancellationToken,
    ) -> Result<(), ApiError> {
        let version = self.reached.as_ref().map_or("", |reached| &reached.version).to_owned();
        let Some(lines) = stop.run_until_cancelled(self.api.watch(&version)).await else { return Ok(()) };
        let mut lines = pin!(lines?);
        self.edge.events().set(EventsState::Watching);
        let dead = Instant::now() + WATCHED_FOR + SLACK;
        loop {
            let Some(line) = stop.run_until_cancelled(timeout_at(dead, lines.next())).await else {
                return Ok(());
            };
            let Ok(line) = line else { return Err(ApiError::timed_out(WATCHED_FOR + SLACK)) };
            let mut batch = Batch::default();
            let mut end = self.note(&mut batch, line);
            while end.is_none() && batch.size < MOST {
                match lines.next().now_or_never() {
                    Some(line) => end = self.note(&mut batch, line),
                    None => break,
                }
            }
            let version = batch.version.take();
            if !self.settle(batch, stop).await {
                return Ok(());
            }
            if let Some(version) = version {
                self.reach(Checkpoint { version, time: self.edge.now() }, noted);
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Puts a line into the batch. Says how the watch has ended when it has.
    fn note(&self, batch: &mut Batch, line: Option<Result<Line, ApiError>>) -> Option<Result<(), ApiError>> {
        match line {
            None => return Some(Ok(())),
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(Line::Seen(event))) => {
                batch.add(&self.counts, &event, None);
                batch.version = event.version().map(str::to_owned).or(batch.version.take());
            }
            // The version does not move: many events are deleted in one, and a watch that breaks off between two of them
            // would never hear of the others. To hear of one twice does no harm.
            Some(Ok(Line::Gone(event))) => batch.remove(&event),
            Some(Ok(Line::Bookmark(version))) => batch.version = Some(version),
        }
        None
    }

    /// Makes a batch durable and remembers that; `false` when it was stopped before.
    async fn settle(&mut self, batch: Batch, stop: &CancellationToken) -> bool {
        let durable = decide(&self.edge, batch.news, stop).await;
        if durable {
            self.counts.settle(batch.changes);
        }
        durable
    }
}
