//! The store for many replicas: state lives in Redis or Valkey, and a script there decides.
//!
//! Replicas keep nothing that others need. A batch goes to the partition of its problems in one call; the script decides it
//! as a whole, by the rules of `seawall-engine`. What is due by itself is done by whichever replica has the partition's
//! claim. It must never acknowledge what the server has not confirmed, or decide anything outside the scripts.
//!
//! ```text
//! decide ─► lane.rs       one call at a time and partition; whoever waits shares the next one
//!        ─► link/         connections, deadlines, outages
//!        ─► scripts/*.lua deciding, in the server, in one step ─► decisions
//!                            │ PUBLISH what changed                  │ when something is due
//!                            ▼                                       ▼
//!           feed.rs       watchers of every replica              publisher.rs
//! ```

mod adopt;
mod counters;
pub mod doctor;
mod feed;
mod lane;
mod limits;
mod link;
mod options;
mod partition;
mod publisher;
mod reader;
mod records;
mod registry;
mod report;
mod scripts;
mod store;
mod unpublished;
mod wire;

use std::time::Duration;

pub use options::{Credentials, RedisDurability, RedisMode, RedisOptions};
pub use store::RedisStore;

/// When to come back after a failure that may have passed by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);
