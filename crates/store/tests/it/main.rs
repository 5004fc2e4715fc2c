//! Tests of the stores from the outside.
//!
//! `conformance` is what every store must do, written once over [`StoreUnderTest`](support::StoreUnderTest); another
//! store joins with one line. `differential` compares a store with the pure engine over random histories. `crash` is
//! about the data directory of the embedded store: power loss, damage, full disks, a second process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails here is a test that fails")]

#[macro_use]
mod conformance;
mod crash;
mod differential;
mod embedded;
mod redis;
mod support;

mod redis_store {
    conformance!(crate::redis::Redis);
}

mod valkey_store {
    conformance!(crate::redis::Valkey);
}

mod embedded_store {
    conformance!(crate::embedded::Embedded);
}
