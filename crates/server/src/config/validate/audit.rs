//! The section `telemetry.audit`.

use seawall_ingest::AuditSettings;

use super::Check;
use crate::config::tree::Audit;

/// A file that is smaller would be put aside for every large body.
const SMALLEST: u64 = 64 * 1024;

impl Check<'_> {
    /// Nothing when nothing is recorded.
    pub(super) fn audit(&mut self, written: &Audit) -> Option<AuditSettings> {
        let file_bytes = written.file_bytes.as_bytes();
        if file_bytes < SMALLEST {
            self.fail("telemetry.audit.fileBytes", "at least 64KiB are needed");
        }
        if written.files == 0 {
            self.fail("telemetry.audit.files", "at least one file is kept");
        }
        let file = written.file.clone()?;
        if file.as_os_str().is_empty() {
            self.fail("telemetry.audit.file", "a file is expected, not empty text");
        }
        Some(AuditSettings { file, file_bytes, files: written.files as usize })
    }
}
