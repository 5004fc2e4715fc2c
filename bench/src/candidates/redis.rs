//! A Redis server of the distribution, in memory only: what the state of many replicas lies in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::{Client, Connection, FromRedisValue};

use crate::clock;
use crate::process::{Server, free_address};

/// Longest a command of the benchmark itself may take: deleting or counting everything there is.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Memory that differs by less than this from look to look has settled.
const STILL: u64 = 16 * 1024;

/// A running server. What it holds is gone with it.
pub struct Redis {
    pub server: Server,
    binary: PathBuf,
    directory: PathBuf,
}

impl Redis {
    pub fn start(binary: &Path, directory: &Path) -> Result<Self> {
        Self::start_at(binary, directory, free_address()?)
    }

    fn start_at(binary: &Path, directory: &Path, address: SocketAddr) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]).arg(directory);
        let is_ready = || Self::connect(address).is_ok();
        let log = directory.join("redis-log");
        let server = Server::start_until(command, address, is_ready, &log).with_context(|| {
            format!("cannot start {}; Debian has it in the package redis-server", binary.display())
        })?;
        Ok(Self { server, binary: binary.to_owned(), directory: directory.to_owned() })
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.server.address)
    }

    /// A connection on which it has answered once.
    pub fn connection(&self) -> Result<Connection> {
        Self::connect(self.server.address)
    }

    fn connect(address: SocketAddr) -> Result<Connection> {
        let client = Client::open(format!("redis://{address}"))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        redis::cmd("PING").query::<()>(&mut connection)?;
        Ok(connection)
    }

    /// Sends one command on a connection of its own.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let (name, arguments) = words.split_first().context("no command")?;
        let mut command = redis::cmd(name);
        command.arg(arguments);
        command.query(&mut self.connection()?).with_context(|| format!("Redis did not take {words:?}"))
    }

    /// A number from `INFO section`.
    pub fn info(&self, section: &str, field: &str) -> Result<u64> {
        let text: String = self.ask(&["INFO", section])?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = value.and_then(|value| value.trim().parse().ok());
        value.with_context(|| format!("INFO {section} has no number {field}"))
    }

    /// How often a command was called, and how often it failed.
    pub fn calls(&self, command: &str) -> Result<(u64, u64)> {
        let text: String = self.ask(&["INFO", "commandstats"])?;
        let Some(line) = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")))
        else {
            return Ok((0, 0));
        };
        let of = |field: &str| {
            line.split(',').find_map(|part| part.trim().strip_prefix(field)?.strip_prefix('=')?.parse().ok())
        };
        of("calls").zip(of("failed_calls")).with_context(|| format!("INFO says of {command}: {line}"))
    }

    /// Memory in use when it has stopped moving, or what it is after `patience`.
    pub fn settled_memory(&self, patience: Duration) -> Result<u64> {
        let (mut last, mut calm) = (0, 0);
        clock::poll(Duration::from_millis(200), patience, || {
            let now = self.info("memory", "used_memory").unwrap_or(0);
            calm = if now.abs_diff(last) <= STILL { calm + 1 } else { 0 };
            last = now;
            (calm >= 5).then_some(())
        });
        self.info("memory", "used_memory")
    }

    pub fn version(binary: &Path) -> Option<String> {
        let output = Command::new(binary).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(str::to_owned)
    }

    /// `kill -9`; the address stays free for [`Dead::start_again`].
    pub fn kill(self) -> Result<Dead> {
        let Self { server, binary, directory } = self;
        let address = server.address;
        server.kill()?;
        Ok(Dead { address, binary, directory })
    }
}

/// A server that was killed.
pub struct Dead {
    address: SocketAddr,
    binary: PathBuf,
    directory: PathBuf,
}

impl Dead {
    /// On the same port and empty; returns when it has answered a first `PING`.
    pub fn start_again(self) -> Result<Redis> {
        Redis::start_at(&self.binary, &self.directory, self.address)
    }
}
