//! Changes of requests as server-sent events.
//!
//! Level-triggered: an event says how a request is now, not what happened to it, so a stream that fell behind or broke
//! off goes on from a list of what has changed since. An event carries an id only when everything up to that revision has
//! been sent; resuming after it misses nothing but deletions, which leave nothing to be listed.
//!
//! ```text
//! subscribe ─► list (all, or since Last-Event-ID) in order of revision ─► changes as they are published
//!                   ▲                                                        │ lagged
//!                   └────────────────────────────────────────────────────────┘
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use http::HeaderMap;
use seawall_model::RequestRef;
use seawall_store::{Change, ChangeKind, Page, RequestFilter, RequestPage, RequestRecord, StoreError};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};

use super::read;
use super::requests::shown;
use crate::auth::{Caller, Right};
use crate::edge::Edge;
use crate::problem::Problem;

/// Events that wait for a client; one that reads slower than this falls behind and catches up from a list.
const QUEUE: usize = 16;
/// How often a silent stream says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Requests of one page while catching up.
const PAGE: usize = 500;

/// The revision that a client has seen completely, as it says when it reconnects.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let revision = id.to_str().ok().and_then(|id| id.parse().ok());
    let wrong = || Problem::bad_parameter("Last-Event-ID", "must be the id of an event of this stream");
    revision.map(Some).ok_or_else(wrong)
}

/// Begins a stream. A store that cannot be asked is a problem rather than an empty stream.
pub(super) async fn stream(
    edge: Arc<Edge>,
    caller: Caller,
    mut filter: RequestFilter,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    // Before the list, so that nothing falls between the two.
    let changes = edge.store().changes();
    let mut first = first_page(&edge, &filter).await?;
    if filter.since.is_some_and(|since| since > first.revision) {
        // The client has seen more than there is: the state was lost, and everything is new.
        filter.since = None;
        first = first_page(&edge, &filter).await?;
    }
    let namespace = filter.namespace.clone();
    let (events, mut queue) = mpsc::channel(QUEUE);
    let watch = Watch { edge: edge.clone(), sent: filter.since.unwrap_or(0), listed: 0, filter, events };
    let (owner, streams) = (edge.clone(), edge.streams().clone());
    edge.tasks().spawn(async move {
        tokio::select! {
            () = streams.cancelled() => {}
            () = caller.lapsed(&owner, Right::Read, namespace.as_deref()) => {}
            _ = watch.run(first, changes) => {}
        }
    });
    let events = stream::poll_fn(move |cx| queue.poll_recv(cx).map(|event| event.map(Ok)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

async fn first_page(edge: &Arc<Edge>, filter: &RequestFilter) -> Result<RequestPage, Problem> {
    read(edge, edge.store().requests(filter.clone(), Page { limit: PAGE, after: None })).await
}

/// Why a stream ends before shutdown: the client has gone, or the store cannot be asked. Either way the client comes
/// back with the id of the last event when it wants more.
struct Ended;

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        tracing::debug!(%error, "watch ended");
        Self
    }
}

struct Watch {
    edge: Arc<Edge>,
    filter: RequestFilter,
    events: mpsc::Sender<Event>,
    /// Everything up to this revision has been sent.
    sent: u64,
    /// Everything up to this revision was in the last list.
    listed: u64,
}

/// A request to be sent, in order of the revision that changed it.
struct Listed {
    sequence: u64,
    reference: RequestRef,
    /// Absent when there are too many to be held; asked for again when it is its turn.
    record: Option<Box<RequestRecord>>,
}

impl Watch {
    async fn run(
        mut self,
        first: RequestPage,
        mut changes: broadcast::Receiver<Change>,
    ) -> Result<(), Ended> {
        let since = self.filter.since;
        self.catch_up(first, since).await?;
        loop {
            let change = tokio::select! {
                () = self.events.closed() => return Err(Ended),
                change = changes.recv() => change,
            };
            let lagged = match change {
                Ok(change) => self.follow(change, &mut changes).await?,
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return Ok(()),
            };
            if lagged {
                let since = Some(self.sent);
                let page = Page { limit: PAGE, after: None };
                let first = self.edge.store().requests(self.since(since), page).await?;
                self.catch_up(first, since).await?;
            }
        }
    }

    fn since(&self, since: Option<u64>) -> RequestFilter {
        RequestFilter { since, ..self.filter.clone() }
    }

    /// Sends what a list says, the change that is longest ago first.
    async fn catch_up(&mut self, first: RequestPage, since: Option<u64>) -> Result<(), Ended> {
        let revision = first.revision;
        let mut listed = self.list(first, since).await?;
        listed.sort_unstable_by(|a, b| (a.sequence, &a.reference).cmp(&(b.sequence, &b.reference)));
        let mut last_id = self.sent;
        let mut rest = listed.into_iter().peekable();
        while let Some(item) = rest.next() {
            let complete = rest.peek().is_none_or(|next| next.sequence > item.sequence);
            let record = match item.record {
                Some(record) => Some(*record),
                None => self.fetch(item.reference).await?,
            };
            let Some(record) = record else { continue };
            let id = (complete && item.sequence <= revision).then_some(item.sequence);
            self.send(kind_when_listed(&record, since), &record, id).await?;
            last_id = id.unwrap_or(last_id);
        }
        (self.sent, self.listed) = (self.sent.max(revision), revision);
        if last_id < revision {
            // Only an id: clients take note of it without an event.
            self.events.send(Event::default().id(revision.to_string())).await.map_err(|_| Ended)?;
        }
        Ok(())
    }

    async fn list(&self, first: RequestPage, since: Option<u64>) -> Result<Vec<Listed>, Ended> {
        let mut after = first.next;
        let keep = after.is_none();
        let mut listed = Vec::with_capacity(first.items.len());
        let mut take = |items: Vec<RequestRecord>| {
            listed.extend(items.into_iter().map(|record| Listed {
                sequence: record.state.sequence,
                reference: record.doc.reference.clone(),
                record: keep.then(|| Box::new(record)),
            }));
        };
        take(first.items);
        while after.is_some() {
            let page = self.edge.store().requests(self.since(since), Page { limit: PAGE, after }).await?;
            after = page.next;
            take(page.items);
        }
        Ok(listed)
    }

    /// Sends a published change and those that already wait behind it. Says whether some were missed.
    async fn follow(
        &mut self,
        change: Change,
        changes: &mut broadcast::Receiver<Change>,
    ) -> Result<bool, Ended> {
        let mut next = Some(change);
        while let Some(change) = next {
            let asked = self.current(&change).await?;
            // Looked at after the store has answered: a store announces all changes of a commit before it answers later
            // questions, so one more of this revision would be here.
            let lagged;
            (next, lagged) = match changes.try_recv() {
                Ok(change) => (Some(change), false),
                Err(TryRecvError::Lagged(_)) => (None, true),
                Err(TryRecvError::Empty | TryRecvError::Closed) => (None, false),
            };
            let complete = !lagged && next.as_ref().is_none_or(|next| next.revision > change.revision);
            if let Some(record) = asked {
                let interesting = record.filter(|record| matches(&self.filter, record));
                if let Some(record) = interesting {
                    self.send(event_name(change.kind), &record, complete.then_some(change.revision)).await?;
                }
                if complete {
                    self.sent = self.sent.max(change.revision);
                }
            }
            if lagged {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The request of a change as it is now. Nothing when it need not be asked for: it is elsewhere, or was in the list.
    async fn current(&self, change: &Change) -> Result<Option<Option<RequestRecord>>, Ended> {
        let elsewhere = |namespace| change.reference.namespace != namespace;
        if change.revision <= self.listed || self.filter.namespace.as_ref().is_some_and(elsewhere) {
            return Ok(None);
        }
        let record = self.fetch(change.reference.clone()).await?;
        Ok(Some(match change.kind {
            ChangeKind::Deleted => change.deleted.as_deref().cloned(),
            ChangeKind::Added | ChangeKind::Modified => record,
        }))
    }

    async fn fetch(&self, reference: RequestRef) -> Result<Option<RequestRecord>, Ended> {
        match self.edge.store().request(reference).await {
            Ok(record) => Ok(Some(record)),
            // It was deleted in the meantime, which is announced by itself.
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn send(&self, name: &str, record: &RequestRecord, id: Option<u64>) -> Result<(), Ended> {
        let event = Event::default().event(name).json_data(shown(record)).map_err(|_| Ended)?;
        let event = match id {
            Some(id) => event.id(id.to_string()),
            None => event,
        };
        self.events.send(event).await.map_err(|_| Ended)
    }
}

fn event_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "ADDED",
        ChangeKind::Modified => "MODIFIED",
        ChangeKind::Deleted => "DELETED",
    }
}

/// A list does not tell new from changed. After a break what no worker has reported on is announced as new: a worker
/// that only looks at new requests must not miss one, and one that sees it twice finds it untouched.
fn kind_when_listed(record: &RequestRecord, since: Option<u64>) -> &'static str {
    let touched = phase_of(record).is_some_and(|phase| !phase.is_empty());
    if since.is_some() && touched { "MODIFIED" } else { "ADDED" }
}

fn phase_of(record: &RequestRecord) -> Option<&str> {
    record.status.as_ref()?.overall_phase.as_deref()
}

/// Whether a request is one of those that `filter` asks for, whenever it changed.
fn matches(filter: &RequestFilter, record: &RequestRecord) -> bool {
    let namespace =
        filter.namespace.as_ref().is_none_or(|namespace| *namespace == record.doc.reference.namespace);
    let phase =
        filter.phase.as_ref().is_none_or(|phase| folded(phase).eq(folded(phase_of(record).unwrap_or(""))));
    let fingerprint = filter.fingerprint.is_none_or(|fingerprint| fingerprint == record.doc.fingerprint);
    let storm = filter.storm.is_none_or(|storm| storm == record.state.storm.is_some());
    namespace && phase && fingerprint && storm
}

/// Phases are compared without case, spaces, `-` and `_`.
fn folded(phase: &str) -> impl Iterator<Item = char> + '_ {
    phase.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase())
}
