//! A candidate as a process of its own: started, measured through `/proc`, and gone when the value is dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use crate::{clock, control};

/// Longest a candidate may take to answer its readiness path.
const START_PATIENCE: Duration = Duration::from_secs(120);

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// From before the process was made until its first answer 200.
    pub ready_after: Duration,
}

/// A free port of the loopback interface. It is free again when this returns, so a stranger could take it; then the
/// candidate fails to start, loudly.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Server {
    /// Starts `command`, with what it prints in `log`, and waits until `ready_path` answers 200.
    pub fn start(command: Command, address: SocketAddr, ready_path: &str, log: &Path) -> Result<Self> {
        let is_ready = || control::get(address, ready_path).is_ok_and(|answer| answer.status == 200);
        Self::start_until(command, address, is_ready, log)
    }

    /// Starts `command`, with what it prints in `log`, and waits until it `is_ready`.
    pub fn start_until(
        mut command: Command,
        address: SocketAddr,
        is_ready: impl Fn() -> bool,
        log: &Path,
    ) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let started = clock::now();
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let mut server = Self { child, address, ready_after: Duration::ZERO };
        server.wait_until_ready(started, is_ready).with_context(|| {
            format!("{:?} said: {}", command.get_program(), fs::read_to_string(log).unwrap_or_default())
        })?;
        Ok(server)
    }

    fn wait_until_ready(&mut self, started: Instant, is_ready: impl Fn() -> bool) -> Result<()> {
        while clock::now() < started + START_PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before it was ready");
            }
            if is_ready() {
                self.ready_after = clock::now() - started;
                return Ok(());
            }
            clock::pause(Duration::from_millis(1));
        }
        bail!("not ready after {START_PATIENCE:?}")
    }

    /// `kill -9`, as in a crash.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Freezes the process: its connections stay open and nobody answers.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let process = process.context("a process without a number")?;
        rustix::process::kill_process(process, signal).context("cannot send a signal to a server")
    }

    /// Resident memory now, in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory since the last [`Server::forget_peak`], in bytes.
    pub fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    pub fn forget_peak(&self) -> Result<()> {
        fs::write(self.proc("clear_refs"), "5").context("cannot reset the peak of resident memory")
    }

    /// Processor time of all threads so far. The kernel counts it in hundredths of a second.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = fs::read_to_string(self.proc("stat"))?;
        // The command's name, in parentheses, may itself contain spaces.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat has no command")?;
        let ticks = |field: usize| fields.split(' ').nth(field).and_then(|text| text.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("/proc/PID/stat has no times")?;
        Ok(Duration::from_secs_f64((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Resident memory when it has stopped moving: within 1 % for two seconds, or what it is after `patience`.
    pub fn settled(&self, patience: Duration) -> Result<u64> {
        let mut last = self.resident()?;
        let mut calm = 0;
        clock::poll(Duration::from_millis(250), patience, || {
            let now = self.resident().unwrap_or(0);
            calm = if now.abs_diff(last) * 100 <= last { calm + 1 } else { 0 };
            last = now;
            (calm >= 8).then_some(())
        });
        self.resident()
    }

    fn status(&self, key: &str) -> Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
        kilobytes.map(|count: u64| count * 1024).with_context(|| format!("/proc/PID/status has no {key}"))
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
