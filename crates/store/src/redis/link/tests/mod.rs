//! The connections against real servers.

mod alone;
mod cluster;
mod durability;
mod outages;
mod sentinel;
mod start;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use redis::{Pipeline, Value};
use seawall_testkit::redis::RedisServer;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{LinkError, Links, Script};
use crate::redis::RedisOptions;
use crate::{Failure, StoreError};

/// Long against what a loaded machine takes, for things that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Counts how often it ran.
const COUNT: &str = "redis.call('INCR', KEYS[1]); redis.call('PEXPIRE', KEYS[1], 60000); return ARGV[1]";

/// A key that does not expire before the test is over.
const KEY: &str = "seawall:1:{eu/prod}:count";

/// Links with what they run on.
struct Linked {
    links: Arc<Links>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Linked {
    async fn open(options: RedisOptions) -> Result<Self, StoreError> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let links = Links::open(Arc::new(options), &tasks, stop.clone()).await?;
        Ok(Self { links, tasks, stop })
    }

    async fn to(server: &RedisServer) -> Self {
        Self::open(RedisOptions::standalone(&server.url())).await.unwrap()
    }

    async fn count(&self) -> Result<Value, LinkError> {
        self.links.run(&Script::new(COUNT), KEY, &[b"done"], true).await
    }

    /// Waits until calls succeed again.
    async fn recovered(&self) {
        seawall_testkit::eventually(PATIENCE, || async {
            self.count().await.map_err(|error| error.reason).and_then(|_| {
                let health = self.links.health();
                if health.available { Ok(()) } else { Err("calls succeed, yet it is unavailable".to_owned()) }
            })
        })
        .await;
    }

    /// Ends everything; nothing may stay behind.
    async fn close(self) {
        self.stop.cancel();
        drop(self.links);
        self.tasks.close();
        tokio::time::timeout(PATIENCE, self.tasks.wait()).await.expect("all tasks end with the store");
    }
}

fn done() -> Value {
    Value::BulkString(b"done".to_vec())
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn command(words: &[&str]) -> Pipeline {
    let mut pipeline = Pipeline::new();
    let (name, args) = words.split_first().unwrap();
    pipeline.cmd(name);
    for arg in args {
        pipeline.arg(*arg);
    }
    pipeline
}

async fn refusal(options: RedisOptions) -> String {
    match Linked::open(options).await {
        Err(StoreError::Refused { reason }) => reason,
        Err(other) => panic!("not refused for good: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

async fn unavailable(options: RedisOptions) -> Failure {
    match Linked::open(options).await {
        Err(StoreError::Unavailable { class, .. }) => class,
        Err(other) => panic!("not unavailable: {other}"),
        Ok(_) => panic!("not unavailable"),
    }
}
