//! A real process with its output in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::eventually;

/// Output of a failed test's processes that is shown.
const SHOWN_LINES: usize = 60;

/// Killed, by its process id, when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`. `package` is named when the program is not there.
    pub fn spawn(name: &str, command: &mut Command, log: &Path, package: Option<&str>) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("the log can be written");
        let errors = output.try_clone().expect("a file handle can be doubled");
        let started = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = started.unwrap_or_else(|error| match package {
            Some(package) if error.kind() == std::io::ErrorKind::NotFound => panic!(
                "{} is not installed: `apt-get install --no-install-recommends {package}`, or run `make test` as root, \
                 which does it",
                command.get_program().display()
            ),
            _ => panic!("{name} could not be started: {error}"),
        });
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far, over all its lives.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its state")
    }

    /// `kill -9`, and it is gone when this returns.
    pub fn kill9(&mut self) {
        self.child.kill().ok();
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Sends a signal by its name, such as `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, signal: &str) {
        // The shell's own `kill`: the program of that name is not part of every system.
        let status = Command::new("sh").args(["-c", &format!("kill -s {signal} {}", self.pid())]).status();
        assert!(status.is_ok_and(|status| status.success()), "{} could not be sent {signal}", self.name);
    }

    /// Waits until it has ended by itself.
    pub async fn exited(&mut self, within: Duration) -> ExitStatus {
        let name = self.name.clone();
        let process = parking_lot::Mutex::new(self);
        eventually(within, || {
            let ended = process.lock().ended();
            let running = format!("{name} is still running");
            async move { ended.ok_or(running) }
        })
        .await
    }

    /// The most resident memory it has had since it was started, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Resident memory now, in bytes.
    pub fn memory(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kilobytes: Option<u64> =
            status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
        1024 * kilobytes.unwrap_or_else(|| panic!("{} is not running, so it has no {key}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("---- {} said ({} of {} lines):", self.name, shown.len(), lines.len());
            shown.iter().for_each(|line| eprintln!("{line}"));
        }
    }
}
