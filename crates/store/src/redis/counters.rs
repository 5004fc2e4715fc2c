//! What this replica has done, and what all of them have in common, as numbers for people.

use std::sync::Arc;
use std::time::Duration;

use super::publisher;
use super::store::Core;
use super::wire::{DecideAnswer, Summary, TickAnswer};
use crate::Stats;

/// Totals of this replica since its start. Each replica counts what it did itself, so sums over replicas are right.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    calls: u64,
    call_seconds: f64,
    added: u64,
    modified: u64,
    deleted: u64,
    avoided: u64,
    losses: u64,
}

impl Counters {
    /// After a call that decided `firing` firing signals.
    pub fn decided(&mut self, answer: &DecideAnswer, firing: usize, took: Duration) {
        self.calls += 1;
        self.call_seconds += took.as_secs_f64();
        self.added += answer.added;
        self.modified += answer.modified;
        // What came neither to exist nor to be held counts on a request that was there, or that was held and never comes.
        let firing = i64::try_from(firing).unwrap_or(i64::MAX);
        let own = i64::try_from(answer.added).unwrap_or(i64::MAX).saturating_add(answer.held);
        self.avoided += firing.saturating_sub(own).max(0).unsigned_abs();
    }

    /// The server had forgotten everything.
    pub fn state_lost(&mut self) {
        self.losses += 1;
    }

    pub fn ticked(&mut self, answer: &TickAnswer) {
        self.added += answer.added;
        self.modified += answer.modified;
        self.deleted += answer.deleted;
    }
}

impl Core {
    /// Keeps the numbers up to date until the task is dropped: those of this replica always, those of the state as often
    /// as the number of partitions allows.
    pub(super) async fn keep_stats(self: Arc<Self>) {
        loop {
            let counted = match self.check_loss().await {
                Ok(()) => self.gather().await,
                Err(error) => Err(error),
            };
            let partitions = match counted {
                Ok(partitions) => partitions,
                Err(error) => {
                    tracing::debug!(error = %error.reason, "the state could not be counted");
                    0
                }
            };
            let rest = publisher::LOOK_AT_CLOCK.max(Duration::from_millis(partitions as u64));
            tokio::time::sleep(rest).await;
        }
    }

    async fn check_loss(&self) -> Result<(), super::link::LinkError> {
        self.check_birth().await?;
        self.check_whole().await.map(drop)
    }

    /// Counts what is in all partitions; returns how many there are.
    async fn gather(&self) -> Result<usize, super::link::LinkError> {
        let partitions = self.registered_by_and_by().await?;
        let mut stats = Stats::default();
        for (partition, _) in &partitions {
            let Summary { incidents, requests, held, first_hold, storms, .. } =
                self.summary(&self.keys.record(partition)).await?;
            stats.incidents_open += incidents;
            stats.requests_open += requests;
            stats.publish_pending += held;
            let hold = super::wire::moment(first_hold);
            stats.oldest_pending_since = [stats.oldest_pending_since, hold].into_iter().flatten().min();
            for rule in storms {
                match stats.storms_open.iter_mut().find(|(known, _)| **known == *rule) {
                    Some((_, count)) => *count += 1,
                    None => stats.storms_open.push((rule.as_str().into(), 1)),
                }
            }
        }
        stats.storms_open.sort();
        *self.gauges.lock() = stats;
        Ok(partitions.len())
    }

    pub(super) fn stats(&self) -> Arc<Stats> {
        let Counters { calls, call_seconds, added, modified, deleted, avoided, losses } =
            *self.counters.lock();
        let (outages, outage_seconds) = self.links.outages();
        let gauges = self.gauges.lock().clone();
        Arc::new(Stats {
            outages,
            outage_seconds,
            commits: calls,
            commit_seconds: call_seconds,
            published_created: added,
            published_updated: modified,
            published_deleted: deleted,
            requests_avoided: avoided,
            state_losses: losses,
            ..gauges
        })
    }
}
