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
    /// The Redis server to measure with.
    #[arg(long, default_value = "redis-server")]
    pub redis_server: PathBuf,
    /// The tool that the driver is compared with.
    #[arg(long, default_value = "redis-benchmark")]
    pub redis_benchmark: PathBuf,
    /// Seconds for which the API server is away.
    #[arg(long, default_value_t = 60.0)]
    pub outage: f64,
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
    /// Single-alert POSTs over TLS beside the same without.
    Tls,
    /// All cases of the Redis store.
    Redis,
    /// Single-alert POSTs with the Redis store beside its script alone.
    RedisSingle,
    /// Bodies of 100 with the Redis store beside its script alone.
    RedisBatch,
    /// Open loop at half of what the Redis store takes, with both stores.
    RedisLatency,
    /// Memory of Redis per live incident.
    RedisMemory,
    /// From Redis being back to the first alert that is taken.
    RedisRecovery,
    /// All cases with a control plane of Kubernetes.
    Kubernetes,
    /// What a storm costs the API server.
    KubernetesStorm,
    /// The API server goes away under load and comes back.
    KubernetesOutage,
    /// Requests made a second, beside what the API server can make.
    KubernetesCreate,
    /// Who is asking, answered from memory, beside nobody asking.
    KubernetesAuth,
}

/// What else a case needs to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    Redis,
    Kubernetes,
}

impl Case {
    pub const fn needs(self) -> Needs {
        match self {
            Self::Redis
            | Self::RedisSingle
            | Self::RedisBatch
            | Self::RedisLatency
            | Self::RedisMemory
            | Self::RedisRecovery => Needs::Redis,
            Self::Kubernetes
            | Self::KubernetesStorm
            | Self::KubernetesOutage
            | Self::KubernetesCreate
            | Self::KubernetesAuth => Needs::Kubernetes,
            Self::Disk
            | Self::Single
            | Self::Batch
            | Self::Latency
            | Self::Memory
            | Self::Body
            | Self::Storm
            | Self::Start
            | Self::Tls => Needs::Nothing,
        }
    }
}

/// What the cases need to know of the command line.
pub struct Settings {
    pub redis_benchmark: PathBuf,
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
    /// Live incidents at which the memory of Redis is read.
    pub redis_incidents: [u64; 2],
    pub outages: Outages,
    pub kubernetes: Kubernetes,
}

/// The sizes of the cases with a control plane.
#[derive(Clone, Copy)]
pub struct Kubernetes {
    pub storm: u64,
    /// For how long the same storm is sent when it is not sent at once.
    pub storm_length: Duration,
    /// For how long the API server is away; alerts are sent for as long before.
    pub outage: Duration,
    /// Open requests that get news meanwhile.
    pub problems: u64,
    pub requests_per_second: f64,
    /// Requests that are made in a round.
    pub created: u64,
    /// Pairs of stretches with and without a token in a round.
    pub pairs: u32,
}

/// How Redis fails, and what is sent meanwhile.
pub struct Outages {
    pub rounds: u32,
    /// From `kill -9` until it is started again.
    pub dead: Duration,
    pub frozen: Duration,
    /// Sent before and after.
    pub around: Duration,
    pub requests_per_second: f64,
}

impl Args {
    pub fn runs(&self, case: Case) -> bool {
        let all_of = |all| self.only.contains(&all) && case.needs() == all.needs();
        self.only.is_empty() || self.only.contains(&case) || all_of(Case::Redis) || all_of(Case::Kubernetes)
    }

    /// Whether any of the cases needs this.
    pub fn need(&self, what: Needs) -> bool {
        self.only.is_empty() || self.only.iter().any(|case| case.needs() == what)
    }

    pub fn settings(&self) -> Settings {
        let full = Settings {
            redis_benchmark: self.redis_benchmark.clone(),
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
            redis_incidents: [20_000, 100_000],
            outages: Outages {
                rounds: 5,
                dead: Duration::from_secs(3),
                frozen: Duration::from_secs(5),
                around: Duration::from_secs(2),
                requests_per_second: 2_000.0,
            },
            kubernetes: Kubernetes {
                storm: 10_000,
                storm_length: Duration::from_secs(10),
                outage: Duration::from_secs_f64(self.outage),
                problems: 1_000,
                requests_per_second: 5_000.0,
                created: 3_000,
                pairs: 3,
            },
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
            redis_incidents: [2_000, 10_000],
            outages: Outages {
                rounds: 1,
                dead: Duration::from_secs(1),
                frozen: Duration::from_secs(2),
                around: Duration::from_secs(1),
                ..full.outages
            },
            kubernetes: Kubernetes {
                storm_length: Duration::from_secs(3),
                outage: full.kubernetes.outage.min(Duration::from_secs(10)),
                created: 500,
                ..full.kubernetes
            },
            ..full
        }
    }
}
