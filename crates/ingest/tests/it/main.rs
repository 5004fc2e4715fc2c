//! The edge over real sockets, with its own accept loop and a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails here is a test that fails")]

mod answers;
mod audit;
mod auth;
mod connections;
mod drain;
mod events;
mod fake;
mod fake_api;
mod freshness;
mod identities;
mod limits;
mod openapi;
mod problems;
mod published;
mod rate;
mod reads;
mod server;
mod tls;
mod watch;
