//! Whether the log is whole, found out before the library opens it.
//!
//! The library takes whatever it cannot read for the end of a journal and cuts it off there. In the newest journal that
//! may be a commit torn by a power loss, which nobody was told of; in an older one, or before a commit that was
//! acknowledged, it is damage, and cutting destroys what a person could have saved. So every journal is read first, by
//! the format of fjall 3 (a batch is a start, items, an end with their checksum): behind its last whole batch only zeros
//! are an end. Anything else is refused and left alone, unless it is the tail of the newest one and everything
//! acknowledged lies before it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

/// What ends every whole batch: the name and version of the format.
const TRAILER: &[u8; 4] = b"FJL\x03";
/// Bytes of an item before its key: tag, type, compression, tree, and three lengths.
const ITEM_HEAD: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;
const BUFFER: usize = 256 * 1024;

/// The number of the commit that wrote an item, when the item (key and value) tells.
type CommitOf = dyn Fn(&[u8], &[u8]) -> Option<u64>;

#[derive(Debug)]
pub(super) enum Fault {
    Disk(io::Error),
    /// What is wrong, for people.
    Damage(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Reads all journals in `folder` and cuts off what was torn. `reached` is the last acknowledged commit; `commit_of`
/// knows which item carries the number of its commit.
pub(super) fn check(folder: &Path, reached: u64, commit_of: &CommitOf) -> Result<(), Fault> {
    let journals = journals(folder)?;
    for pair in journals.windows(2) {
        if pair[0].0 + 1 != pair[1].0 {
            return Err(Fault::Damage(format!("its journal {} is gone", pair[0].0 + 1)));
        }
    }
    let mut scan = Scan { last_batch: None, commit: None, commit_of };
    for (nth, (number, path)) in journals.iter().enumerate() {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut input = BufReader::with_capacity(BUFFER, file);
        let whole = scan.read(&mut input, length)?;
        if is_blank_after(path, whole)? {
            continue;
        }
        let is_newest = nth + 1 == journals.len();
        if !is_newest || scan.commit.is_some_and(|commit| commit < reached) {
            return Err(Fault::Damage(format!("its journal {number} cannot be read from byte {whole} on")));
        }
        tracing::warn!(journal = number, byte = whole, "a commit that was never acknowledged is cut off");
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(())
}

/// The journals by number, the oldest first; none in a new directory.
fn journals(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut journals = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        journals.extend(number.filter(|_| is_journal).map(|number| (number, path)));
    }
    journals.sort_unstable();
    Ok(journals)
}

/// Whether nothing but reserved space follows.
fn is_blank_after(path: &Path, from: u64) -> io::Result<bool> {
    let mut file = File::open(path)?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
    let mut block = vec![0; BUFFER];
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(true);
        }
        if block[..length].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
}

/// What has been read so far, over all journals.
struct Scan<'a> {
    /// Sequence numbers of batches grow.
    last_batch: Option<u64>,
    /// The last commit that is whole.
    commit: Option<u64>,
    commit_of: &'a CommitOf,
}

impl Scan<'_> {
    /// Reads one journal; returns where its last whole batch ends.
    fn read(&mut self, input: &mut impl Read, length: u64) -> io::Result<u64> {
        let mut whole = 0;
        loop {
            match self.batch(input, length - whole) {
                Ok(Some(bytes)) => whole += bytes,
                Ok(None) => return Ok(whole),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(whole),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one batch; returns its length, or nothing when it is not whole.
    fn batch(&mut self, input: &mut impl Read, available: u64) -> io::Result<Option<u64>> {
        let [tag] = array(input)?;
        if tag != 1 {
            return Ok(None);
        }
        let items = u32::from_le_bytes(array(input)?);
        let number = u64::from_le_bytes(array(input)?);
        if self.last_batch.is_some_and(|last| number <= last) {
            return Ok(None);
        }
        let (mut bytes, mut commit) = (13, None);
        let mut checksum = Xxh3::new();
        let mut item = Vec::new();
        for _ in 0..items {
            let Some(key) = read_item(input, &mut item, available.saturating_sub(bytes))? else {
                return Ok(None);
            };
            checksum.update(&item);
            bytes += item.len() as u64;
            let (key, value) = item.split_at_checked(ITEM_HEAD + key).unwrap_or((&item, &[]));
            commit = commit.or_else(|| (self.commit_of)(key.get(ITEM_HEAD..).unwrap_or_default(), value));
        }
        let [tag] = array(input)?;
        let expected = u64::from_le_bytes(array(input)?);
        let trailer: [u8; 4] = array(input)?;
        if tag != 3 || expected != checksum.digest() || trailer != *TRAILER {
            return Ok(None);
        }
        self.last_batch = Some(number);
        self.commit = commit.or(self.commit);
        Ok(Some(bytes + 13))
    }
}

fn array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads one item as it stands in the journal; returns the length of its key, or nothing when it is none.
fn read_item(input: &mut impl Read, item: &mut Vec<u8>, available: u64) -> io::Result<Option<usize>> {
    item.clear();
    let [tag] = array(input)?;
    item.push(tag);
    let (key, body) = match tag {
        2 => {
            let head: [u8; ITEM_HEAD - 1] = array(input)?;
            item.extend(head);
            let [_, compression, _, _, _, _, _, _, _, _, k0, k1, v0, v1, v2, v3, d0, d1, d2, d3] = head;
            let key = u64::from(u16::from_le_bytes([k0, k1]));
            let stored = u32::from_le_bytes([d0, d1, d2, d3]);
            if compression > 1 || (compression == 0 && stored != u32::from_le_bytes([v0, v1, v2, v3])) {
                return Ok(None);
            }
            (key as usize, key + u64::from(stored))
        }
        // A tree that was cleared: only its number.
        4 => (0, 8),
        _ => return Ok(None),
    };
    if body > available {
        return Ok(None);
    }
    let read = input.take(body).read_to_end(item)?;
    if (read as u64) < body { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(key)) }
}
