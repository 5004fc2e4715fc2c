//! Whether decisions are recorded.

use seawall_ingest::AuditSettings;

use super::{message, settings};

#[test]
fn nothing_is_recorded_unless_there_is_a_file() {
    assert_eq!(settings("").audit, None);
    assert_eq!(settings("telemetry: {audit: {files: 3}}").audit, None);
    let given = settings("telemetry: {audit: {file: audit.jsonl, fileBytes: 1MiB, files: 3}}").audit;
    let expected = AuditSettings { file: "audit.jsonl".into(), file_bytes: 1024 * 1024, files: 3 };
    assert_eq!(given, Some(expected));
    let default = settings("telemetry: {audit: {file: audit.jsonl}}").audit.unwrap();
    assert_eq!((default.file_bytes, default.files), (64 * 1024 * 1024, 8));
}

#[test]
fn what_makes_no_sense_is_named() {
    for (yaml, expected) in [
        ("telemetry: {audit: {file: ''}}", "telemetry.audit.file: a file is expected, not empty text"),
        ("telemetry: {audit: {files: 0}}", "telemetry.audit.files: at least one file is kept"),
        ("telemetry: {audit: {fileBytes: 1KiB}}", "telemetry.audit.fileBytes: at least 64KiB are needed"),
    ] {
        let message = message(yaml);
        assert!(message.contains(expected), "{yaml}: {message}");
    }
}
