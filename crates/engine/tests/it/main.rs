//! The engine against a naive restatement of its rules, and against the acceptance scenarios.
//!
//! ```text
//! history ─► harness ─► engine ─► drain ─► disk ─► restore      properties: every random history, step by step
//!               │                              │
//!               ├─► naive    the rules as simply as they can be written; answers and requests must be equal
//!               └─► ledger   what the outside world saw; the invariants I1 to I8 must hold
//! scene: explicit time for the scenarios of `dedup`, `storms` and `members`
//! ```
#![allow(clippy::unwrap_used, reason = "a step that fails here is a test that fails")]

mod adopt;
mod dedup;
mod harness;
mod history;
mod ledger;
mod members;
mod naive;
mod properties;
mod scene;
mod storms;
mod view;
