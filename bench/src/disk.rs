//! What the disk itself takes for the promise "durable": append 4 KiB and `fdatasync`, again and again.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::clock;

const BLOCK: [u8; 4096] = [0x5a; 4096];

/// Microseconds of as many appends, one after the other, as fit into `length`.
pub fn probe(directory: &Path, length: Duration) -> Result<Histogram<u64>> {
    let mut journal = Journal::create(directory)?;
    let end = clock::now() + length;
    while clock::now() < end {
        journal.append()?;
    }
    Ok(journal.histogram)
}

/// The same while something else runs: one append every `period` until `stop`.
pub fn probe_until(directory: &Path, period: Duration, stop: &AtomicBool) -> Result<Histogram<u64>> {
    let mut journal = Journal::create(directory)?;
    while !stop.load(Ordering::Relaxed) {
        journal.append()?;
        clock::pause(period);
    }
    Ok(journal.histogram)
}

struct Journal {
    file: File,
    _directory: tempfile::TempDir,
    histogram: Histogram<u64>,
}

impl Journal {
    fn create(directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("fdatasync-").tempdir_in(directory)?;
        let file = File::create(directory.path().join("journal"))?;
        Ok(Self { file, _directory: directory, histogram: Histogram::new_with_bounds(1, 60_000_000, 3)? })
    }

    fn append(&mut self) -> Result<()> {
        let started = clock::now();
        self.file.write_all(&BLOCK)?;
        self.file.sync_data()?;
        let micros = (clock::now() - started).as_micros() as u64;
        self.histogram.record(micros.max(1)).context("an fdatasync beyond a minute")
    }
}

/// Type of the file system that `directory` is on.
pub fn file_system(directory: &Path) -> Result<String> {
    let directory = fs::canonicalize(directory)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let found = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (point, kind) = (fields.nth(1)?, fields.next()?);
        directory.starts_with(point).then_some((point.len(), kind))
    });
    let (_, kind) = found.max_by_key(|(length, _)| *length).context("no mount holds the data directory")?;
    Ok(kind.to_owned())
}
