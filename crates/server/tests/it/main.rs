//! The server crate as its users see it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

mod architecture;
mod example;
mod golden;
mod life;
mod metrics;
mod redis;
mod reload;
mod tls;
