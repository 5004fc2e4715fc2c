//! Random histories on a store and on the pure engine: the same answers, and the same requests in the end.
//!
//! One store and one engine live through thousands of histories, each in namespaces, clusters and label values of its
//! own, so that state of all kinds lies around while the next history runs.
//!
//! A store does what is due by itself, at moments that a test does not choose. What it decides may depend on whether a
//! held request had already come out or an ended incident had already left memory. So whenever the clock was turned, the
//! driver waits until the store has done what is due ([`StoreUnderTest::settle`]) and lets the engine do the same: as
//! far as decisions can tell, both then tick at the same moments. Ticks that the store does between, at a time at which
//! it has ticked before, find nothing to do.

mod drive;
mod history;
mod machine;
mod machines;

use std::cell::RefCell;
use std::path::Path;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use seawall_model::{ManualClock, Policy};

use crate::embedded::{Embedded, fast_directory};
use crate::redis::Lossy;
use crate::support::{START, StoreUnderTest};
use drive::Pair;
use history::histories;
use machines::Split;

/// Histories after which both begin anew: what they have deleted slows down the store's lists until it compacts them.
const LIFE: u64 = 25;
/// As [`LIFE`], on Redis: every look goes through all partitions that there have ever been under a prefix.
const REDIS_LIFE: u64 = 1;
/// Histories in one run; `PROPTEST_CASES` asks for more.
const FAST: u32 = 10_000;
/// On a real disk, where every commit waits for it.
const SLOW: u32 = 100;

fn config(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config {
        cases: asked.unwrap_or(cases),
        max_shrink_iters: 4_000,
        failure_persistence: None,
        ..Config::default()
    }
}

/// Lives through histories. Each `begin` makes a store that has seen nothing.
fn like_engine<S: StoreUnderTest>(
    cases: u32,
    life: u64,
    runtime: &tokio::runtime::Runtime,
    begin: impl Fn() -> Pair<S>,
) {
    // After a failure both begin anew: what they hold is no longer equal.
    let pair = RefCell::new(None);
    let outcome = TestRunner::new(config(cases)).run(&histories(), |history| {
        let mut driven = pair.take().unwrap_or_else(&begin);
        runtime.block_on(driven.live(&history)).map_err(TestCaseError::fail)?;
        pair.replace(Some(driven).filter(|pair| pair.lived < life));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn embedded_like_engine(cases: u32, directory: &Path) {
    like_engine(cases, LIFE, &runtime(), || {
        let clock = ManualClock::at(START);
        Pair::new(Embedded::start_in(directory, Policy::default(), clock.clone()), clock, Split::None)
    });
}

#[test]
fn the_embedded_store_decides_as_the_engine_does() {
    embedded_like_engine(FAST, &fast_directory());
}

#[test]
fn the_embedded_store_decides_as_the_engine_does_on_a_real_disk() {
    embedded_like_engine(SLOW, &std::env::temp_dir());
}

/// Partitions know nothing of each other, so the engine that the store is compared with is one for each.
#[test]
fn the_redis_store_decides_as_the_engine_does() {
    let runtime = runtime();
    let server = runtime.block_on(Lossy::server());
    like_engine(FAST, REDIS_LIFE, &runtime, || {
        let clock = ManualClock::at(START);
        let store = runtime.block_on(Lossy::begin(&server, clock.clone()));
        Pair::new(store, clock, Split::Partitions)
    });
}
