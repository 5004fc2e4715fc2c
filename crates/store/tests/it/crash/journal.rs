//! The files behind a data directory, as far as tests damage them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The journals, the newest last.
pub fn journals(directory: &Path) -> Vec<PathBuf> {
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let entries = std::fs::read_dir(directory.join("db")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut journals: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "jnl")).collect();
    assert!(!journals.is_empty(), "the library keeps its journals elsewhere: these tests must follow");
    journals.sort_by_key(number);
    journals
}

pub fn newest(directory: &Path) -> PathBuf {
    journals(directory).pop().unwrap()
}

/// Where what was written ends; what follows was only reserved.
pub fn end_of(journal: &Path) -> u64 {
    let bytes = std::fs::read(journal).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

pub fn cut(journal: &Path, length: u64) {
    OpenOptions::new().write(true).open(journal).unwrap().set_len(length).unwrap();
}

/// Inverts one byte.
pub fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

/// Writes zeros from `from` to `to`.
pub fn erase(path: &Path, from: u64, to: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&vec![0; (to - from) as usize], from).unwrap();
}
