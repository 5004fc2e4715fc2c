//! The one thread that decides and writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use seawall_engine::{Engine, Publication, PublicationKind};
use seawall_model::{Clock, Decision, DecisionKind, Policy, RequestRef, Stopwatch, Timestamp};
use tokio::sync::mpsc;

use super::disk::{Disk, Extra, classify, prepare, probe};
use super::job::{Job, Reply};
use super::lock::DirectoryLock;
use super::retention::Retention;
use super::unpublished::Unpublished;
use super::{RETRY_AFTER, Shared, adopt, status};
use crate::{Change, ChangeKind, Failure, Health, Stats, StoreError};

/// Signals in one commit: some milliseconds of deciding, so that nobody waits for long behind others.
const BATCH_SIGNALS: usize = 16_384;
/// How long the writer sleeps when nothing is due and nobody calls.
const IDLE: Duration = Duration::from_millis(200);
/// Incidents looked at per millisecond for whether they may leave memory: a million in less than a minute, for under
/// one percent of a core.
const SWEEP_PER_MILLISECOND: i64 = 20;
/// At most so many at once, so that a sweep never holds up a commit.
const SWEEP_AT_ONCE: i64 = 4096;
/// How often the numbers for people are brought up to date.
const STATS: Duration = Duration::from_millis(100);
/// How often to try whether a broken disk takes writes again.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    directory: PathBuf,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// None while the disk is broken.
    live: Option<Live>,
    publisher: mpsc::Sender<RequestRef>,
    stats: Stats,
    /// Requests that were held after the last commit.
    held: usize,
    last_sweep: Timestamp,
    last_stats: Stopwatch,
    _lock: DirectoryLock,
}

/// The state and the disk it is equal to after every commit.
pub(super) struct Live {
    pub(super) engine: Engine,
    pub(super) disk: Disk,
    retention: Retention,
    pub(super) unpublished: Unpublished,
    /// Whether there may be requests outside that the state does not know.
    pub(super) incomplete: bool,
}

/// Answers that wait for the commit.
#[derive(Default)]
struct Answers {
    decided: Vec<(Reply<Vec<Decision>>, Vec<Decision>)>,
    patched: Vec<(Reply<()>, Result<(), StoreError>)>,
    placed: Vec<(Reply<()>, RequestRef)>,
    deleted: Vec<(Reply<bool>, Result<bool, StoreError>)>,
    reads: Vec<Job>,
    /// Requests that were taken over from outside.
    adopted: usize,
    signals: u64,
    close: Option<Reply<()>>,
}

impl Writer {
    pub(super) fn open(
        directory: PathBuf,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        publisher: mpsc::Sender<RequestRef>,
    ) -> Result<Self, StoreError> {
        let lock = prepare(&directory)?;
        let now = clock.now();
        let mut writer = Self {
            directory,
            shared,
            clock,
            live: None,
            publisher,
            stats: Stats::default(),
            held: 0,
            last_sweep: now,
            last_stats: Stopwatch::start(),
            _lock: lock,
        };
        writer.recover()?;
        Ok(writer)
    }

    fn recover(&mut self) -> Result<(), StoreError> {
        let stopwatch = Stopwatch::start();
        let (disk, engine) = Disk::recover(&self.directory)?;
        tracing::info!(
            directory = %self.directory.display(),
            incidents = engine.incidents(),
            storms = engine.storms(),
            epoch = disk.epoch,
            milliseconds = stopwatch.elapsed().as_millis() as u64,
            "state recovered"
        );
        *self.shared.tables.lock() = Some(disk.tables.clone());
        self.held = engine.held();
        let mut unpublished = Unpublished::new(self.publisher.clone());
        let policy = Arc::clone(&self.shared.policy.lock());
        unpublished.compare(&disk.tables, &engine, &policy)?;
        let incomplete = policy.published && !disk.tables.is_whole()?;
        self.shared.set_incomplete(incomplete);
        self.live = Some(Live { engine, disk, retention: Retention::default(), unpublished, incomplete });
        self.publish_stats();
        Ok(())
    }

    /// Serves until everybody who could call is gone, or somebody closes the store.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match jobs.recv_timeout(self.patience()) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.close(None),
            };
            let Some(live) = &mut self.live else {
                if self.wait_for_disk(jobs, first) {
                    continue;
                }
                return;
            };
            let policy = Arc::clone(&self.shared.policy.lock());
            let now = self.clock.now();
            let sweep = ((now - self.last_sweep) * SWEEP_PER_MILLISECOND).clamp(0, SWEEP_AT_ONCE);
            // After the clock was set back, sweeping goes on from there.
            if sweep > 0 || now < self.last_sweep {
                self.last_sweep = now;
            }
            let mut answers = Answers::default();
            let round =
                AssertUnwindSafe(|| live.round(first, jobs, &policy, now, sweep as usize, &mut answers));
            let outcome = catch_unwind(round).unwrap_or_else(|_| {
                Err(StoreError::Unavailable {
                    class: Failure::Disk,
                    reason: "an internal error interrupted a decision; the state is rebuilt from disk"
                        .to_owned(),
                    retry_after: RETRY_AFTER,
                })
            });
            match outcome {
                Ok(done) => {
                    if let Some(reply) = self.answer(answers, done, &policy, now) {
                        return self.close(Some(reply));
                    }
                }
                Err(error) => self.break_down(answers, &error),
            }
        }
    }

    /// How long to wait for a call before looking at what is due.
    fn patience(&self) -> Duration {
        let due = self.live.as_ref().and_then(|live| live.engine.next_due());
        let Some(due) = due else { return IDLE };
        let until = u64::try_from(due - self.clock.now()).unwrap_or(0);
        Duration::from_millis(until.max(1)).min(IDLE)
    }

    /// Tells everybody what happened, after the commit. Hands back whom to tell that the store is closed.
    fn answer(&mut self, answers: Answers, done: Done, policy: &Policy, now: Timestamp) -> Option<Reply<()>> {
        self.count(&answers, &done);
        if answers.adopted > 0 {
            self.stats.state_losses += 1;
            tracing::warn!(requests = answers.adopted, "open requests were taken over from the cluster");
        }
        if let Some(live) = &self.live
            && live.incomplete != *self.shared.incomplete.borrow()
        {
            self.shared.set_incomplete(live.incomplete);
        }
        for change in done.changes {
            // Nobody may be watching.
            let _ = self.shared.changes.send(change);
        }
        for (reply, decisions) in answers.decided {
            // Whoever asked may be gone; the decision stands.
            let _ = reply.send(Ok(decisions));
        }
        for (reply, outcome) in answers.patched {
            let _ = reply.send(outcome);
        }
        for (reply, outcome) in answers.deleted {
            let _ = reply.send(outcome);
        }
        for (reply, reference) in answers.placed {
            let _ = self.shared.placements.send(reference);
            let _ = reply.send(Ok(()));
        }
        if let Some(live) = &self.live {
            for job in answers.reads {
                super::reader::answer(job, &live.engine, policy, live.disk.sequence(), now);
            }
        }
        if self.last_stats.elapsed() >= STATS {
            self.publish_stats();
        }
        answers.close
    }

    fn count(&mut self, answers: &Answers, done: &Done) {
        for change in &done.changes {
            match change.kind {
                ChangeKind::Added => self.stats.published_created += 1,
                ChangeKind::Modified => self.stats.published_updated += 1,
                ChangeKind::Deleted => self.stats.published_deleted += 1,
            }
        }
        if let Some(took) = done.commit {
            self.stats.commits += 1;
            self.stats.commit_seconds += took.as_secs_f64();
        }
        // What was held and is held no more came to exist or was taken in by a storm.
        let decided = answers.decided.iter().flat_map(|(_, decisions)| decisions);
        let firing = decided.filter(|decision| decision.kind != DecisionKind::Resolved).count();
        let added = done.changes.iter().filter(|change| change.kind == ChangeKind::Added).count();
        let held = self.live.as_ref().map_or(0, |live| live.engine.held());
        self.stats.requests_avoided += (firing + self.held).saturating_sub(held + added) as u64;
        self.held = held;
    }

    fn publish_stats(&mut self) {
        self.last_stats = Stopwatch::start();
        if let Some(live) = &self.live {
            self.stats.incidents_open = live.engine.incidents() as u64;
            self.stats.requests_open = live.engine.live_request_count() as u64;
            self.stats.storms_open = live.engine.open_storms();
            self.stats.publish_pending = live.engine.held() as u64;
            self.stats.oldest_pending_since = live.engine.oldest_hold();
        }
        *self.shared.stats.lock() = Arc::new(self.stats.clone());
    }

    /// Lets go of a state that is ahead of the disk. Nothing of it has been acknowledged.
    fn break_down(&mut self, answers: Answers, error: &StoreError) {
        let reason = match error {
            StoreError::Unavailable { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        tracing::error!(reason, "the state store stopped; nothing is acknowledged until it is back");
        self.stats.outages += 1;
        *self.shared.health.lock() = Health { available: false, reason: Some(reason.clone()) };
        *self.shared.tables.lock() = None;
        self.live = None;
        self.publish_stats();
        let refused = || StoreError::Unavailable {
            class: Failure::Disk,
            reason: reason.clone(),
            retry_after: RETRY_AFTER,
        };
        for (reply, _) in answers.decided {
            let _ = reply.send(Err(refused()));
        }
        for reply in
            answers.patched.into_iter().map(|it| it.0).chain(answers.placed.into_iter().map(|it| it.0))
        {
            let _ = reply.send(Err(refused()));
        }
        for (reply, _) in answers.deleted {
            let _ = reply.send(Err(refused()));
        }
        for job in answers.reads {
            job.refuse(&reason, RETRY_AFTER);
        }
        if let Some(reply) = answers.close {
            let _ = reply.send(Ok(()));
        }
    }

    /// Refuses calls until the disk takes writes again, then recovers. Says whether to go on.
    fn wait_for_disk(&mut self, jobs: &Receiver<Job>, first: Option<Job>) -> bool {
        let outage = Stopwatch::start();
        let mut next = first;
        let mut last_try: Option<Stopwatch> = None;
        loop {
            let reason = self.shared.health.lock().reason.clone().unwrap_or_default();
            match next.take() {
                Some(Job::Close { reply }) => {
                    let _ = reply.send(Ok(()));
                    return false;
                }
                Some(job) => job.refuse(&reason, RETRY_AFTER),
                None => {}
            }
            if last_try.is_none_or(|last| last.elapsed() >= RETRY) {
                last_try = Some(Stopwatch::start());
                let tried = probe(&self.directory)
                    .map_err(|error| super::disk::unavailable("cannot write to", &self.directory, &error))
                    .and_then(|()| self.recover());
                match tried {
                    Ok(()) => {
                        self.stats.outage_seconds += outage.elapsed().as_secs_f64();
                        self.publish_stats();
                        tracing::info!(seconds = outage.elapsed().as_secs_f64(), "the state store is back");
                        return true;
                    }
                    Err(StoreError::Unavailable { reason, .. } | StoreError::Refused { reason }) => {
                        self.shared.health.lock().reason = Some(reason);
                    }
                    Err(error) => self.shared.health.lock().reason = Some(error.to_string()),
                }
            }
            next = match jobs.recv_timeout(RETRY) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return false,
            };
        }
    }

    fn close(mut self, reply: Option<Reply<()>>) {
        *self.shared.health.lock() = Health { available: false, reason: Some("it is closed".to_owned()) };
        *self.shared.tables.lock() = None;
        if let Some(live) = self.live.take() {
            live.disk.close();
        }
        drop(self);
        if let Some(reply) = reply {
            let _ = reply.send(Ok(()));
        }
    }
}

/// What a round did beside answering.
struct Done {
    changes: Vec<Change>,
    /// How long the commit took, when there was something to write.
    commit: Option<Duration>,
}

impl Live {
    /// Takes everything that waits, decides it, does what is due, and commits.
    fn round(
        &mut self,
        first: Option<Job>,
        jobs: &Receiver<Job>,
        policy: &Policy,
        now: Timestamp,
        sweep: usize,
        answers: &mut Answers,
    ) -> Result<Done, StoreError> {
        self.engine.begin(self.disk.next_sequence());
        let mut extra = Extra::default();
        let mut next = first;
        while let Some(job) = next {
            self.take(job, policy, now, answers, &mut extra)?;
            let full = answers.signals >= BATCH_SIGNALS as u64 || answers.close.is_some();
            next = if full { None } else { jobs.try_recv().ok() };
        }
        let sequence = self.disk.next_sequence();
        self.engine.tick(policy, now, sweep);
        let deleted = self.retention.expire(&self.disk.tables, policy, now, &self.unpublished, &mut extra)?;
        let stopwatch = Stopwatch::start();
        let written = self.disk.commit(&mut self.engine, &extra);
        let written =
            written.map_err(|error| classify(std::path::Path::new("the data directory"), &error))?;
        let publications = self.engine.take_publications();
        if !written && !publications.is_empty() {
            self.disk.skip();
        }
        if policy.published {
            for publication in &publications {
                self.unpublish(&publication.reference);
            }
        }
        self.unpublished.tell();
        let mut changes: Vec<Change> = publications.into_iter().map(|it| change(it, sequence)).collect();
        changes.extend(deleted.into_iter().map(|record| Change {
            revision: sequence,
            kind: ChangeKind::Deleted,
            reference: record.doc.reference.clone(),
            deleted: Some(Arc::new(record)),
        }));
        Ok(Done { changes, commit: written.then(|| stopwatch.elapsed()) })
    }

    fn take(
        &mut self,
        job: Job,
        policy: &Policy,
        now: Timestamp,
        answers: &mut Answers,
        extra: &mut Extra,
    ) -> Result<(), StoreError> {
        match job {
            Job::Decide { reply, .. } if self.incomplete => drop(reply.send(Err(adopt::incomplete()))),
            Job::Decide { signals, reply } => {
                let mut decisions = Vec::with_capacity(signals.len());
                answers.signals += signals.len() as u64;
                // Each signal is let go of as soon as it is decided: a large body is not held while its records grow.
                for signal in signals {
                    if signal.resolved && !self.engine.knows(&signal.fingerprint) {
                        status::recall_problem(&mut self.engine, &self.disk.tables, policy, &signal)?;
                    }
                    decisions.push(self.engine.decide(policy, &signal, now));
                }
                answers.decided.push((reply, decisions));
            }
            Job::PatchStatus { reference, patch, reply } => {
                let tables = &self.disk.tables;
                let outcome = status::patch(&mut self.engine, tables, policy, now, &reference, patch, extra);
                answers.patched.push((reply, outcome));
            }
            Job::Placed { reference, placement, reply } => {
                self.place(&reference, placement, extra)?;
                answers.placed.push((reply, reference));
            }
            Job::Deleted { reference, reply } => {
                let outcome = self.delete(policy, now, &reference, extra);
                answers.deleted.push((reply, outcome));
            }
            Job::Adopt { open, reply } => {
                answers.adopted += self.adopt(policy, now, open, extra)?;
                answers.patched.push((reply, Ok(())));
            }
            Job::Close { reply } => answers.close = Some(reply),
            read => answers.reads.push(read),
        }
        Ok(())
    }
}

fn change(publication: Publication, revision: u64) -> Change {
    let kind = match publication.kind {
        PublicationKind::Added => ChangeKind::Added,
        PublicationKind::Modified => ChangeKind::Modified,
    };
    Change { revision, kind, reference: publication.reference, deleted: None }
}
