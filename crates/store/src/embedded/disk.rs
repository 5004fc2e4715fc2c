//! The tables on disk, and what it means to commit to them.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserKey};
use seawall_engine::{ClosedRequest, request_key};
use seawall_engine::{Engine, Table};
use seawall_model::{RemediationRequestStatus, RequestDoc, RequestRef};
use serde::{Deserialize, Serialize};

use super::journal::{self, Fault};
use super::lock::DirectoryLock;
use super::mark::HighWaterMark;
use crate::{Failure, Placement, StoreError};

/// Raised when older versions could not read what this one writes.
const FORMAT: u32 = 1;
/// Memory for blocks of tables that were read: lists and recovery, not the path of an alert.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Memory for what was written and is not in tables yet, per table: small, for it counts against the memory of every
/// incident, and large enough that flushing is rare.
const MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// fjall's own lock may outlive a killed process for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The head record: what the last commit knows about itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Head {
    format: u32,
    epoch: u64,
    sequence: u64,
}

const HEAD: &[u8] = b"mhead";
/// Is there when the state has everything that exists outside.
const WHOLE: &[u8] = b"mwhole";

/// The number of the commit that wrote this, when it is a head.
fn commit_of(key: &[u8], value: &[u8]) -> Option<u64> {
    (key == HEAD).then(|| postcard::from_bytes::<Head>(value).ok())?.map(|head| head.sequence)
}

/// Handles to everything on disk; cheap to clone, readable from any thread. Three trees and not one per table: each costs
/// several syncs when the directory is made, and memory of its own.
#[derive(Clone)]
pub(super) struct Tables {
    /// What is open: incidents, touches, storms, meta.
    live: Keyspace,
    /// What requests show, by `namespace/name`.
    pub(super) requests: Keyspace,
    /// What became of requests: final states and what workers reported.
    outcomes: Keyspace,
}

/// A key that every tree has from its first commit on. Without it the tree was lost and made anew.
pub(super) const SENTINEL: &[u8] = b"\0";

/// Keys start with the table they belong to.
const CLOSED: u8 = b'c';
const STATUS: u8 = b's';
const PLACED: u8 = b'p';

impl Tables {
    fn open(db: &Database) -> fjall::Result<Self> {
        let tree = |name: &str| {
            db.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES))
        };
        Ok(Self { live: tree("live")?, requests: tree("requests")?, outcomes: tree("outcomes")? })
    }

    /// The tree of a table and the key in it.
    fn place(&self, table: Table, key: &[u8]) -> (&Keyspace, UserKey) {
        let tagged = |tag: u8| [&[tag], key].concat().into();
        match table {
            Table::Incident => (&self.live, tagged(b'i')),
            Table::Touch => (&self.live, tagged(b't')),
            Table::Storm => (&self.live, tagged(b's')),
            Table::Meta => (&self.live, tagged(b'm')),
            Table::Request => (&self.requests, key.into()),
            Table::Closed => (&self.outcomes, tagged(CLOSED)),
        }
    }

    fn closed_key(reference: &RequestRef) -> Vec<u8> {
        [&[CLOSED][..], &request_key(reference)].concat()
    }

    fn status_key(reference: &RequestRef) -> Vec<u8> {
        [&[STATUS][..], &request_key(reference)].concat()
    }

    fn placed_key(reference: &RequestRef) -> Vec<u8> {
        [&[PLACED][..], &request_key(reference)].concat()
    }

    pub(super) fn placement(&self, reference: &RequestRef) -> Result<Option<Placement>, StoreError> {
        read(&self.outcomes, &Self::placed_key(reference))
    }

    /// Where all requests are that were published, by the keys of [`request_key`].
    pub(super) fn placements(&self) -> impl Iterator<Item = Result<(Vec<u8>, Placement), StoreError>> {
        self.outcomes.prefix([PLACED]).map(|entry| {
            let (key, value) = entry.into_inner().map_err(unreadable)?;
            Ok((key[1..].to_vec(), postcard::from_bytes(&value).map_err(unreadable)?))
        })
    }

    /// Closed requests by name, from after this key on; keys are those of [`Table::Closed`].
    pub(super) fn closed_after(
        &self,
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, ClosedRequest), StoreError>> {
        let start = [&[CLOSED][..], after.unwrap_or_default()].concat();
        let entries = self
            .outcomes
            .range::<&[u8], _>((Bound::Excluded(&start[..]), Bound::Excluded(&[CLOSED + 1][..])));
        entries.map(|entry| {
            let (key, value) = entry.into_inner().map_err(unreadable)?;
            Ok((key[1..].to_vec(), postcard::from_bytes(&value).map_err(unreadable)?))
        })
    }

    pub(super) fn is_whole(&self) -> Result<bool, StoreError> {
        self.live.contains_key(WHOLE).map_err(unreadable)
    }

    pub(super) fn doc(&self, reference: &RequestRef) -> Result<Option<RequestDoc>, StoreError> {
        read(&self.requests, &request_key(reference))
    }

    pub(super) fn closed(&self, reference: &RequestRef) -> Result<Option<ClosedRequest>, StoreError> {
        read(&self.outcomes, &Self::closed_key(reference))
    }

    pub(super) fn status(
        &self,
        reference: &RequestRef,
    ) -> Result<Option<RemediationRequestStatus>, StoreError> {
        let Some(value) = self.outcomes.get(Self::status_key(reference)).map_err(unreadable)? else {
            return Ok(None);
        };
        serde_json::from_slice(&value).map(Some).map_err(unreadable)
    }
}

fn read<T: for<'de> Deserialize<'de>>(table: &Keyspace, key: &[u8]) -> Result<Option<T>, StoreError> {
    let Some(value) = table.get(key).map_err(unreadable)? else { return Ok(None) };
    postcard::from_bytes(&value).map(Some).map_err(unreadable)
}

/// A record that cannot be read back: said to whoever asked for it.
pub(super) fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable {
        class: Failure::Disk,
        reason: format!("cannot read from the data directory: {error}"),
        retry_after: super::RETRY_AFTER,
    }
}

/// Changes that one commit writes beside those of the engine.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) status: Vec<(RequestRef, Option<RemediationRequestStatus>)>,
    pub(super) closed: Vec<(RequestRef, Option<ClosedRequest>)>,
    pub(super) placed: Vec<(RequestRef, Placement)>,
    /// The open requests outside have been taken over.
    pub(super) whole: bool,
    /// Requests that leave, with all that is known about them.
    pub(super) gone: Vec<RequestRef>,
}

/// An open data directory.
pub(super) struct Disk {
    db: Database,
    pub(super) tables: Tables,
    mark: HighWaterMark,
    pub(super) epoch: u64,
    sequence: u64,
}

impl Disk {
    /// Opens the directory and rebuilds the state. The caller holds the directory's lock.
    pub(super) fn recover(directory: &Path) -> Result<(Self, Engine), StoreError> {
        let mark = HighWaterMark::open(directory)
            .map_err(|error| unavailable("cannot open the high-water mark in", directory, &error))?;
        let reached = mark.read().map_err(|error| damaged(directory, &error.to_string()))?;
        let folder = directory.join("db");
        journal::check(&folder, reached.unwrap_or(0), &commit_of).map_err(|fault| match fault {
            Fault::Disk(error) => unavailable("cannot read", &folder, &error),
            Fault::Damage(what) => damaged(directory, &what),
        })?;
        let db = open_database(&folder)?;
        let tables = Tables::open(&db).map_err(|error| classify(directory, &error))?;
        let head: Option<Head> = match tables.live.get(HEAD).map_err(|error| classify(directory, &error))? {
            None => None,
            Some(value) => {
                Some(postcard::from_bytes(&value).map_err(|error| damaged(directory, &error.to_string()))?)
            }
        };
        check_head(directory, head, reached)?;
        if head.is_some() {
            check_sentinels(directory, &tables)?;
        }
        let epoch = head.map_or(1, |head| head.epoch + 1);
        let engine = restore(&tables, epoch).map_err(|reason| damaged(directory, &reason))?;
        let mut disk = Self { db, tables, mark, epoch, sequence: epoch << EPOCH_SHIFT };
        // The new epoch is durable before anything is decided in it.
        disk.write(None, &Extra::default()).map_err(|error| classify(directory, &error))?;
        Ok((disk, engine))
    }

    /// The number of the commit that is being prepared.
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    /// What is committed from now on is newer than everything of an earlier epoch.
    pub(super) fn raise_epoch(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
        self.sequence = self.sequence.max(self.epoch << EPOCH_SHIFT);
    }

    /// Lets a change that is not written have a number of its own.
    pub(super) fn skip(&mut self) {
        self.sequence += 1;
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes everything that changed, synced. Says whether there was anything to write. After an error the state in
    /// memory is ahead of the disk and must be thrown away.
    pub(super) fn commit(&mut self, engine: &mut Engine, extra: &Extra) -> fjall::Result<bool> {
        self.write(Some(engine), extra)
    }

    fn write(&mut self, engine: Option<&mut Engine>, extra: &Extra) -> fjall::Result<bool> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        let is_start = engine.is_none();
        if let Some(engine) = engine {
            engine.drain(&mut |table, key, value| {
                let (tree, key) = self.tables.place(table, key);
                match value {
                    Some(value) => batch.insert(tree, key, value),
                    None => batch.remove(tree, key),
                }
            });
        }
        for (reference, closed) in &extra.closed {
            match closed.as_ref().map(postcard::to_stdvec) {
                Some(Ok(value)) => batch.insert(&self.tables.outcomes, Tables::closed_key(reference), value),
                _ => batch.remove(&self.tables.outcomes, Tables::closed_key(reference)),
            }
        }
        for (reference, status) in &extra.status {
            match status.as_ref().map(serde_json::to_vec) {
                Some(Ok(value)) => batch.insert(&self.tables.outcomes, Tables::status_key(reference), value),
                _ => batch.remove(&self.tables.outcomes, Tables::status_key(reference)),
            }
        }
        for (reference, placement) in &extra.placed {
            // Three texts, a number and a flag always encode.
            let value = postcard::to_stdvec(placement).unwrap_or_default();
            batch.insert(&self.tables.outcomes, Tables::placed_key(reference), value);
        }
        if extra.whole {
            batch.insert(&self.tables.live, WHOLE, []);
        }
        for reference in &extra.gone {
            batch.remove(&self.tables.requests, request_key(reference));
            let known = [Tables::closed_key, Tables::status_key, Tables::placed_key];
            for key in known {
                batch.remove(&self.tables.outcomes, key(reference));
            }
        }
        if batch.is_empty() && !is_start {
            return Ok(false);
        }
        if is_start {
            for tree in [&self.tables.requests, &self.tables.outcomes] {
                batch.insert(tree, SENTINEL, []);
            }
        }
        let head = Head { format: FORMAT, epoch: self.epoch, sequence: self.next_sequence() };
        // A record of three numbers always encodes.
        batch.insert(&self.tables.live, HEAD, postcard::to_stdvec(&head).unwrap_or_default());
        batch.commit()?;
        self.sequence += 1;
        self.mark.write(self.sequence)?;
        Ok(true)
    }

    /// Leaves the directory in its best state. Everything acknowledged is durable without it.
    pub(super) fn close(self) {
        if let Err(error) = self.mark.sync() {
            tracing::warn!(%error, "cannot sync the high-water mark");
        }
    }
}

/// Sequences are `epoch << 40 | commit`, so that they grow over restarts without what was only in memory having to be
/// written: 10^12 commits an epoch, 8 million starts.
pub(super) const EPOCH_SHIFT: u32 = 40;

fn check_head(directory: &Path, head: Option<Head>, reached: Option<u64>) -> Result<(), StoreError> {
    if let Some(head) = head
        && head.format != FORMAT
    {
        return Err(StoreError::Refused {
            reason: format!(
                "the data directory {} has format {}, this version reads format {FORMAT}: use the version that wrote it",
                directory.display(),
                head.format
            ),
        });
    }
    let found = head.map_or(0, |head| head.sequence);
    match reached {
        Some(reached) if found < reached => Err(damaged(
            directory,
            &format!(
                "its log ends at commit {} of start {}, but commit {} of start {} was acknowledged",
                found & ((1 << EPOCH_SHIFT) - 1),
                found >> EPOCH_SHIFT,
                reached & ((1 << EPOCH_SHIFT) - 1),
                reached >> EPOCH_SHIFT,
            ),
        )),
        _ => Ok(()),
    }
}

/// Whether a tree was lost whole. The tree of what is open has the head instead.
fn check_sentinels(directory: &Path, tables: &Tables) -> Result<(), StoreError> {
    for (name, tree) in [("requests", &tables.requests), ("outcomes", &tables.outcomes)] {
        if !tree.contains_key(SENTINEL).map_err(|error| classify(directory, &error))? {
            return Err(damaged(directory, &format!("its table `{name}` is gone")));
        }
    }
    Ok(())
}

fn restore(tables: &Tables, epoch: u64) -> Result<Engine, String> {
    let mut restoring = Engine::restoring(epoch);
    for entry in tables.live.iter() {
        let (key, value) = entry.into_inner().map_err(|error| error.to_string())?;
        let table = match key.first() {
            Some(b'i') => Table::Incident,
            Some(b't') => Table::Touch,
            Some(b's') => Table::Storm,
            Some(b'm') => Table::Meta,
            _ => return Err(format!("unknown record {key:?}")),
        };
        restoring.read(table, &key[1..], &value).map_err(|error| error.to_string())?;
    }
    Ok(restoring.finish())
}

/// Opens fjall's part of the directory, waiting for the lock of a process that was just killed.
fn open_database(path: &Path) -> Result<Database, StoreError> {
    let waiting = seawall_model::Stopwatch::start();
    loop {
        let open = || Database::builder(path).cache_size(CACHE_BYTES).worker_threads(1).open();
        // The library asserts on some kinds of damage. Here that is an answer, not the end of the process.
        let opened = catch_unwind(AssertUnwindSafe(open))
            .map_err(|_| damaged(path, "it cannot be read; the log above says where"))?;
        match opened {
            Err(fjall::Error::Locked) if waiting.elapsed() < LOCK_PATIENCE => {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            opened => return opened.map_err(|error| classify(path, &error)),
        }
    }
}

/// Whether the disk is in trouble or what is on it.
pub(super) fn classify(path: &Path, error: &fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) if !is_damage(error) => unavailable("cannot use", path, error),
        fjall::Error::Storage(fjall::LsmError::Io(error)) if !is_damage(error) => {
            unavailable("cannot use", path, error)
        }
        fjall::Error::Poisoned | fjall::Error::Locked => StoreError::Unavailable {
            class: Failure::Disk,
            reason: format!("cannot write to {}: {error}", path.display()),
            retry_after: super::RETRY_AFTER,
        },
        error => damaged(path, &error.to_string()),
    }
}

fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof | NotFound)
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Refused {
        reason: format!(
            "the data in {} is damaged: {what}. Seawall does not start with less than it has acknowledged. Restore the \
             directory from a backup; or, to begin without the open incidents in it, move it away and start again",
            path.display()
        ),
    }
}

pub(super) fn unavailable(action: &str, path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable {
        class: Failure::Disk,
        reason: format!("{action} {}: {error}", path.display()),
        retry_after: super::RETRY_AFTER,
    }
}

/// Makes the directory and locks it.
pub(super) fn prepare(directory: &Path) -> Result<DirectoryLock, StoreError> {
    std::fs::create_dir_all(directory)
        .map_err(|error| unavailable("cannot make the data directory", directory, &error))?;
    DirectoryLock::take(directory)
}

/// Whether the disk takes writes again, asked with a file of its own so that the data is not touched in vain.
pub(super) fn probe(directory: &Path) -> std::io::Result<()> {
    const PROBE_BYTES: usize = 1024 * 1024;
    let path: PathBuf = directory.join("probe");
    let written = (|| {
        let mut file = std::fs::File::create(&path)?;
        std::io::Write::write_all(&mut file, &vec![1; PROBE_BYTES])?;
        file.sync_all()
    })();
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}
