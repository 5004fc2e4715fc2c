//! The brain of Seawall, without I/O, clock or threads.
//!
//! [`normalise`] turns what senders say into signals. [`Engine::decide`] says for each signal whether it is new, a
//! repeat, or part of a storm, and what that changes. Deduplication and storm detection are one step on one state,
//! because separating them is how the race between "new or repeat?" and "storm or not?" appears.
//!
//! It must never read a clock (`now` is an argument), do I/O, or depend on the order in which a hash map iterates: the
//! same history gives the same decisions on every replica and after every crash.
//!
//! ```text
//! begin(commit) ─► decide(policy, signal, now)* ─► tick(now) ─► drain(records to write) ─► synced ─► answers
//!                     │ repeat.rs   a signal of an open incident
//!                     │ open.rs     a new incident: join, count, hold
//!                     │ trip.rs     the count reached the threshold: promote, absorb, supersede, link
//!                     └ resolve.rs  the problem is over
//! adopt(open requests) when the state was lost
//! ```

mod adopt;
mod adoption;
mod arena;
mod engine;
mod explain;
mod group;
mod incident;
pub mod normalise;
mod open;
mod phase;
mod record;
mod repeat;
mod resolve;
mod restore;
mod storm;
mod tick;
mod trip;
mod view;

pub use adoption::{AdoptedIncident, AdoptedStorm, Adoption, OpenRequest};
pub use engine::{Engine, Publication, PublicationKind};
pub use explain::{ExplainedDecision, Explanation, ToldIncident, ToldStorm};
pub use group::{MAX_RULES, group_names};
pub use incident::Opening;
pub use record::{ClosedRequest, Table, Write, request_key};
pub use repeat::is_open;
pub use restore::{RestoreError, Restoring};
pub use view::{MemberRecord, StormRecord};
