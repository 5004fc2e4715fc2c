//! Seawall with its state in Redis: against its own script, against the embedded store, and when Redis fails.

pub mod latency;
pub mod memory;
pub mod recovery;
pub mod throughput;
