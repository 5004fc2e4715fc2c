//! The embedded store under test, and what power loss leaves of its data directory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_model::{ManualClock, Policy};
use seawall_store::{EmbeddedOptions, EmbeddedStore, Page, StateStore, StoreError};
use tempfile::TempDir;

use crate::support::StoreUnderTest;

pub struct Embedded {
    store: Arc<EmbeddedStore>,
    clock: ManualClock,
    directory: TempDir,
    /// Where directories are made.
    parent: PathBuf,
}

/// Opens a data directory.
pub fn open(path: &Path, policy: &Policy, clock: &ManualClock) -> Result<Arc<EmbeddedStore>, StoreError> {
    let options = EmbeddedOptions { path: path.to_owned() };
    EmbeddedStore::open(options, Arc::new(policy.clone()), Arc::new(clock.clone()))
}

/// Memory where there is some, so that a test of many thousand commits measures the rules and not the disk.
pub fn fast_directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if tempfile::tempdir_in(memory).is_ok() { memory.to_owned() } else { std::env::temp_dir() }
}

impl Embedded {
    pub fn start_in(parent: &Path, policy: Policy, clock: ManualClock) -> Self {
        let directory = tempfile::tempdir_in(parent).unwrap();
        let store = open(directory.path(), &policy, &clock).expect("an empty directory opens");
        Self { store, clock, directory, parent: parent.to_owned() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What is on disk now, as a power loss would leave it.
    pub fn power_loss(&self) -> TempDir {
        let copy = tempfile::tempdir_in(&self.parent).unwrap();
        copy_data(self.path(), copy.path());
        copy
    }
}

impl StoreUnderTest for Embedded {
    async fn start(policy: Policy, clock: ManualClock) -> Self {
        Self::start_in(&fast_directory(), policy, clock)
    }

    fn store(&self) -> Arc<dyn StateStore> {
        self.store.clone()
    }

    async fn crash_and_restart(&mut self, policy: &Policy) {
        let copy = self.power_loss();
        self.store = open(copy.path(), policy, &self.clock).expect("what a crash leaves opens");
        self.directory = copy;
    }

    async fn restart(&mut self, policy: &Policy) {
        self.store.close().await.expect("the store closes");
        self.store = open(self.path(), policy, &self.clock).expect("what was closed opens");
    }

    async fn lose(&mut self, policy: &Policy) {
        let empty = tempfile::tempdir_in(&self.parent).unwrap();
        self.store = open(empty.path(), policy, &self.clock).expect("an empty directory opens");
        self.directory = empty;
    }

    /// A question is answered after what is due at the beginning of its round. The first one may join a round that began
    /// before the clock was turned; the second cannot.
    async fn settle(&self) {
        for _ in 0..2 {
            self.store.storms(Page { limit: 0, after: None }).await.expect("the store answers");
        }
    }
}

/// Copies a data directory while nothing is written to it. The mark goes first: it must never be ahead of the log.
pub fn copy_data(from: &Path, to: &Path) {
    copy_sparse(&from.join("high-water"), &to.join("high-water"));
    copy_folder(&from.join("db"), &to.join("db"));
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            copy_sparse(&entry.path(), &target);
        }
    }
}

/// Copies a file without its holes: journals are made 64 MiB long and are mostly empty.
fn copy_sparse(from: &Path, to: &Path) {
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(to).unwrap());
    let mut block = vec![0u8; 64 * 1024];
    loop {
        let length = from.read(&mut block).unwrap();
        match &block[..length] {
            [] => break,
            empty if empty.iter().all(|byte| *byte == 0) => {
                to.seek(SeekFrom::Current(length as i64)).unwrap();
            }
            full => to.write_all(full).unwrap(),
        }
    }
    let length = from.metadata().unwrap().len();
    to.set_len(length).unwrap();
}
