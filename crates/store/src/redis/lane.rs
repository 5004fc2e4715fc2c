//! The way of signals to one partition.
//!
//! A replica has one call at a time on its way to a partition. While it is on its way, the next signals gather; the more
//! there is to do, the more signals share a call. So the last operation is all that the server has to remember of a replica:
//! a call whose answer was lost is repeated with the same number and gives the same answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::{Decision, DecisionKind, Policy, Stopwatch};
use tokio::sync::{mpsc, oneshot};

use super::adopt::Beginning;
use super::link::LinkError;
use super::partition::Partition;
use super::store::Core;
use super::wire::{self, DecideAnswer, DecideCall, Item, PolicyWire};
use crate::{Failure, StoreError};

/// Signals in one call: a few milliseconds of the server, which serves nobody else meanwhile.
const CALL_SIGNALS: usize = 128;
/// Calls that may wait for one partition: each is one HTTP request, of which the edge admits 1024 at once by default.
const QUEUE: usize = 1024;
/// Calls on their way at the same time over one connection: enough to keep the server busy, and few enough that each is
/// answered long before its deadline, which begins when it is sent.
pub(super) const AT_ONCE: usize = 16;
/// How long a lane without work is kept.
const IDLE: Duration = Duration::from_secs(30);

/// By which rules signals are decided, as the model and as the scripts read them.
pub(super) struct Rules {
    pub policy: Arc<Policy>,
    pub wire: PolicyWire,
}

impl Rules {
    pub fn new(policy: Arc<Policy>) -> Arc<Self> {
        let wire = PolicyWire::from(policy.as_ref());
        Arc::new(Self { policy, wire })
    }
}

pub(super) struct Job {
    pub rules: Arc<Rules>,
    pub items: Vec<Item>,
    pub reply: oneshot::Sender<Result<Vec<Decision>, StoreError>>,
}

/// The lanes of this replica.
#[derive(Default)]
pub(super) struct Lanes {
    open: Mutex<HashMap<Partition, mpsc::Sender<Job>>>,
    /// Numbers of operations grow over the whole replica, so that a lane that is opened again goes on above the last one.
    operations: AtomicU64,
}

impl Lanes {
    /// Hands signals to the lane of their partition, which is opened if there is none.
    pub fn send(&self, core: &Arc<Core>, partition: Partition, job: Job) -> Result<(), StoreError> {
        let mut open = self.open.lock();
        let job = match open.get(&partition) {
            None => job,
            Some(lane) => match lane.try_send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => return Err(saturated()),
                Err(mpsc::error::TrySendError::Closed(job)) => job,
            },
        };
        let (lane, queue) = mpsc::channel(QUEUE);
        if lane.try_send(job).is_err() {
            return Err(saturated());
        }
        open.insert(partition.clone(), lane);
        let lane = Lane { core: Arc::clone(core), record: core.keys.record(&partition), partition, queue };
        core.lane_tasks.spawn(lane.run());
        Ok(())
    }

    /// Closes a lane that has nothing to do. Whoever sends holds the lock, so nothing can get lost between.
    fn retire(&self, partition: &Partition, queue: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let mut open = self.open.lock();
        match queue.try_recv() {
            Ok(job) => Some(job),
            Err(_) => {
                open.remove(partition);
                None
            }
        }
    }

    /// Lets every lane end once it has done what it was given.
    pub fn close(&self) {
        self.open.lock().clear();
    }
}

fn saturated() -> StoreError {
    StoreError::Saturated { retry_after: super::RETRY_AFTER }
}

struct Lane {
    core: Arc<Core>,
    partition: Partition,
    record: String,
    queue: mpsc::Receiver<Job>,
}

impl Lane {
    async fn run(mut self) {
        let mut first = self.next().await;
        while let Some(job) = first.take() {
            let mut jobs = vec![job];
            let mut signals = jobs[0].items.len();
            // Others that wait come along, as long as they are decided by the same rules and fit.
            while signals < CALL_SIGNALS
                && let Ok(job) = self.queue.try_recv()
            {
                signals += job.items.len();
                if signals > CALL_SIGNALS || !Arc::ptr_eq(&job.rules, &jobs[0].rules) {
                    first = Some(job);
                    break;
                }
                jobs.push(job);
            }
            self.serve(jobs).await;
            if first.is_none() {
                first = self.next().await;
            }
        }
    }

    async fn next(&mut self) -> Option<Job> {
        match tokio::time::timeout(IDLE, self.queue.recv()).await {
            Ok(job) => job,
            Err(_) => self.core.lanes.retire(&self.partition, &mut self.queue),
        }
    }

    async fn serve(&self, jobs: Vec<Job>) {
        let rules = Arc::clone(&jobs[0].rules);
        let (mut items, mut replies) = (Vec::new(), Vec::new());
        for job in jobs {
            replies.push((job.items.len(), job.reply));
            items.extend(job.items);
        }
        match self.decide_all(&rules, &items).await {
            Ok(mut decisions) => {
                for (count, reply) in replies {
                    let rest = decisions.split_off(count.min(decisions.len()));
                    // A caller that has gone away does not mind.
                    let _ = reply.send(Ok(std::mem::replace(&mut decisions, rest)));
                }
            }
            Err(error) => {
                let error = StoreError::from(error);
                replies.into_iter().for_each(|(_, reply)| drop(reply.send(Err(error.clone()))));
            }
        }
    }

    /// Decides in as many calls as it takes. When one fails the whole is not acknowledged, though what was decided stays.
    async fn decide_all(&self, rules: &Rules, items: &[Item]) -> Result<Vec<Decision>, LinkError> {
        let mut decisions = Vec::with_capacity(items.len());
        for part in items.chunks(CALL_SIGNALS) {
            decisions.extend(self.decide_known(rules, part).await?);
        }
        Ok(decisions)
    }

    /// A partition that is not there is begun only when nothing can have been lost with it.
    async fn decide_known(&self, rules: &Rules, items: &[Item]) -> Result<Vec<Decision>, LinkError> {
        let mut looks = 0;
        let mut begin = false;
        loop {
            match self.decide(rules, items, begin).await {
                Err(error) if error.class == Failure::Incomplete => {
                    let beginning = self.core.begin(&self.partition, looks).await?;
                    begin = matches!(beginning, Beginning::Begin);
                    looks += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn decide(&self, rules: &Rules, items: &[Item], begin: bool) -> Result<Vec<Decision>, LinkError> {
        // For one call: who waits for something else than the server takes no turn. The semaphore is never closed.
        let _turn = self.core.on_the_way.acquire().await.ok();
        self.core.register(&self.partition).await?;
        let op = self.core.lanes.operations.fetch_add(1, Ordering::Relaxed) + 1;
        let asked = DecideCall {
            op,
            remember: i64::try_from(self.core.options.remember_answers.as_millis()).unwrap_or(i64::MAX),
            cluster: &self.partition.cluster,
            begin,
            signals: items.iter().map(|item| &item.wire).collect(),
        };
        let call = self.core.call(&rules.wire, asked);
        let fingerprints: Vec<u8> = items.iter().flat_map(|item| *item.fingerprint.as_bytes()).collect();
        let mut args: Vec<&[u8]> = vec![&call, &fingerprints];
        args.extend(items.iter().map(|item| item.doc.as_slice()));
        let began = Stopwatch::start();
        let value = self.core.run(&self.core.scripts.decide, &self.record, &args, true).await?;
        let answer: DecideAnswer = wire::decode(&wire::text(value)?)?;
        let decisions = answer.decisions(items)?;
        self.core.counters.lock().decided(&answer, firing(&decisions), began.elapsed());
        if begin {
            self.core.noted.born(&self.partition);
        }
        self.core.claims.note(&self.record, answer.other_lease == 0);
        if answer.due != 0 {
            self.core.publisher.schedule(&self.record, answer.due.max(answer.other_lease));
        }
        Ok(decisions)
    }
}

fn firing(decisions: &[Decision]) -> usize {
    decisions.iter().filter(|decision| decision.kind != DecisionKind::Resolved).count()
}
