//! The high-water mark: the number of the last acknowledged commit, kept beside the log.
//!
//! A log that is damaged in the middle reads as one that ends there. The mark tells the difference: what recovery finds
//! must reach at least this far. It is written after the commit is synced and is not synced itself, so it can be behind,
//! but never ahead of what is durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) struct HighWaterMark {
    file: File,
}

/// Written in front of the number, so that another file is not taken for a mark.
const MAGIC: &[u8; 8] = b"SWMARK01";

impl HighWaterMark {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join("high-water");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file })
    }

    /// The commit that recovery must reach; none in a new directory.
    pub(super) fn read(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0u8; 24];
        let length = self.file.read_at(&mut bytes, 0)?;
        if length == 0 {
            return Ok(None);
        }
        let [magic, number, check] = [&bytes[..8], &bytes[8..16], &bytes[16..]];
        let parse = |field: &[u8]| field.try_into().map(u64::from_be_bytes);
        match (parse(number), parse(check)) {
            (Ok(number), Ok(check)) if length == 24 && magic == MAGIC && check == !number => Ok(Some(number)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the file high-water is damaged")),
        }
    }

    pub(super) fn write(&self, commit: u64) -> io::Result<()> {
        let mut bytes = [0u8; 24];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&commit.to_be_bytes());
        bytes[16..].copy_from_slice(&(!commit).to_be_bytes());
        self.file.write_all_at(&bytes, 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_a_damaged_one_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mark = HighWaterMark::open(directory.path()).unwrap();
        assert_eq!(mark.read().unwrap(), None);
        mark.write(7).unwrap();
        assert_eq!(mark.read().unwrap(), Some(7));
        std::fs::write(directory.path().join("high-water"), b"SWMARK01garbage").unwrap();
        assert!(HighWaterMark::open(directory.path()).unwrap().read().is_err());
    }
}
