//! The section `telemetry.audit`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::Size;

/// What was decided about every alert, why, and who sent it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Audit {
    /// File to which a line of JSON is appended for every alert; without it none is written.
    pub file: Option<PathBuf>,
    /// Bytes after which the file is put aside as `FILE.1`, and a new one begun.
    pub file_bytes: Size,
    /// Files that are kept, the newest included; the oldest leaves.
    pub files: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self { file: None, file_bytes: Size::from_bytes(64 * 1024 * 1024), files: 8 }
    }
}
