//! What tests of the real Seawall need: real processes, clients, generators, and the account book.
//!
//! Everything here talks to programs from the outside, over sockets, files and signals, the way users do. It must
//! never link the server, never know how state is stored, and never wait for time to pass: waiting is for a
//! condition, with a deadline, and [`eventually`] is the only place that does it.
//!
//! ```text
//! Scene ── directory, turn on the machine
//!   ├─ Seawall ──── Client ── requests, storms, watch
//!   ├─ Alertmanager, Prometheus, Exporter (they send)
//!   ├─ redis::{RedisServer, Sentinels, RedisCluster} (they keep)
//!   ├─ kubernetes::{ControlPlane, FakeApi} (say who may send, and have the requests)
//!   └─ SmallDisk (runs full)
//! Alert ──► Client ──► AccountBook ──► compared with the requests that exist
//! ```
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a step that fails here is a test that fails")]

mod alertmanager;
mod alerts;
mod book;
mod built;
mod certificates;
mod client;
mod disk;
mod exporter;
mod helm;
pub mod kubernetes;
mod metrics;
mod ports;
mod process;
mod prometheus;
mod random;
mod raw;
pub mod redis;
mod scene;
mod seawall;
mod wait;
mod watch;

pub use alertmanager::{Alertmanager, AlertmanagerOptions};
pub use alerts::{Alert, webhook};
pub use book::{AccountBook, Ledger, Outcome};
pub use certificates::{Authority, KeyPairFiles, Leaf};
pub use client::{Answer, Client, Lost};
pub use disk::SmallDisk;
pub use exporter::Exporter;
pub use helm::render_chart;
pub use metrics::Samples;
pub use ports::free_port;
pub use process::Process;
pub use prometheus::Prometheus;
pub use random::Random;
pub use raw::{Raw, request_head};
pub use scene::Scene;
pub use seawall::{Refusal, Seawall, SeawallBuilder};
pub use wait::{Deadline, eventually, until};
pub use watch::{Event, Watch};
