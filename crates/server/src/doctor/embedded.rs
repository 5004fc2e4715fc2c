//! The data directory of the embedded store.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::{Finding, Level};

/// The journals of the store may take up 512 MiB before they are cut, and tables are written beside them.
const COMFORTABLE_BYTES: u64 = 1 << 30;

/// Writing a table takes 8 MiB, and a journal grows by as much meanwhile.
const NEEDED_BYTES: u64 = 16 << 20;

const RIGHTS: &str = "give the user that runs Seawall the right to read, write and enter it";

pub(super) fn examine(directory: &Path) -> Vec<Finding> {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let shown = directory.display();
    match std::fs::metadata(&directory) {
        Ok(metadata) if metadata.is_dir() => {
            let fine = format!("the data directory {shown} exists and can be written");
            vec![writable(&directory, fine), holder(&directory), space(&directory)]
        }
        Ok(_) => vec![finding(
            Level::Failed,
            format!("{shown} is not a directory"),
            "name another one with `state.embedded.path` or --data-dir",
        )],
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // It is made at start, with everything above it that is missing.
            match directory.ancestors().find(|ancestor| ancestor.exists()) {
                Some(above) => {
                    let fine = format!("the data directory {shown} does not exist yet and can be made");
                    vec![writable(above, fine), space(above)]
                }
                None => vec![finding(Level::Failed, format!("{shown} cannot be made"), RIGHTS)],
            }
        }
        Err(error) => vec![finding(Level::Failed, format!("{shown} cannot be looked at: {error}"), RIGHTS)],
    }
}

fn writable(directory: &Path, fine: String) -> Finding {
    match access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding { level: Level::Fine, what: fine, advice: None },
        Err(error) => {
            finding(Level::Failed, format!("{} cannot be written: {error}", directory.display()), RIGHTS)
        }
    }
}

/// Whether a server uses the directory, which is no fault.
fn holder(directory: &Path) -> Finding {
    let nobody = || Finding { level: Level::Fine, what: "no process uses it".to_owned(), advice: None };
    let path = directory.join("lock");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return nobody(),
        Err(error) => {
            return finding(Level::Failed, format!("{} cannot be opened: {error}", path.display()), RIGHTS);
        }
    };
    // Shared and for a moment, and let go of when the file is closed at the end of this function: a server that starts
    // at this very moment is refused once.
    match file.try_lock_shared() {
        Ok(()) => nobody(),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The number is a help, not a promise.
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            let what = format!("{holder} uses it; no second one can");
            Finding { level: Level::Fine, what, advice: None }
        }
        Err(TryLockError::Error(error)) => finding(
            Level::Warning,
            format!("{} cannot be locked: {error}", path.display()),
            "use a file system that knows locks, or nothing keeps a second process from the data",
        ),
    }
}

fn space(directory: &Path) -> Finding {
    match statvfs(directory) {
        Ok(status) => judge(status.f_bavail.saturating_mul(status.f_frsize)),
        Err(error) => finding(
            Level::Warning,
            format!("the free space of {} cannot be told: {error}", directory.display()),
            "look whether its disk has room",
        ),
    }
}

fn judge(free: u64) -> Finding {
    let what = format!("{} MiB free", free >> 20);
    let full = "make room; when the disk is full, alerts are answered 503 until there is some again";
    match free {
        ..NEEDED_BYTES => finding(Level::Failed, what, full),
        NEEDED_BYTES..COMFORTABLE_BYTES => finding(Level::Warning, what, full),
        _ => Finding { level: Level::Fine, what, advice: None },
    }
}

fn finding(level: Level, what: String, advice: &str) -> Finding {
    Finding { level, what, advice: Some(advice.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn whats(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{:?}: {}", finding.level, finding.what)).collect()
    }

    #[test]
    fn a_directory_that_is_there_and_one_that_can_be_made_are_fine() {
        let home = tempfile::tempdir().unwrap();
        let found = examine(home.path());
        let shown = home.path().display();
        assert_eq!(
            whats(&found)[..2],
            [
                format!("Fine: the data directory {shown} exists and can be written"),
                "Fine: no process uses it".to_owned()
            ]
        );
        let found = examine(&home.path().join("a/b"));
        assert_eq!(
            whats(&found)[0],
            format!("Fine: the data directory {shown}/a/b does not exist yet and can be made")
        );
        assert!(!home.path().join("a").exists(), "nothing is made");
    }

    #[test]
    fn what_is_no_directory_fails_with_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let found = examine(&path);
            assert_eq!(found[0].level, Level::Failed, "{}", found[0].what);
            assert!(found[0].advice.is_some());
        }
    }

    #[test]
    fn a_directory_without_rights_fails_for_everybody_but_root() {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        let may_write = std::fs::write(home.path().join("file"), "").is_ok();
        let found = examine(home.path());
        assert_eq!(found[0].level == Level::Fine, may_write, "{}", found[0].what);
    }

    #[test]
    fn who_holds_the_lock_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        std::fs::write(&path, "4711\n").unwrap();
        let lock = File::open(&path).unwrap();
        lock.lock().unwrap();
        assert_eq!(holder(home.path()).what, "process 4711 uses it; no second one can");
        lock.unlock().unwrap();
        assert_eq!(holder(home.path()).what, "no process uses it");
    }

    #[test]
    fn little_space_is_warned_about_and_none_fails() {
        for (free, level) in [(0, Level::Failed), (100 << 20, Level::Warning), (2 << 30, Level::Fine)] {
            let found = judge(free);
            assert_eq!((found.level, found.advice.is_none()), (level, level == Level::Fine));
        }
    }
}
