//! What is known about an outage: since when, why, and what has to work again before it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Address;
use super::error::LinkError;
use crate::Health;

/// An outage that begins so soon after another is the same one: a server at the edge of its memory takes a small write
/// and refuses the next large one, which must not become several outages and log lines a second.
const SAME_OUTAGE: Duration = Duration::from_secs(1);

/// The outages of one store.
pub(super) struct Outages {
    state: Mutex<State>,
    available: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    /// What failed last by server, as the hash tag of a key there; without a server when nobody had the key. Nothing of
    /// it may fail when the outage ends.
    failing: BTreeMap<Option<Address>, String>,
    ended: Option<Instant>,
    count: u64,
    total: Duration,
}

struct Running {
    since: Instant,
    reason: String,
    /// It went on soon after it seemed to be over, and has been reported.
    again: bool,
}

/// What the first failed call of an outage has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Began {
    /// Nothing: it says something about an outage that is over.
    Stale,
    /// Nothing more.
    Known,
    /// Probe, and tell people.
    Anew,
    /// Probe.
    Again,
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) length: Duration,
    /// Its end has been reported before.
    pub(super) again: bool,
}

impl Outages {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::default()), available: watch::Sender::new(true) }
    }

    /// A call that began at `started` has failed now at `server`, with a key of this hash tag.
    pub(super) fn note(
        &self,
        error: &LinkError,
        server: Option<Address>,
        tag: &str,
        started: Instant,
        now: Instant,
    ) -> Began {
        let mut state = self.state.lock();
        if state.running.is_none() && state.ended.is_some_and(|ended| started < ended) {
            return Began::Stale;
        }
        state.failing.insert(server, tag.to_owned());
        if state.running.is_some() {
            return Began::Known;
        }
        let again = state.ended.is_some_and(|ended| now.duration_since(ended) < SAME_OUTAGE);
        state.count += u64::from(!again);
        state.running = Some(Running { since: now, reason: error.reason.clone(), again });
        self.available.send_replace(false);
        if again { Began::Again } else { Began::Anew }
    }

    /// What has to work again.
    pub(super) fn failing(&self) -> Vec<(Option<Address>, String)> {
        self.state.lock().failing.iter().map(|(server, tag)| (server.clone(), tag.clone())).collect()
    }

    /// This works again.
    pub(super) fn works(&self, server: &Option<Address>, tag: &str) {
        let mut state = self.state.lock();
        if state.failing.get(server).is_some_and(|failing| failing == tag) {
            state.failing.remove(server);
        }
    }

    /// This does not work yet, for this reason.
    pub(super) fn still(&self, reason: &str) {
        if let Some(running) = &mut self.state.lock().running {
            running.reason = reason.to_owned();
        }
    }

    /// Ends the outage when everything works.
    pub(super) fn end(&self, now: Instant) -> Option<Ended> {
        let mut state = self.state.lock();
        if !state.failing.is_empty() {
            return None;
        }
        let running = state.running.take()?;
        let length = now.duration_since(running.since);
        state.total += length;
        state.ended = Some(now);
        self.available.send_replace(true);
        Some(Ended { length, again: running.again })
    }

    pub(super) fn health(&self) -> Health {
        let state = self.state.lock();
        let reason = state.running.as_ref().map(|running| running.reason.clone());
        Health { available: reason.is_none(), reason }
    }

    /// How many, and how many seconds in all, with the one that is running.
    pub(super) fn totals(&self, now: Instant) -> (u64, f64) {
        let state = self.state.lock();
        let running = state.running.as_ref().map_or(Duration::ZERO, |running| now - running.since);
        (state.count, (state.total + running).as_secs_f64())
    }

    /// Returns as soon as there is no outage.
    pub(super) async fn over(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        _ = self.available.subscribe().wait_for(|available| *available).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::redis::link::error::Scope;

    fn refused() -> LinkError {
        LinkError::new(Failure::Refused, Scope::Connection, "refused")
    }

    fn server(port: u16) -> Option<Address> {
        Some(Address { host: "h".to_owned(), port })
    }

    #[test]
    fn an_outage_is_counted_once_and_measured_while_it_lasts() {
        let outages = Outages::new();
        let start = Instant::now();
        assert_eq!(outages.note(&refused(), server(1), "a", start, start), Began::Anew);
        assert_eq!(outages.note(&refused(), server(2), "b", start, start), Began::Known);
        let now = start + Duration::from_secs(3);
        assert_eq!(outages.health(), Health { available: false, reason: Some("refused".to_owned()) });
        assert_eq!(outages.totals(now), (1, 3.0));
        outages.works(&server(1), "a");
        assert_eq!(outages.end(now), None, "another server fails");
        outages.works(&server(2), "b");
        assert_eq!(outages.end(now), Some(Ended { length: Duration::from_secs(3), again: false }));
        assert_eq!(outages.totals(now + Duration::from_secs(9)), (1, 3.0));
        assert!(outages.health().available);
    }

    #[test]
    fn what_failed_late_says_nothing_about_now() {
        let outages = Outages::new();
        let early = Instant::now();
        outages.note(&refused(), server(1), "a", early, early);
        outages.works(&server(1), "a");
        outages.end(early + Duration::from_secs(1));
        let later = early + Duration::from_secs(2);
        assert_eq!(outages.note(&refused(), server(1), "a", early, later), Began::Stale);
        assert!(outages.health().available);
    }

    #[test]
    fn an_outage_right_after_another_is_the_same() {
        let outages = Outages::new();
        let mut now = Instant::now();
        for (pause, began, count) in [(0, Began::Anew, 1), (200, Began::Again, 1), (1500, Began::Anew, 2)] {
            now += Duration::from_millis(pause);
            assert_eq!(outages.note(&refused(), server(1), "a", now, now), began);
            now += Duration::from_millis(100);
            outages.works(&server(1), "a");
            assert!(outages.end(now).is_some());
            assert_eq!(outages.totals(now).0, count);
        }
    }
}
