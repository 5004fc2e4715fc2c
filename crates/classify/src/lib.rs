//! What people and clusters say about environment, priority and remediation path beside the tables.
//!
//! A [`Classifier`] is asked about every signal, so it answers from memory and never waits. It must never change what a
//! signal is about, and a signal must never be lost over it: whatever fails falls back to the tables.
//!
//! ```text
//! namespaces' label, ConfigMap ─► watch ─► Known ─┐ environment of a namespace
//!                                                 ├─► Classifier ─► engine's normaliser
//! *.rego ─► Policies ─────────────────────────────┘ the last word about a signal
//! ```

mod classifier;
mod known;
mod overrides;
mod policies;
mod watch;

pub use classifier::Classifier;
pub use known::Known;
pub use overrides::Overrides;
pub use policies::{Policies, PolicyError, policy_files};
pub use watch::watch;
