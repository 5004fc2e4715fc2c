//! The composition root: configuration becomes settings, settings become running tasks, and a signal ends them in order.
//!
//! The only crate that sees all others. It must never decide anything about alerts, and nothing is started here that
//! is not also stopped here.
//!
//! ```text
//! Sources ─► Settings ─► open store ─► edge ─► listener ─► ready
//!                                         stopping is the reverse: not ready ─► closed ─► drained ─► store closed
//! ```

pub mod config;
pub mod doctor;
mod error;
mod publishing;
mod reload;
mod run;
mod server;

pub use error::ServeError;
pub use run::{run, termination};
pub use seawall_ingest::{CredentialDigest, DrainReport, new_token};
pub use server::{Running, Server};
