//! Real Redis and Valkey servers on loopback: alone, under sentinels, and as a cluster.
//!
//! ```text
//! RedisServer ──── one process: killed, paused, restarted, asked
//!   ├─ Sentinels ─── a primary, its replicas, and those who elect the next primary
//!   └─ RedisCluster ─ masters that share the slots, which can be moved between them
//! ```

mod cluster;
mod engine;
mod sentinels;
mod server;
mod topology;
mod wire;

pub use cluster::{RedisCluster, RedisClusterBuilder};
pub use engine::Engine;
pub use sentinels::{Sentinels, SentinelsBuilder};
pub use server::{RedisServer, RedisServerBuilder};
pub use wire::LossyWire;
