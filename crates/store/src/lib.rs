//! Durable state: what is open, what is counted, and which requests should exist.
//!
//! A store takes batches of signals, decides each in one atomic step with the rules of `seawall-engine`, and answers
//! only after the decisions are durable. It must never answer before that, decide by rules of its own, or let a reader
//! see what a crash could still take back.
//!
//! ```text
//! decide(signals) ─► writer: engine.decide … ─► one commit, synced ─► decisions to the callers, changes to the watchers
//! ```

mod api;
mod embedded;
mod error;
mod limits;
mod read;
mod redis;
mod sink;

pub(crate) use api::{AGAIN, TOLD};
pub use api::{
    Change, ChangeKind, Health, Page, Placement, RequestFilter, RequestPage, RequestRecord, StateStore,
    Stats, StatusPatch, StoreFuture, StormDetail, StormPage,
};
pub use embedded::{EmbeddedOptions, EmbeddedStore};
pub(crate) use error::INCOMPLETE;
pub use error::{Failure, StoreError};
pub use limits::{SharedLimit, SharedLimits};
pub use redis::doctor;
pub use redis::{Credentials, RedisDurability, RedisMode, RedisOptions, RedisStore};
pub use seawall_engine::{ExplainedDecision, Explanation, MemberRecord, StormRecord};
pub use sink::{Existing, Sink, SinkHealth, SinkStats};
