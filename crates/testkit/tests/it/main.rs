//! The fixtures themselves: each starts, answers, and survives what tests do to it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a step that fails here is a test that fails")]

mod contract;
mod control_plane;
mod fake_api;
mod redis_cluster;
mod redis_server;
mod sentinels;

use std::time::Duration;

use seawall_testkit::eventually;
use seawall_testkit::redis::RedisServer;

/// Waits until so many keys have arrived.
async fn has_keys(server: &RedisServer, expected: u64) {
    eventually(Duration::from_secs(10), || async {
        match server.key_count() {
            count if count == expected => Ok(()),
            other => Err(format!("{} has {other} keys and not {expected}", server.url())),
        }
    })
    .await;
}
