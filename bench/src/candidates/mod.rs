//! What is measured, each as a process of its own that is started afresh for every run.

pub mod alertmanager;
pub mod ceiling;
pub mod kubernetes;
pub mod redis;
pub mod script;
pub mod seawall;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::redis::Redis;
use crate::disk;
use crate::process::Server;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    Ceiling,
    /// With the embedded store.
    Seawall,
    /// With its state in a Redis server of its own.
    SeawallOnRedis,
    Alertmanager,
}

/// Where everything is that a candidate needs.
pub struct Lab {
    pub seawall: PathBuf,
    pub alertmanager: Option<PathBuf>,
    pub redis: PathBuf,
    /// Data directories and logs; gone with this value.
    root: tempfile::TempDir,
    pub file_system: String,
}

impl Lab {
    pub fn new(
        seawall: PathBuf,
        alertmanager: Option<PathBuf>,
        redis: PathBuf,
        data_root: &Path,
    ) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("seawall-bench-").tempdir_in(data_root);
        let root = root.with_context(|| format!("cannot make a directory in {}", data_root.display()))?;
        let file_system = disk::file_system(root.path())?;
        anyhow::ensure!(
            !matches!(file_system.as_str(), "tmpfs" | "ramfs"),
            "{} is in memory, where nothing is durable; name a directory on a disk with --data-root",
            data_root.display(),
        );
        Ok(Self { seawall, alertmanager, redis, root, file_system })
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A new directory for one run.
    pub fn directory(&self) -> Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("run-").tempdir_in(self.root())?)
    }

    /// A running candidate without any state, and the directory of its data.
    pub fn start(&self, candidate: Candidate) -> Result<Running> {
        let directory = self.directory()?;
        let mut redis = None;
        let server = match candidate {
            Candidate::Ceiling => ceiling::start(directory.path()),
            Candidate::Seawall => seawall::start(&self.seawall, directory.path()),
            Candidate::SeawallOnRedis => {
                let state = redis.insert(Redis::start(&self.redis, directory.path())?);
                seawall::start_on_redis(&self.seawall, directory.path(), &state.url())
            }
            Candidate::Alertmanager => {
                let binary = self.alertmanager.as_deref().context("there is no Alertmanager to measure")?;
                alertmanager::start(binary, directory.path())
            }
        }?;
        Ok(Running { candidate, server, redis, directory })
    }

    /// Seawall with the embedded store, without any state, and configured by these variables.
    pub fn start_with(&self, variables: &[(&str, String)]) -> Result<Running> {
        let directory = self.directory()?;
        let server = seawall::start_with(&self.seawall, directory.path(), variables)?;
        Ok(Running { candidate: Candidate::Seawall, server, redis: None, directory })
    }
}

impl Lab {
    /// The same, where TLS is spoken; and where its metrics are shown without.
    pub fn start_secure(&self, variables: &[(&str, String)]) -> Result<(Running, SocketAddr)> {
        let directory = self.directory()?;
        let (server, metrics) = seawall::start_secure(&self.seawall, directory.path(), variables)?;
        Ok((Running { candidate: Candidate::Seawall, server, redis: None, directory }, metrics))
    }
}

/// A started candidate. The process ends before its directory goes.
pub struct Running {
    pub candidate: Candidate,
    pub server: Server,
    /// Where the state lies, if it lies there.
    pub redis: Option<Redis>,
    /// Its data and logs.
    pub directory: tempfile::TempDir,
}

impl Running {
    /// Fails unless the candidate itself says that it took exactly `alerts` firing alerts.
    pub fn check_accepted(&self, alerts: u64) -> Result<()> {
        let address = self.server.address;
        match self.candidate {
            Candidate::Ceiling => ceiling::check_accepted(address, alerts),
            Candidate::Seawall => seawall::check_accepted(address, alerts),
            Candidate::SeawallOnRedis => seawall::check_decided(address, alerts),
            Candidate::Alertmanager => alertmanager::check_accepted(address, alerts),
        }
    }

    /// Crashes the process and starts it on what it left behind.
    pub fn crash_and_restart(self, lab: &Lab) -> Result<Self> {
        anyhow::ensure!(self.candidate == Candidate::Seawall, "only Seawall has state to come back to");
        let Self { candidate, server, redis, directory } = self;
        server.kill()?;
        let server = seawall::start(&lab.seawall, directory.path())?;
        Ok(Self { candidate, server, redis, directory })
    }
}
