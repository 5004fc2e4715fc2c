//! The command line, and the sizes of the cases that follow from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures Seawall beside its parse-only ceiling and Alertmanager, and prints one table.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub inner: Option<Inner>,
    /// A smoke run: everything small and once. Its numbers mean nothing.
    #[arg(long)]
    pub quick: bool,
    /// Measure only these cases.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Case>,
    /// Write the table to this file, too.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Rounds of every case, one candidate after the other in each; medians are reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Seconds that are measured in each round.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Connections that send single alerts.
    #[arg(long, default_value_t = 256)]
    pub connections: usize,
    /// Connections that send bodies of 100.
    #[arg(long, default_value_t = 64)]
    pub batch_connections: usize,
    /// The seawall binary; without it, it is built from this checkout.
    #[arg(long)]
    pub seawall: Option<PathBuf>,
    /// An Alertmanager binary; without it, the pinned version is built once and kept in the user's cache.
    #[arg(long)]
    pub alertmanager: Option<PathBuf>,
    /// Where data directories are made; a directory on a real disk. Without it, beside this binary.
    #[arg(long)]
    pub data_root: Option<PathBuf>,
}

/// Roles that the benchmark takes on in processes that it starts itself.
#[derive(Debug, Subcommand)]
pub enum Inner {
    /// Serve the parse-only ceiling.
    #[command(hide = true)]
    Ceiling { address: SocketAddr },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Appends with fdatasync on the idle disk.
    Disk,
    /// Single-alert POSTs, closed loop.
    Single,
    /// Bodies of 100, closed loop.
    Batch,
    /// Open loop at half of saturation.
    Latency,
    /// Memory per live incident, and the start with all of them.
    Memory,
    /// One body of 45 000 alerts.
    Body,
    /// A storm of 100 000 distinct alerts.
    Storm,
    /// Start on an empty data directory.
    Start,
}

/// What the cases need to know of the command line.
pub struct Settings {
    pub rounds: u32,
    pub length: Duration,
    pub warm_up: Duration,
    pub connections: usize,
    pub batch_connections: usize,
    /// Live incidents at which memory is read, ascending.
    pub incidents: [u64; 2],
    /// The window of the default storm rules and some seconds to look at every group: until then new incidents also lie
    /// in the windows that count them. Filling, windows and settling must stay below the five minutes after which the
    /// first incidents end by silence.
    pub window: Duration,
    pub large_body: usize,
    pub storm: u64,
    pub disk: Duration,
    pub starts: usize,
}

impl Args {
    pub fn runs(&self, case: Case) -> bool {
        self.only.is_empty() || self.only.contains(&case)
    }

    pub fn settings(&self) -> Settings {
        let full = Settings {
            rounds: self.rounds,
            length: Duration::from_secs_f64(self.seconds),
            warm_up: Duration::from_millis(500),
            connections: self.connections,
            batch_connections: self.batch_connections,
            incidents: [100_000, 1_000_000],
            window: Duration::from_secs(70),
            large_body: 45_000,
            storm: 100_000,
            disk: Duration::from_secs(5),
            starts: 9,
        };
        if !self.quick {
            return full;
        }
        Settings {
            rounds: 1,
            length: Duration::from_secs(1),
            incidents: [2_000, 20_000],
            window: Duration::ZERO,
            large_body: 4_500,
            storm: 10_000,
            disk: Duration::from_millis(500),
            starts: 3,
            ..full
        }
    }
}
