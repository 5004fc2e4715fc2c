//! Checking passwords, which takes long on purpose.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use seawall_telemetry::AuthMetrics;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::credential::BasicCredentials;
use super::digest::CredentialDigest;
use super::roster::Roster;
use super::{Denial, Identity};

/// Passwords that are checked at the same time take at most half of the cores, and not more memory than four of the largest
/// hashes need.
const MAX_AT_ONCE: usize = 4;

/// Different credentials that wait to be checked. Right ones are few and known for a minute; invented ones must not fill the
/// requests that may be answered at the same time.
const WAITING: usize = 64;

/// Whoever waits longer is better told to come again than kept.
const CHECKED_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Verifier {
    /// Of this process, so that what is remembered is of no use anywhere else.
    key: [u8; 32],
    slots: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Verifier {
    pub(super) fn new() -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let cores = available_parallelism().map_or(1, NonZero::get);
        let slots = Arc::new(Semaphore::new((cores / 2).clamp(1, MAX_AT_ONCE)));
        Ok(Self { key, slots, waiting: Semaphore::new(WAITING) })
    }

    /// How a check went before, if it did.
    pub(super) fn remembered(
        &self,
        roster: &Roster,
        credentials: &BasicCredentials,
    ) -> Option<Result<Identity, Denial>> {
        roster.remembered(credentials.digest(&self.key))
    }

    /// Whose they are. The same ones are checked once, however many requests show them.
    pub(super) async fn verify(
        &self,
        roster: &Arc<Roster>,
        credentials: &BasicCredentials,
        tasks: &TaskTracker,
        metrics: &AuthMetrics,
    ) -> Result<Identity, Denial> {
        let header = credentials.digest(&self.key);
        if let Some(known) = roster.remembered(header) {
            return known;
        }
        let check =
            roster.right.try_get_with(header, self.check(header, roster, credentials, tasks, metrics));
        match timeout(CHECKED_WITHIN, check).await {
            Ok(checked) => checked.map_err(|denial| *denial),
            Err(_) => Err(Denial::Saturated),
        }
    }

    async fn check(
        &self,
        header: CredentialDigest,
        roster: &Arc<Roster>,
        credentials: &BasicCredentials,
        tasks: &TaskTracker,
        metrics: &AuthMetrics,
    ) -> Result<Identity, Denial> {
        // Inside, so that only distinct credentials are counted.
        let _waiting = self.waiting.try_acquire().map_err(|_| Denial::Saturated)?;
        // Never closed. The check keeps it also when nobody waits for the answer any more.
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Denial::Saturated)?;
        let began = Instant::now();
        let (held, key, credentials) = (Arc::clone(roster), self.key, credentials.clone());
        let checked = tasks.spawn_blocking(move || {
            let _slot = slot;
            hold_against(&held, &key, &credentials)
        });
        // One that panicked has found nobody.
        let found = checked.await.ok().flatten();
        metrics.duration().observe(began.elapsed().as_secs_f64());
        if found.is_none() {
            roster.remember_wrong(header).await;
        }
        found.ok_or(Denial::WrongPassword)
    }
}

fn hold_against(roster: &Roster, key: &[u8; 32], credentials: &BasicCredentials) -> Option<Identity> {
    let read = credentials.read()?;
    let candidate = roster.candidate(read.user(), key)?;
    // Checked also when it cannot be right, so that it takes as long.
    let right = candidate.hash.is_of(read.password());
    candidate.identity.filter(|_| right).cloned()
}
