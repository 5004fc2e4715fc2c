//! What replicas tell each other: changes for the watchers, and work for whoever has the claim.
//!
//! The channel may lose messages when a connection breaks. Then everything that changed since the last message is listed
//! and told again: watching is level-triggered, and being told twice harms nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;
use parking_lot::Mutex;
use seawall_model::{RequestRef, Stopwatch};
use serde::Deserialize;
use tokio::sync::{broadcast, oneshot};

use super::link::{Heard, LinkError};
use super::records::{StateWire, request_doc};
use super::store::Core;
use super::wire::{decode, parse_ref, unreadable};
use crate::{Change, ChangeKind, Page, RequestFilter, RequestRecord};

/// Published changes that a slow watcher may be behind before it has to ask for what it missed: some seconds of a flood.
const CHANGES: usize = 8192;
/// How long a message may take to come round before another one is sent.
const ROUND: Duration = Duration::from_millis(50);
/// Requests listed at once after a gap.
const CAUGHT_UP: usize = 500;

pub(super) struct Feed {
    pub changes: broadcast::Sender<Change>,
    pub placements: broadcast::Sender<RequestRef>,
    /// The newest revision that was told.
    told: AtomicU64,
    barriers: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    next_barrier: AtomicU64,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            changes: broadcast::Sender::new(CHANGES),
            placements: broadcast::Sender::new(CHANGES),
            told: AtomicU64::new(0),
            barriers: Mutex::default(),
            next_barrier: AtomicU64::new(0),
        }
    }
}

/// What a message says.
enum Message {
    Changed(Change),
    /// Something is due in the partition with this record.
    Due(i64, String),
    /// The request was published.
    Placed(RequestRef),
    /// A replica waits for this message to come round.
    Barrier(String, u64),
}

/// The payload of a deletion: name, what the request showed, its last state and status.
#[derive(Deserialize)]
struct Deleted(CompactString, Bytes, Bytes, Bytes);

impl Message {
    fn parse(bytes: &[u8]) -> Result<Self, LinkError> {
        let mut parts = bytes.splitn(3, |byte| *byte == b' ');
        let mut part = || parts.next().ok_or_else(|| unreadable("a message is cut off"));
        let text = |bytes| std::str::from_utf8(bytes).map_err(unreadable);
        let (kind, number, rest) = (part()?, text(part()?)?, part()?);
        let number: u64 = number.parse().map_err(unreadable)?;
        let changed =
            |kind, reference, deleted| Self::Changed(Change { revision: number, kind, reference, deleted });
        Ok(match kind {
            b"A" => changed(ChangeKind::Added, parse_ref(text(rest)?)?, None),
            b"M" => changed(ChangeKind::Modified, parse_ref(text(rest)?)?, None),
            b"X" => {
                let record = deleted(rest)?;
                changed(ChangeKind::Deleted, record.doc.reference.clone(), Some(Arc::new(record)))
            }
            b"P" => Self::Placed(parse_ref(text(rest)?)?),
            b"D" => Self::Due(i64::try_from(number).map_err(unreadable)?, text(rest)?.to_owned()),
            b"B" => Self::Barrier(text(rest)?.to_owned(), number),
            _ => return Err(unreadable("a message of an unknown kind")),
        })
    }
}

fn deleted(bytes: &[u8]) -> Result<RequestRecord, LinkError> {
    let Deleted(reference, doc, state, status) = decode(bytes)?;
    let reference: RequestRef = parse_ref(&reference)?;
    Ok(RequestRecord {
        doc: request_doc(reference, &doc)?,
        state: decode::<StateWire>(&state)?.request_state(0)?,
        status: super::reader::status(&status)?,
        placement: None,
    })
}

impl Feed {
    /// Listens until the task is dropped.
    pub async fn run(core: Arc<Core>) {
        let mut heard = core.links.subscribe(core.keys.channel());
        let mut is_first = true;
        while let Some(heard) = heard.recv().await {
            match heard {
                Heard::Message(bytes) => match Message::parse(&bytes) {
                    Ok(message) => core.hear(message),
                    // A newer version may say more than this one understands; lists show it all the same.
                    Err(error) => tracing::debug!(error = %error.reason, "a message was not understood"),
                },
                // Before the first subscription nobody could have been told anything.
                Heard::Gap if is_first => is_first = false,
                Heard::Gap => core.tell_missed().await,
            }
        }
    }
}

impl Core {
    fn hear(&self, message: Message) {
        match message {
            Message::Changed(change) => self.tell(change),
            Message::Due(at, record) if self.claims.has(&record) => self.publisher.schedule(&record, at),
            Message::Due(..) => {}
            // Nobody may be waiting for it.
            Message::Placed(reference) => drop(self.feed.placements.send(reference)),
            Message::Barrier(replica, number) => {
                if replica == self.replica
                    && let Some(waiting) = self.feed.barriers.lock().remove(&number)
                {
                    let _ = waiting.send(());
                }
            }
        }
    }

    fn tell(&self, change: Change) {
        self.feed.told.fetch_max(change.revision, Ordering::Relaxed);
        // Nobody may be watching.
        let _ = self.feed.changes.send(change);
    }

    /// Tells again of everything that changed since the last message that was heard.
    async fn tell_missed(self: &Arc<Self>) {
        let since = self.feed.told.load(Ordering::Relaxed).max(1);
        let mut after = None;
        loop {
            let filter = RequestFilter { since: Some(since), ..RequestFilter::default() };
            let page = match self.list(filter, Page { limit: CAUGHT_UP, after }).await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "watchers may have missed changes"),
            };
            for record in page.items {
                let (revision, reference) = (record.state.sequence, record.doc.reference);
                self.tell(Change { revision, kind: ChangeKind::Modified, reference, deleted: None });
            }
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    /// Returns when everything that was told before has reached the watchers of this replica.
    pub(super) async fn barrier(&self) -> Result<(), LinkError> {
        let began = Stopwatch::start();
        loop {
            let number = self.feed.next_barrier.fetch_add(1, Ordering::Relaxed);
            let (come_round, waiting) = oneshot::channel();
            self.feed.barriers.lock().insert(number, come_round);
            let mut publish = redis::pipe();
            publish.cmd("PUBLISH").arg(self.keys.channel()).arg(format!("B {number} {}", self.replica));
            self.pipe(&publish, &self.keys.registry()).await?;
            // Nobody hears what is published before the subscription is there.
            if let Ok(Ok(())) = tokio::time::timeout(ROUND, waiting).await {
                return Ok(());
            }
            self.feed.barriers.lock().remove(&number);
            if began.elapsed() > self.options.timeout {
                return Err(LinkError::protocol("what is published does not come back"));
            }
        }
    }
}
