//! The audit log: what was decided about every alert, why, and who sent it, as JSON lines in files of their own.
//!
//! ```text
//! decided ─► lines ─► a bounded queue ─► one thread ─► file ─► put aside when it is full
//! ```
//!
//! Whoever decides waits when the queue is full, so that nothing is left out because a disk is slow. A disk that refuses is
//! another matter: alerts go on, because they matter more than the record of them, and what is missing is said here and in
//! the log.

mod entry;
mod file;

use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use file::Files;

pub(crate) use entry::{Context, Entry, Subject, decided, refused};
pub use file::AuditSettings;

/// Bytes that go to the writer at once.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait for it: 16 MiB.
const WAITING: usize = 256;

enum Message {
    Lines { lines: Vec<u8>, count: u64 },
    Close(oneshot::Sender<()>),
}

/// Where decisions are recorded.
pub struct AuditLog {
    messages: mpsc::Sender<Message>,
}

impl AuditLog {
    /// Opens the file, or makes it, and goes on behind what is in it.
    pub fn open(settings: AuditSettings) -> io::Result<Arc<Self>> {
        let files = Files::open(settings)?;
        let (messages, queue) = mpsc::channel(WAITING);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || Writer { files, missing: 0 }.run(queue))?;
        Ok(Arc::new(Self { messages }))
    }

    /// Takes what is written in parts of a bounded size.
    pub(crate) async fn write(&self, entries: impl Iterator<Item = Entry<'_>> + Send) {
        let (mut lines, mut count) = (Vec::new(), 0);
        for entry in entries {
            entry.write(&mut lines);
            count += 1;
            if lines.len() >= CHUNK {
                self.send(std::mem::take(&mut lines), std::mem::take(&mut count)).await;
            }
        }
        if count > 0 {
            self.send(lines, count).await;
        }
    }

    async fn send(&self, lines: Vec<u8>, count: u64) {
        if self.messages.send(Message::Lines { lines, count }).await.is_err() {
            tracing::error!(count, "decisions are missing in the audit log: nobody writes it any more");
        }
    }

    /// Waits until everything is in the file. What is decided after that is in no record.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.messages.send(Message::Close(done)).await.is_ok() {
            // A writer that has panicked has said so.
            let _ = closed.await;
        }
    }
}

struct Writer {
    files: Files,
    /// Lines that could not be written since the last one that could.
    missing: u64,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = queue.blocking_recv() {
            match message {
                Message::Lines { lines, count } => self.write(&lines, count),
                Message::Close(done) => {
                    if let Err(error) = self.files.sync() {
                        tracing::error!(%error, "the end of the audit log may be missing");
                    }
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    fn write(&mut self, lines: &[u8], count: u64) {
        if self.missing > 0 {
            let gap = format!("{{\"decision\":\"missing\",\"count\":{}}}\n", self.missing);
            if self.files.write(gap.as_bytes()).is_err() {
                self.missing += count;
                return;
            }
            tracing::warn!(missing = self.missing, "the audit log is written again");
            self.missing = 0;
        }
        if let Err(error) = self.files.write(lines) {
            self.missing = count;
            tracing::error!(%error, "the audit log cannot be written; what is decided meanwhile is missing in it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_counted_in_the_file_as_soon_as_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let (here, away) = (directory.path().join("here"), directory.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let file = here.join("audit.jsonl");
        // It is put aside for every line; while the directory is gone there is nowhere to put it.
        let settings = AuditSettings { file: file.clone(), file_bytes: 1, files: 2 };
        let mut writer = Writer { files: Files::open(settings).unwrap(), missing: 0 };
        writer.write(b"first\n", 1);
        std::fs::rename(&here, &away).unwrap();
        writer.write(b"second\n", 1);
        writer.write(b"third\nand fourth\n", 2);
        std::fs::rename(&away, &here).unwrap();
        writer.write(b"fifth\n", 1);
        let gap = std::fs::read_to_string(here.join("audit.jsonl.1")).unwrap();
        assert_eq!(gap, "{\"decision\":\"missing\",\"count\":3}\n");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "fifth\n");
        assert_eq!(writer.missing, 0);
    }
}
