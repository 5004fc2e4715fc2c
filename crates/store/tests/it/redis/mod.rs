//! The store on a real Redis under test, and what only this store does.

mod cluster;
mod durability;
mod faults;
mod keys;
mod limits;
mod losses;
mod replicas;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_model::{ManualClock, Policy};
use seawall_store::{RedisOptions, RedisStore, StateStore};
use seawall_testkit::redis::{Engine, LossyWire, RedisServer};
use tempfile::TempDir;

use crate::support::{StoreUnderTest, eventually};

pub struct Redis {
    pub store: Arc<RedisStore>,
    pub server: RedisServer,
    clock: ManualClock,
    options: RedisOptions,
    /// The server's directory.
    _directory: TempDir,
}

/// For tests that turn the clock: what is due is done soon after, and whoever takes over does not wait for a lease
/// that never ends. Deadlines are those of a loaded machine.
pub fn patient(url: &str) -> RedisOptions {
    RedisOptions {
        lease: Duration::ZERO,
        look: Duration::from_millis(200),
        timeout: Duration::from_secs(20),
        ..RedisOptions::standalone(url)
    }
}

impl Redis {
    pub async fn start_on(
        server: RedisServer,
        directory: TempDir,
        policy: Policy,
        clock: ManualClock,
    ) -> Self {
        let options = patient(&server.url());
        let store = open(&options, &policy, &clock).await;
        Self { store, server, clock, options, _directory: directory }
    }
}

async fn open(options: &RedisOptions, policy: &Policy, clock: &ManualClock) -> Arc<RedisStore> {
    RedisStore::open(options.clone(), Arc::new(policy.clone()), Arc::new(clock.clone()))
        .await
        .expect("a server that runs can be used")
}

impl StoreUnderTest for Redis {
    async fn start(policy: Policy, clock: ManualClock) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = RedisServer::start_in(directory.path(), "redis").await;
        Self::start_on(server, directory, policy, clock).await
    }

    fn store(&self) -> Arc<dyn StateStore> {
        self.store.clone()
    }

    async fn crash_and_restart(&mut self, policy: &Policy) {
        self.store = open(&self.options, policy, &self.clock).await;
        // The dead one's claims are over, for the lease is nothing: this one takes them.
        self.settle().await;
    }

    async fn restart(&mut self, policy: &Policy) {
        self.store.close().await.expect("the store closes");
        self.store = open(&self.options, policy, &self.clock).await;
    }

    /// The server has nothing any more, and the replica is another one.
    async fn lose(&mut self, policy: &Policy) {
        self.server.flush_all();
        self.store = open(&self.options, policy, &self.clock).await;
    }

    async fn settle(&self) {
        self.store.catch_up().await.expect("the store answers");
    }
}

/// A server behind a line that loses answers when asked to.
pub struct Line {
    server: RedisServer,
    wire: LossyWire,
    /// Stores that have been begun: each has keys of its own.
    begun: AtomicU64,
    _directory: TempDir,
}

/// A store whose clock only the test turns, which does nothing but what it is asked for, on a line that loses answers.
pub struct Lossy<'a> {
    store: Arc<RedisStore>,
    clock: ManualClock,
    options: RedisOptions,
    line: &'a Line,
}

impl Lossy<'_> {
    pub async fn server() -> Line {
        let directory = tempfile::tempdir().unwrap();
        let server = RedisServer::start_in(directory.path(), "redis").await;
        let wire = LossyWire::start(server.port()).await;
        Line { server, wire, begun: AtomicU64::new(0), _directory: directory }
    }

    pub async fn begin(line: &Line, clock: ManualClock) -> Lossy<'_> {
        line.server.flush_all();
        let begun = line.begun.fetch_add(1, Ordering::Relaxed);
        let options = RedisOptions {
            look: Duration::from_secs(3600),
            key_prefix: format!("store-{begun}"),
            ..patient(&line.wire.url())
        };
        let store = open(&options, &Policy::default(), &clock).await;
        Lossy { store, clock, options, line }
    }
}

impl StoreUnderTest for Lossy<'_> {
    async fn start(_policy: Policy, _clock: ManualClock) -> Self {
        unreachable!("a store on a line begins with it")
    }

    fn store(&self) -> Arc<dyn StateStore> {
        self.store.clone()
    }

    async fn crash_and_restart(&mut self, policy: &Policy) {
        self.store = open(&self.options, policy, &self.clock).await;
        self.settle().await;
    }

    async fn restart(&mut self, policy: &Policy) {
        self.store.close().await.expect("the store closes");
        self.store = open(&self.options, policy, &self.clock).await;
    }

    /// The replica goes on; it is the server that has nothing any more.
    async fn lose(&mut self, _: &Policy) {
        self.line.server.flush_all();
    }

    async fn settle(&self) {
        eventually("the store answers", async || self.store.catch_up().await).await;
    }

    async fn lose_answer(&self) {
        self.line.wire.lose_next_answer();
    }
}

/// The same store on a current Valkey.
pub struct Valkey(Redis);

impl StoreUnderTest for Valkey {
    async fn start(policy: Policy, clock: ManualClock) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = RedisServer::builder(directory.path(), "valkey").engine(Engine::Valkey).start().await;
        Self(Redis::start_on(server, directory, policy, clock).await)
    }

    fn store(&self) -> Arc<dyn StateStore> {
        self.0.store()
    }

    async fn crash_and_restart(&mut self, policy: &Policy) {
        self.0.crash_and_restart(policy).await;
    }

    async fn restart(&mut self, policy: &Policy) {
        self.0.restart(policy).await;
    }

    async fn lose(&mut self, policy: &Policy) {
        self.0.lose(policy).await;
    }

    async fn settle(&self) {
        self.0.settle().await;
    }
}
