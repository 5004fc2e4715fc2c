//! Looking at the state. What is on disk is read beside the writer; only what changes is asked of it.

use std::ops::Bound;
use std::sync::Arc;

use seawall_engine::{Engine, Explanation};
use seawall_model::{Fingerprint, Policy, RequestDoc, RequestId, RequestRef, RequestState, Timestamp};

use super::EmbeddedStore;
use super::disk::{EPOCH_SHIFT, SENTINEL, Tables, unreadable};
use super::job::Job;
use crate::read::{from_request, matches, offset, page_of};
use crate::{Page, RequestFilter, RequestPage, RequestRecord, StoreError, StormDetail, StormPage};

/// Requests whose states are asked of the writer at once.
const CHUNK: usize = 500;

/// Answers a question from the state as it is after a commit.
pub(super) fn answer(job: Job, engine: &Engine, policy: &Policy, revision: u64, now: Timestamp) {
    // Whoever asked may be gone.
    match job {
        Job::States { references, reply } => {
            let states = references.iter().map(|reference| engine.request_state(reference)).collect();
            let _ = reply.send(Ok((states, revision)));
        }
        Job::Explain { fingerprint, reply } => {
            let _ = reply.send(Ok(engine.explain(policy, &fingerprint, now)));
        }
        Job::Storms { page, reply } => {
            let _ = reply.send(Ok(storms(engine, &page, revision)));
        }
        Job::Storm { id, members, reply } => {
            let _ = reply.send(storm(engine, &id, &members));
        }
        Job::Decide { .. }
        | Job::PatchStatus { .. }
        | Job::Placed { .. }
        | Job::Deleted { .. }
        | Job::Adopt { .. }
        | Job::Close { .. } => {}
    }
}

fn storms(engine: &Engine, page: &Page, revision: u64) -> StormPage {
    let (items, next) = page_of(engine.storm_views(), page);
    StormPage { items, revision, next }
}

fn storm(engine: &Engine, id: &str, page: &Page) -> Result<StormDetail, StoreError> {
    let skip = offset(page);
    let view = engine.storm_view(id, skip, page.limit);
    let (storm, members, more) = view.ok_or_else(|| StoreError::NotFound { what: format!("storm {id}") })?;
    let next = more.then(|| (skip + members.len()).to_string());
    Ok(StormDetail { storm, members, next })
}

impl EmbeddedStore {
    pub(super) async fn get(&self, reference: RequestRef) -> Result<RequestRecord, StoreError> {
        let what = format!("request {reference}");
        let found = self.load(vec![reference], None).await?.0;
        found.into_iter().next().ok_or(StoreError::NotFound { what })
    }

    pub(super) async fn list(&self, filter: RequestFilter, page: Page) -> Result<RequestPage, StoreError> {
        let since = filter.since.filter(|since| *since != 0);
        let filter = Arc::new(RequestFilter { since, ..filter });
        let mut after = page.after;
        let mut items = Vec::new();
        // Asked before anything is read: what is made meanwhile may be missing here, and is newer than this.
        let (_, revision) = self.ask(|reply| Job::States { references: Vec::new(), reply }).await?;
        loop {
            let keys = self.keys(Arc::clone(&filter), after.clone()).await?;
            let last = keys.last().map(ToString::to_string);
            let full = keys.len() == CHUNK;
            let (found, _) = self.load(keys, Some(Arc::clone(&filter))).await?;
            for record in found {
                if items.len() == page.limit {
                    let next = items.last().map(|record: &RequestRecord| record.doc.reference.to_string());
                    return Ok(RequestPage { items, revision, next });
                }
                items.push(record);
            }
            if !full {
                return Ok(RequestPage { items, revision, next: None });
            }
            after = last;
        }
    }

    /// The next requests by name that may match.
    async fn keys(
        &self,
        filter: Arc<RequestFilter>,
        after: Option<String>,
    ) -> Result<Vec<RequestRef>, StoreError> {
        let tables = self.tables()?;
        blocking(move || {
            let namespace = filter.namespace.as_ref().map(|namespace| format!("{namespace}/"));
            let start = match (&after, &namespace) {
                (Some(after), _) => Bound::Excluded(after.as_bytes()),
                (None, Some(namespace)) => Bound::Included(namespace.as_bytes()),
                (None, None) => Bound::Unbounded,
            };
            let mut keys = Vec::new();
            for entry in tables.requests.range::<&[u8], _>((start, Bound::Unbounded)) {
                let key = entry.key().map_err(unreadable)?;
                if *key == *SENTINEL {
                    continue;
                }
                let text = std::str::from_utf8(&key).map_err(unreadable)?;
                if namespace.as_ref().is_some_and(|namespace| !text.starts_with(namespace.as_str())) {
                    break;
                }
                let reference = parse_key(text)?;
                if filter.fingerprint.is_none_or(|it| it.prefix() == reference.id.prefix) {
                    keys.push(reference);
                }
                if keys.len() == CHUNK {
                    break;
                }
            }
            Ok(keys)
        })
        .await
    }

    /// Puts the requests together: live state from the writer, the rest from disk. Held ones do not exist.
    async fn load(
        &self,
        references: Vec<RequestRef>,
        filter: Option<Arc<RequestFilter>>,
    ) -> Result<(Vec<RequestRecord>, u64), StoreError> {
        let tables = self.tables()?;
        let (states, revision) = self.states(&tables, &references).await?;
        let records = blocking(move || {
            let mut records = Vec::new();
            for (reference, state) in references.into_iter().zip(states) {
                let Some(state) = state else { continue };
                records.extend(assemble(&tables, &reference, state, filter.as_deref())?);
            }
            Ok(records)
        });
        Ok((records.await?, revision))
    }

    /// The states of requests: of live ones from the writer, of the others from disk, none of held ones.
    async fn states(
        &self,
        tables: &Tables,
        references: &[RequestRef],
    ) -> Result<(Vec<Option<RequestState>>, u64), StoreError> {
        let asked = references.to_vec();
        // The writer first: what is not in memory then has been on disk since before.
        let (live, revision) = self.ask(|reply| Job::States { references: asked, reply }).await?;
        let (tables, asked) = (tables.clone(), references.to_vec());
        let mut states = blocking(move || {
            let found = live.into_iter().zip(&asked).map(|(live, reference)| match live {
                Some(state) => Ok(Some(state)),
                None => Ok(tables.closed(reference)?.map(|closed| closed.state)),
            });
            found.collect::<Result<Vec<_>, StoreError>>()
        })
        .await?;
        // Held, or brought back into memory between the two looks: the writer knows.
        let missing = || states.iter().zip(references).filter(|(state, _)| state.is_none());
        let again: Vec<RequestRef> = missing().map(|(_, reference)| reference.clone()).collect();
        if !again.is_empty() {
            let (found, _) = self.ask(|reply| Job::States { references: again, reply }).await?;
            for (state, found) in states.iter_mut().filter(|state| state.is_none()).zip(found) {
                *state = found;
            }
        }
        Ok((states, revision))
    }

    /// An explanation from memory or, when the incident has left it, from its last request.
    pub(super) async fn explain_any(&self, fingerprint: Fingerprint) -> Result<Explanation, StoreError> {
        let live = self.ask(|reply| Job::Explain { fingerprint, reply }).await?;
        if let Some(explanation) = live {
            return Ok(explanation);
        }
        let filter = RequestFilter { fingerprint: Some(fingerprint), ..RequestFilter::default() };
        let page = self.list(filter, Page { limit: 100, after: None }).await?;
        let last = page.items.into_iter().max_by_key(|record| record.doc.reference.id.generation);
        last.map(|record| from_request(fingerprint, record))
            .ok_or(StoreError::NotFound { what: format!("fingerprint {fingerprint}") })
    }
}

fn assemble(
    tables: &Tables,
    reference: &RequestRef,
    state: RequestState,
    filter: Option<&RequestFilter>,
) -> Result<Option<RequestRecord>, StoreError> {
    if filter.and_then(|filter| filter.since).is_some_and(|since| is_older(&state, since)) {
        return Ok(None);
    }
    let status = tables.status(reference)?;
    // Deleted between the two looks: it is gone.
    let Some(doc): Option<RequestDoc> = tables.doc(reference)? else { return Ok(None) };
    let record = RequestRecord { doc, state, status, placement: tables.placement(reference)? };
    Ok(Some(record).filter(|record| filter.is_none_or(|filter| matches(record, filter))))
}

/// Whether whoever has seen everything up to `since` has seen this. Numbers of an earlier start say nothing about
/// updates that were published but only in memory, so then everything counts as new.
fn is_older(state: &RequestState, since: u64) -> bool {
    since >> EPOCH_SHIFT >= state.epoch && state.sequence <= since
}

pub(super) fn parse_key(text: &str) -> Result<RequestRef, StoreError> {
    let (namespace, name) =
        text.split_once('/').ok_or_else(|| unreadable(format!("`{text}` names no request")))?;
    let id: RequestId = name.parse().map_err(unreadable)?;
    Ok(RequestRef { namespace: namespace.into(), id })
}

/// Runs disk reads where they may block.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(read).await.map_err(unreadable)?
}
