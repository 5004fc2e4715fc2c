//! Doing what is due: each partition is published for by the replica that has its claim.
//!
//! Whoever decides learns when something is due in the partition, and asks for it to be done then. The script does it if this
//! replica has the claim, or nobody has; else it says until when another replica has it, and this one looks again after
//! that: a live owner has prolonged its claim by then, a dead one has not. Besides, every replica looks at all partitions
//! from time to time, so nothing depends on what a replica remembers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use seawall_model::Stopwatch;
use tokio::sync::Notify;

use super::link::LinkError;
use super::partition::Partition;
use super::store::Core;
use super::wire::{self, TickAnswer, TickCall};

/// Things done in one call: some milliseconds of the server.
const AT_ONCE: usize = 500;
/// Partitions that are served at the same time, beside the lanes' calls.
const SIDE_BY_SIDE: usize = 64;
/// Partitions that are looked at at the same time; there is no hurry.
const LOOKS: usize = 8;
/// How often to look at the clock when nothing wakes: it may be set, and in tests it stands still.
pub(super) const LOOK_AT_CLOCK: Duration = Duration::from_millis(200);
/// When to look again (milliseconds) whether whoever publishes takes more.
const LOOK_AGAIN: i64 = 200;
/// When to try again what could not be done.
const AGAIN: i64 = 1_000;
/// A look at a partition goes through one part in so many of its incidents, so through all of them within minutes.
const SWEPT_PART: usize = 20;
/// Incidents that one call goes through.
const SWEPT: usize = 256;

/// When which partition is to be served.
#[derive(Default)]
pub(super) struct Publisher {
    agenda: Mutex<Agenda>,
    woken: Notify,
}

#[derive(Default)]
struct Agenda {
    by_time: BTreeSet<(i64, Arc<str>)>,
    by_record: HashMap<Arc<str>, i64>,
}

impl Publisher {
    /// Notes that something is due in the partition of this record at that time (milliseconds).
    pub fn schedule(&self, record: &str, at: i64) {
        let mut agenda = self.agenda.lock();
        let known = agenda.by_record.get_key_value(record).map(|(record, at)| (Arc::clone(record), *at));
        let record = match known {
            Some((_, earlier)) if earlier <= at => return,
            Some((record, later)) => {
                agenda.by_time.remove(&(later, Arc::clone(&record)));
                record
            }
            None => record.into(),
        };
        let is_first = agenda.by_time.first().is_none_or(|(first, _)| at < *first);
        agenda.by_time.insert((at, Arc::clone(&record)));
        agenda.by_record.insert(record, at);
        if is_first {
            self.woken.notify_one();
        }
    }

    fn take_due(&self, now: i64) -> Vec<Arc<str>> {
        let mut agenda = self.agenda.lock();
        let later = agenda.by_time.split_off(&(now.saturating_add(1), "".into()));
        let due = std::mem::replace(&mut agenda.by_time, later);
        due.into_iter()
            .map(|(_, record)| {
                agenda.by_record.remove(&record);
                record
            })
            .collect()
    }

    fn next(&self) -> Option<i64> {
        self.agenda.lock().by_time.first().map(|(at, _)| *at)
    }

    /// Serves partitions when they are due, until the task is dropped.
    pub async fn run(core: Arc<Core>) {
        loop {
            let now = core.clock.now().as_millis();
            let due = core.publisher.take_due(now);
            let served: Vec<_> = due.into_iter().map(|record| core.serve(record)).collect();
            stream::iter(served).buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
            let wait = core.publisher.next().map_or(LOOK_AT_CLOCK, |at| {
                let left = at.saturating_sub(core.clock.now().as_millis()).max(0);
                Duration::from_millis(left.unsigned_abs()).min(LOOK_AT_CLOCK)
            });
            if !wait.is_zero() {
                let _ = tokio::time::timeout(wait, core.publisher.woken.notified()).await;
            }
        }
    }

    /// Looks at all partitions again and again, until the task is dropped.
    pub async fn look_around(core: Arc<Core>) {
        loop {
            let began = Stopwatch::start();
            if let Err(error) = core.look_slowly().await {
                tracing::debug!(error = %error.reason, "could not look at all partitions");
            }
            tokio::time::sleep(core.options.look.saturating_sub(began.elapsed())).await;
        }
    }
}

impl Core {
    async fn serve(&self, record: Arc<str>) {
        match self.tick(&record, self.asked(0, false)).await {
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = %error.reason, "what is due could not be done, it will be");
                self.publisher.schedule(&record, self.clock.now().as_millis() + AGAIN);
            }
        }
    }

    fn asked(&self, sweep: usize, look: bool) -> TickCall {
        let again = i64::try_from(crate::AGAIN.as_millis()).unwrap_or(i64::MAX);
        let tell = self.unpublished.room();
        TickCall { most: AT_ONCE, sweep, look, tell, again, release: false }
    }

    /// Does what is due in one partition, and notes when to come again.
    async fn tick(&self, record: &str, asked: TickCall) -> Result<TickAnswer, LinkError> {
        let rules = self.rules();
        let call = self.call(&rules.wire, asked);
        let value = self.run(&self.scripts.tick, record, &[&call], true).await?;
        let answer: TickAnswer = wire::decode(&wire::text(value)?)?;
        self.counters.lock().ticked(&answer);
        self.claims.note(record, answer.other_lease == 0);
        let now = self.clock.now().as_millis();
        let next = if answer.more { now } else { answer.other_lease.max(answer.due) };
        if next != 0 {
            self.publisher.schedule(record, next);
        }
        if answer.untold {
            self.publisher.schedule(record, now + LOOK_AGAIN);
        }
        self.unpublished.tell(&answer.told)?;
        Ok(answer)
    }

    /// A few partitions at a time, so that a look takes about as long as there is until the next one.
    async fn look_slowly(&self) -> Result<(), LinkError> {
        let partitions = self.registered_by_and_by().await?;
        let parts = u32::try_from(partitions.len().div_ceil(LOOKS)).unwrap_or(u32::MAX).max(1);
        let rest = self.options.look / 2 / parts;
        for part in partitions.chunks(LOOKS) {
            let looks: Vec<_> =
                part.iter().map(|(it, noted)| self.look_at(it.clone(), *noted, None)).collect();
            stream::iter(looks).buffer_unordered(LOOKS).try_collect::<()>().await?;
            tokio::time::sleep(rest).await;
        }
        Ok(())
    }

    /// Does what is due everywhere, and lets go of what is over among so many incidents of each partition.
    pub(super) async fn look_at_all(&self, sweep: usize) -> Result<(), LinkError> {
        let partitions = self.registered().await?;
        // Made before they are run: a stream that makes them as it goes would not be `Send`.
        let looks: Vec<_> = partitions
            .into_iter()
            .map(|(partition, noted)| self.look_at(partition, noted, Some(sweep)))
            .collect();
        stream::iter(looks).buffer_unordered(SIDE_BY_SIDE).try_collect().await
    }

    async fn look_at(&self, partition: Partition, noted: i64, sweep: Option<usize>) -> Result<(), LinkError> {
        let record = self.keys.record(&partition);
        let (mut look, mut looked) = (true, 0);
        loop {
            let asked = self.asked(sweep.unwrap_or(SWEPT), look);
            let answer = self.tick(&record, asked).await?;
            if !answer.exists {
                return self.forget_partition(&partition, noted).await;
            }
            looked += SWEPT;
            look = false;
            let enough = sweep.is_some() || answer.other_lease != 0 || looked >= answer.size / SWEPT_PART;
            if enough && !answer.more {
                return Ok(());
            }
        }
    }

    /// Gives back the claims of this replica, so that nobody has to wait until they are over.
    pub(super) async fn release_claims(&self) {
        let release: Vec<_> = self.claims.all().into_iter().map(|record| self.release(record)).collect();
        stream::iter(release).buffer_unordered(SIDE_BY_SIDE).collect::<()>().await;
    }

    async fn release(&self, record: Arc<str>) {
        let asked = TickCall { release: true, ..self.asked(0, false) };
        let call = self.call(&self.rules().wire, asked);
        // Whoever comes next waits for the lease if this fails.
        let _ = self.run(&self.scripts.tick, &record, &[&call], true).await;
    }
}

/// The partitions this replica has a claim on, as far as it knows.
#[derive(Default)]
pub(super) struct Claims(Mutex<std::collections::HashSet<Arc<str>>>);

impl Claims {
    pub fn note(&self, record: &str, mine: bool) {
        let mut held = self.0.lock();
        match (mine, held.contains(record)) {
            (true, false) => drop(held.insert(record.into())),
            (false, true) => drop(held.remove(record)),
            _ => {}
        }
    }

    pub fn has(&self, record: &str) -> bool {
        self.0.lock().contains(record)
    }

    fn all(&self) -> Vec<Arc<str>> {
        self.0.lock().iter().cloned().collect()
    }
}
