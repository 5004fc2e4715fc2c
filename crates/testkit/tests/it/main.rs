//! The fixtures themselves: each starts, answers, and survives what tests do to it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a step that fails here is a test that fails")]

mod redis_cluster;
mod redis_server;
mod sentinels;
