//! A file that is put aside when it is full; the oldest of those leaves.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much is kept, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    pub file: PathBuf,
    /// Bytes after which a new file is begun.
    pub file_bytes: u64,
    /// Files that are kept, the newest included.
    pub files: usize,
}

pub(super) struct Files {
    settings: AuditSettings,
    file: File,
    size: u64,
    /// Whether the last line may have no end.
    cut_off: bool,
}

impl Files {
    pub(super) fn open(settings: AuditSettings) -> io::Result<Self> {
        let file = append_to(&settings.file)?;
        let mut files = Self { settings, file, size: 0, cut_off: true };
        files.end_last_line()?;
        Ok(files)
    }

    /// Writes whole lines. What is in one call is in one file.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.cut_off {
            self.end_last_line()?;
        }
        if self.size > 0 && self.size + lines.len() as u64 > self.settings.file_bytes {
            self.put_aside()?;
        }
        let written = self.file.write_all(lines);
        self.cut_off = written.is_err();
        self.size += lines.len() as u64;
        written
    }

    /// The last line has no end when whoever wrote it was killed, or had no room.
    fn end_last_line(&mut self) -> io::Result<()> {
        self.size = self.file.metadata()?.len();
        if self.size > 0 {
            let mut last = [0];
            self.file.seek(SeekFrom::End(-1))?;
            self.file.read_exact(&mut last)?;
            if last != *b"\n" {
                self.file.write_all(b"\n")?;
                self.size += 1;
            }
        }
        self.cut_off = false;
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// `audit.jsonl` becomes `audit.jsonl.1`, that becomes `audit.jsonl.2`, and so on; the last one is replaced. The new file is
    /// made before anything moves: where that fails again and again, nothing may leave meanwhile.
    fn put_aside(&mut self) -> io::Result<()> {
        let path = &self.settings.file;
        let next = beside(path, "next");
        let file = append_to(&next)?;
        for number in (1..self.settings.files.saturating_sub(1)).rev() {
            rename(&beside(path, number), &beside(path, number + 1))?;
        }
        if self.settings.files > 1 {
            rename(path, &beside(path, 1))?;
        }
        fs::rename(&next, path)?;
        (self.file, self.size) = (file, 0);
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

fn beside(path: &Path, what: impl Display) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{what}"));
    name.into()
}

/// One that is not there need not move.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(directory: &Path, file_bytes: u64, files: usize) -> AuditSettings {
        AuditSettings { file: directory.join("audit.jsonl"), file_bytes, files }
    }

    fn content(directory: &Path) -> Vec<(String, String)> {
        let mut content: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        content.sort();
        content
    }

    fn named(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_leaves() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::open(settings(directory.path(), 4, 3)).unwrap();
        for line in ["a\n", "b\n", "c\n", "d\n", "e\n", "f\n", "g\n"] {
            files.write(line.as_bytes()).unwrap();
        }
        let expected = [("audit.jsonl", "g\n"), ("audit.jsonl.1", "e\nf\n"), ("audit.jsonl.2", "c\nd\n")];
        assert_eq!(content(directory.path()), named(&expected));
    }

    #[test]
    fn what_is_larger_than_a_file_has_one_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::open(settings(directory.path(), 4, 1)).unwrap();
        files.write(b"a\n").unwrap();
        files.write(b"very long\n").unwrap();
        assert_eq!(content(directory.path()), named(&[("audit.jsonl", "very long\n")]));
        files.write(b"b\n").unwrap();
        assert_eq!(content(directory.path()), named(&[("audit.jsonl", "b\n")]));
    }

    #[test]
    fn what_was_written_before_a_start_counts() {
        let directory = tempfile::tempdir().unwrap();
        Files::open(settings(directory.path(), 4, 2)).unwrap().write(b"abc\n").unwrap();
        Files::open(settings(directory.path(), 4, 2)).unwrap().write(b"d\n").unwrap();
        let expected = [("audit.jsonl", "d\n"), ("audit.jsonl.1", "abc\n")];
        assert_eq!(content(directory.path()), named(&expected));
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_run_into_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("audit.jsonl"), "whole\ncut").unwrap();
        Files::open(settings(directory.path(), 100, 2)).unwrap().write(b"next\n").unwrap();
        assert_eq!(content(directory.path()), named(&[("audit.jsonl", "whole\ncut\nnext\n")]));
    }

    #[test]
    fn where_no_new_file_can_be_made_nothing_leaves() {
        let directory = tempfile::tempdir().unwrap();
        let mut files = Files::open(settings(directory.path(), 4, 3)).unwrap();
        for line in ["ab\n", "cd\n", "ef\n"] {
            files.write(line.as_bytes()).unwrap();
        }
        let in_the_way = directory.path().join("audit.jsonl.next");
        fs::create_dir(&in_the_way).unwrap();
        for _ in 0..5 {
            files.write(b"gh\n").unwrap_err();
        }
        fs::remove_dir(&in_the_way).unwrap();
        let before = [("audit.jsonl", "ef\n"), ("audit.jsonl.1", "cd\n"), ("audit.jsonl.2", "ab\n")];
        assert_eq!(content(directory.path()), named(&before));
        files.write(b"gh\n").unwrap();
        let after = [("audit.jsonl", "gh\n"), ("audit.jsonl.1", "ef\n"), ("audit.jsonl.2", "cd\n")];
        assert_eq!(content(directory.path()), named(&after));
    }
}
