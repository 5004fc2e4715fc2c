//! The store itself: what its parts share, and the trait.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use seawall_model::{Clock, Decision, Fingerprint, Policy, RequestRef, Signal, Stopwatch};
use serde::Serialize;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::Counters;
use super::feed::Feed;
use super::lane::{self, Job, Lanes, Rules};
use super::link::{LinkError, Links, Script};
use super::partition::{Keys, Partition};
use super::publisher::{Claims, Publisher};
use super::registry::Noted;
use super::scripts::Scripts;
use super::unpublished::Unpublished;
use super::wire::{self, Call, Item, PolicyWire};
use super::{RETRY_AFTER, RedisOptions};
use crate::{
    Change, Explanation, Failure, Health, Page, Placement, RequestFilter, RequestPage, RequestRecord,
    SharedLimits, StateStore, Stats, StatusPatch, StoreError, StoreFuture, StormDetail, StormPage,
};

/// More than a partition should ever hold.
const EVERYTHING: usize = 1 << 30;

/// What everything that runs for one store shares.
pub(super) struct Core {
    pub options: Arc<RedisOptions>,
    pub clock: Arc<dyn Clock>,
    pub links: Arc<Links>,
    pub scripts: Scripts,
    pub keys: Keys,
    /// Names this replica; another one after every start.
    pub replica: String,
    rules: Mutex<Arc<Rules>>,
    pub lanes: Lanes,
    pub publisher: Publisher,
    pub claims: Claims,
    pub noted: Noted,
    /// Which replica was here first; another one once the server has lost its data.
    pub born: Mutex<Option<String>>,
    pub feed: Feed,
    pub counters: Mutex<Counters>,
    /// What is in the state, as of the last look.
    pub gauges: Mutex<Stats>,
    pub tasks: TaskTracker,
    /// The lanes, which end when they have done what they were given.
    pub lane_tasks: TaskTracker,
    pub unpublished: Unpublished,
    /// Whether the open requests outside have to be taken over first.
    pub incomplete: watch::Sender<bool>,
    /// By which name they were taken over last.
    pub adopted: Mutex<Option<String>>,
    /// Calls of lanes that may be on their way at the same time.
    pub on_the_way: Semaphore,
}

impl Core {
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock())
    }

    /// The first argument of a script that changes state.
    pub fn call<T: Serialize>(&self, policy: &PolicyWire, asked: T) -> Vec<u8> {
        wire::encode(&Call {
            now: self.clock.now().as_millis(),
            replica: &self.replica,
            lease: i64::try_from(self.options.lease.as_millis()).unwrap_or(i64::MAX),
            channel: &self.keys.channel(),
            policy,
            asked,
        })
    }
}

/// The standard library's hasher is seeded from the system's randomness; names need to differ, not to be secret.
pub(super) fn random_name() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// How long to wait before a call is repeated.
const AGAIN: Duration = Duration::from_millis(20);

impl Core {
    /// Runs a script. A call whose answer got lost is repeated as long as its caller waits: all scripts may be run again.
    pub async fn run(
        &self,
        script: &Script,
        record: &str,
        args: &[&[u8]],
        writes: bool,
    ) -> Result<redis::Value, LinkError> {
        let began = Stopwatch::start();
        loop {
            match self.links.run(script, record, args, writes).await {
                Err(error) if self.may_repeat(&error, began) => tokio::time::sleep(AGAIN).await,
                outcome => return outcome,
            }
        }
    }

    /// Sends commands, all of which may be sent again.
    pub async fn pipe(&self, pipeline: &redis::Pipeline, key: &str) -> Result<Vec<redis::Value>, LinkError> {
        let began = Stopwatch::start();
        loop {
            match self.links.pipe(pipeline, key).await {
                Err(error) if self.may_repeat(&error, began) => tokio::time::sleep(AGAIN).await,
                outcome => return outcome,
            }
        }
    }

    fn may_repeat(&self, error: &LinkError, began: Stopwatch) -> bool {
        let passes = matches!(error.class, Failure::Reset | Failure::ClusterDown | Failure::NotReplicated);
        passes && began.elapsed() + AGAIN < self.options.timeout
    }
}

/// State in Redis or Valkey, shared by any number of replicas.
pub struct RedisStore {
    core: Arc<Core>,
    closed: AtomicBool,
    stop: CancellationToken,
}

impl RedisStore {
    /// Connects and looks at what is there.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the server cannot promise what was asked of it, or has state that these rules cannot
    /// go on with; [`StoreError::Unavailable`] when it cannot be reached.
    pub async fn open(
        options: RedisOptions,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let (options, tasks, stop) = (Arc::new(options), TaskTracker::new(), CancellationToken::new());
        let links = Links::open(Arc::clone(&options), &tasks, stop.clone()).await?;
        let connections = options.connections.max(1);
        let core = Arc::new(Core {
            keys: Keys::new(&options.key_prefix),
            options,
            clock,
            links,
            scripts: Scripts::new(),
            replica: random_name(),
            rules: Mutex::new(Rules::new(policy)),
            lanes: Lanes::default(),
            publisher: Publisher::default(),
            claims: Claims::default(),
            noted: Noted::default(),
            born: Mutex::default(),
            feed: Feed::default(),
            counters: Mutex::default(),
            gauges: Mutex::default(),
            tasks,
            lane_tasks: TaskTracker::new(),
            unpublished: Unpublished::default(),
            incomplete: watch::Sender::new(false),
            adopted: Mutex::default(),
            on_the_way: Semaphore::new(connections * lane::AT_ONCE),
        });
        core.check_birth().await?;
        core.check_whole().await?;
        core.check_partitions().await?;
        let until = |task: futures_util::future::BoxFuture<'static, ()>| {
            let stop = stop.clone();
            core.tasks.spawn(async move { stop.run_until_cancelled(task).await });
        };
        until(Box::pin(Feed::run(Arc::clone(&core))));
        until(Box::pin(Publisher::run(Arc::clone(&core))));
        until(Box::pin(Publisher::look_around(Arc::clone(&core))));
        until(Box::pin(Arc::clone(&core).keep_stats()));
        let store = Arc::new(Self { core, closed: AtomicBool::new(false), stop });
        // From here on watchers are told everything.
        store.core.barrier().await?;
        Ok(store)
    }

    /// Does everything that is due now, in every partition, and returns when the watchers of this replica have been told.
    /// It is done without being asked for, sooner or later; this is for those who cannot wait.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server does not answer.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        self.core.look_at_all(EVERYTHING).await?;
        Ok(self.core.barrier().await?)
    }

    pub(super) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Relaxed) { Err(closed()) } else { Ok(()) }
    }

    /// Sends each signal to the lane of its partition; the answers come in the order of the signals.
    fn send(&self, signals: Vec<Signal>) -> Result<Vec<Sent>, StoreError> {
        self.check_open()?;
        let rules = self.core.rules();
        let mut parts: Vec<(Partition, Vec<Item>, Vec<usize>)> = Vec::new();
        let mut places: HashMap<Partition, usize> = HashMap::new();
        for (nth, signal) in signals.into_iter().enumerate() {
            let partition = Partition::of(&rules.policy, &signal);
            let place = *places.entry(partition.clone()).or_insert_with(|| {
                parts.push((partition, Vec::new(), Vec::new()));
                parts.len() - 1
            });
            parts[place].1.push(Item::new(&rules.policy, signal));
            parts[place].2.push(nth);
        }
        let send = |(partition, items, order)| {
            let (reply, answer) = oneshot::channel();
            let rules = Arc::clone(&rules);
            self.core.lanes.send(&self.core, partition, Job { rules, items, reply })?;
            Ok(Sent { order, answer })
        };
        parts.into_iter().map(send).collect()
    }
}

/// The part of a batch that went to one partition.
struct Sent {
    /// Places in the batch.
    order: Vec<usize>,
    answer: oneshot::Receiver<Result<Vec<Decision>, StoreError>>,
}

fn closed() -> StoreError {
    StoreError::Unavailable {
        class: Failure::Closed,
        reason: "it is closed".to_owned(),
        retry_after: RETRY_AFTER,
    }
}

async fn decisions_of(sent: Vec<Sent>) -> Result<Vec<Decision>, StoreError> {
    let answers = sent.into_iter().map(|Sent { order, answer }| async move {
        let decisions = answer.await.map_err(|_| closed())??;
        Ok::<_, StoreError>(order.into_iter().zip(decisions).collect::<Vec<_>>())
    });
    let mut decisions: Vec<(usize, Decision)> = try_join_all(answers).await?.into_iter().flatten().collect();
    decisions.sort_by_key(|(nth, _)| *nth);
    Ok(decisions.into_iter().map(|(_, decision)| decision).collect())
}

impl StateStore for RedisStore {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn decide(&self, signals: Vec<Signal>) -> StoreFuture<'_, Vec<Decision>> {
        Box::pin(async move { decisions_of(self.send(signals)?).await })
    }

    fn requests(&self, filter: RequestFilter, page: Page) -> StoreFuture<'_, RequestPage> {
        Box::pin(async move {
            self.check_open()?;
            self.core.list(filter, page).await
        })
    }

    fn request(&self, reference: RequestRef) -> StoreFuture<'_, RequestRecord> {
        Box::pin(async move {
            self.check_open()?;
            self.core.get(reference).await
        })
    }

    fn patch_status(&self, reference: RequestRef, patch: StatusPatch) -> StoreFuture<'_, RequestRecord> {
        Box::pin(async move {
            self.check_open()?;
            Arc::clone(&self.core).patch(reference, patch).await
        })
    }

    fn storms(&self, page: Page) -> StoreFuture<'_, StormPage> {
        Box::pin(async move {
            self.check_open()?;
            self.core.storms(page).await
        })
    }

    fn storm(&self, id: String, members: Page) -> StoreFuture<'_, StormDetail> {
        Box::pin(async move {
            self.check_open()?;
            self.core.storm(id, members).await
        })
    }

    fn explain(&self, fingerprint: Fingerprint) -> StoreFuture<'_, Explanation> {
        Box::pin(async move {
            self.check_open()?;
            self.core.explain(fingerprint).await
        })
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.core.feed.changes.subscribe()
    }

    fn unpublished(&self) -> Option<mpsc::Receiver<RequestRef>> {
        self.core.unpublished.take()
    }

    fn placed(&self, reference: RequestRef, placement: Placement) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.check_open()?;
            self.core.place(&reference, &placement).await
        })
    }

    fn placements(&self) -> broadcast::Receiver<RequestRef> {
        self.core.feed.placements.subscribe()
    }

    fn deleted(&self, reference: RequestRef) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            self.check_open()?;
            self.core.withdraw(reference).await
        })
    }

    fn incomplete(&self) -> watch::Receiver<bool> {
        self.core.incomplete.subscribe()
    }

    fn adopt(&self, open: Vec<RequestRecord>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.check_open()?;
            self.core.adopt(open).await
        })
    }

    fn shared_limits(self: Arc<Self>) -> Option<Arc<dyn SharedLimits>> {
        Some(self)
    }

    fn health(&self) -> Health {
        match self.check_open() {
            Ok(()) => self.core.health(),
            Err(_) => Health { available: false, reason: Some("it is closed".to_owned()) },
        }
    }

    fn stats(&self) -> Arc<Stats> {
        self.core.stats()
    }

    fn set_policy(&self, policy: Arc<Policy>) {
        *self.core.rules.lock() = Rules::new(policy);
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            if self.closed.swap(true, Ordering::Relaxed) {
                return Ok(());
            }
            self.core.lanes.close();
            self.core.lane_tasks.close();
            self.core.lane_tasks.wait().await;
            self.core.release_claims().await;
            self.stop.cancel();
            self.core.tasks.close();
            self.core.tasks.wait().await;
            Ok(())
        })
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
