//! The sink over a store in memory, against a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails here is a test that fails")]

mod definition;
mod fake;
mod faults;
mod rebuild;
mod scene;
mod watch;
mod write;
