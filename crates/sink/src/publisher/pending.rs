//! Which requests are to be written, and when: any number of news about a request are one write. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use seawall_cluster::ApiFailure;
use seawall_model::{RequestRef, Timestamp};
use tokio::time::Instant;

/// Requests that wait at most. Beyond it news are not taken; the state store keeps them and tells again. 64 Ki of about
/// 200 bytes are 13 MiB.
const MAX_PENDING: usize = 65_536;

/// The requests that wait for a write or are being written. Each has at most one writer.
pub(crate) struct Pending {
    entries: HashMap<RequestRef, Entry>,
    /// Those that wait, by the time from which on they are due.
    due: BTreeMap<(Instant, u64), RequestRef>,
    /// Since when each has been pending, the oldest first.
    ages: BTreeMap<u64, Timestamp>,
    /// The same without those that failed for a reason of their own: what others wait behind.
    queued: BTreeMap<u64, Timestamp>,
    next: u64,
    backoff: ExponentialBuilder,
}

struct Entry {
    /// Tells entries apart that are due at the same time, and orders them by age.
    number: u64,
    turn: Turn,
    backoff: Option<ExponentialBackoff>,
    in_doubt: bool,
    /// What the last failure was, so that people are told of each only once.
    failure: Option<ApiFailure>,
}

enum Turn {
    Waiting,
    Writing {
        /// Something happened meanwhile.
        again: bool,
    },
}

/// A request that is to be written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) request: RequestRef,
    /// Whether an earlier write may have been carried out.
    pub(crate) in_doubt: bool,
}

impl Pending {
    /// The wait after a failure grows from `initial` to `max`, with jitter.
    pub(crate) fn new(initial: Duration, max: Duration) -> Self {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(initial)
            .with_max_delay(max)
            .without_max_times()
            .with_jitter();
        let (ages, queued) = (BTreeMap::new(), BTreeMap::new());
        Self { entries: HashMap::new(), due: BTreeMap::new(), ages, queued, next: 0, backoff }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.entries.len() < MAX_PENDING
    }

    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.ages.values().next().copied()
    }

    /// Since when the one waits that whoever comes now waits behind.
    pub(crate) fn queued_since(&self) -> Option<Timestamp> {
        self.queued.values().next().copied()
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.keys().next().map(|(due, _)| *due)
    }

    /// Something about a request is news. One that failed keeps its wait.
    pub(crate) fn tell(&mut self, request: RequestRef, now: Instant, at: Timestamp) {
        match self.entries.get_mut(&request) {
            Some(Entry { turn: Turn::Writing { again }, .. }) => *again = true,
            Some(Entry { turn: Turn::Waiting, .. }) => {}
            None => self.enter(request, now, at),
        }
    }

    fn enter(&mut self, request: RequestRef, now: Instant, at: Timestamp) {
        let number = self.next;
        self.next += 1;
        self.due.insert((now, number), request.clone());
        self.ages.insert(number, at);
        self.queued.insert(number, at);
        let turn = Turn::Waiting;
        self.entries.insert(request, Entry { number, turn, backoff: None, in_doubt: false, failure: None });
    }

    /// The one that has been due for longest. It is being written until it is [`done`](Self::done) or
    /// [`failed`](Self::failed).
    pub(crate) fn take(&mut self, now: Instant) -> Option<Job> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        let request = first.remove();
        let entry = self.entries.get_mut(&request)?;
        entry.turn = Turn::Writing { again: false };
        Some(Job { in_doubt: entry.in_doubt, request })
    }

    /// It was written. What happened meanwhile is the next write.
    pub(crate) fn done(&mut self, request: &RequestRef, now: Instant, at: Timestamp) {
        let Some(entry) = self.entries.remove(request) else { return };
        self.ages.remove(&entry.number);
        self.queued.remove(&entry.number);
        if let Turn::Writing { again: true } = entry.turn {
            self.enter(request.clone(), now, at);
        }
    }

    /// It was not written: it waits, at least for as long as the server asks. Returns whether it had not failed like this
    /// before.
    pub(crate) fn failed(
        &mut self,
        request: &RequestRef,
        failure: Option<ApiFailure>,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(request) else { return false };
        let backoff = entry.backoff.get_or_insert_with(|| self.backoff.build());
        // There is no last one.
        let wait = backoff.next().unwrap_or_default().max(retry_after.unwrap_or_default());
        entry.turn = Turn::Waiting;
        self.due.insert((now + wait, entry.number), request.clone());
        if failure.is_some_and(|failure| !failure.is_outage()) {
            self.queued.remove(&entry.number);
        }
        entry.in_doubt |= failure.is_some_and(|failure| {
            matches!(failure, ApiFailure::ServerError | ApiFailure::Ambiguous | ApiFailure::Protocol)
        });
        let news = entry.failure != failure;
        entry.failure = failure;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_000);

    fn request(generation: u32) -> RequestRef {
        let id = seawall_model::RequestId { prefix: 1, generation };
        RequestRef { namespace: "prod".into(), id }
    }

    fn pending() -> Pending {
        Pending::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    #[test]
    fn any_number_of_news_during_a_write_are_one_more_write() {
        let (mut pending, now) = (pending(), Instant::now());
        for _ in 0..3 {
            pending.tell(request(1), now, AT);
        }
        assert_eq!(pending.take(now).unwrap().request, request(1));
        assert_eq!(pending.take(now), None, "one writer at a time");
        for _ in 0..100 {
            pending.tell(request(1), now, AT + 5);
        }
        assert_eq!(pending.take(now), None);
        pending.done(&request(1), now, AT + 10);
        assert!(pending.take(now).is_some());
        pending.done(&request(1), now, AT + 20);
        assert_eq!((pending.take(now), pending.len(), pending.oldest()), (None, 0, None));
    }

    #[test]
    fn a_failed_write_waits_longer_each_time_and_news_do_not_hurry_it() {
        let (mut pending, now) = (pending(), Instant::now());
        pending.tell(request(1), now, AT);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let due = pending.next_due().unwrap();
            assert!(pending.take(due).is_some());
            pending.failed(&request(1), Some(ApiFailure::Forbidden), None, due);
            pending.tell(request(1), due, AT);
            assert_eq!(pending.take(due), None);
            waits.push(pending.next_due().unwrap() - due);
        }
        let (first, last) = (waits[0], waits[11]);
        assert!(first >= Duration::from_millis(100) && first <= Duration::from_millis(200), "{first:?}");
        assert!(last >= Duration::from_secs(5) && last <= Duration::from_secs(10), "{last:?}");
    }

    #[test]
    fn a_server_that_says_when_to_come_again_is_believed() {
        let (mut pending, now) = (pending(), Instant::now());
        pending.tell(request(1), now, AT);
        pending.take(now).unwrap();
        let after = Some(Duration::from_secs(7));
        pending.failed(&request(1), Some(ApiFailure::Throttled), after, now);
        assert_eq!(pending.next_due(), Some(now + Duration::from_secs(7)));
    }

    #[test]
    fn a_write_without_an_answer_leaves_doubt_until_one_is_done() {
        let (mut pending, now) = (pending(), Instant::now());
        pending.tell(request(1), now, AT);
        for failure in [ApiFailure::Ambiguous, ApiFailure::Unreachable] {
            let due = pending.next_due().unwrap();
            pending.take(due).unwrap();
            assert!(pending.failed(&request(1), Some(failure), None, due), "each is news");
        }
        let due = pending.next_due().unwrap();
        assert!(pending.take(due).unwrap().in_doubt);
        pending.done(&request(1), due, AT);
        pending.tell(request(1), due, AT);
        assert!(!pending.take(due).unwrap().in_doubt);
    }

    #[test]
    fn those_that_wait_do_not_keep_others_waiting() {
        let (mut pending, now) = (pending(), Instant::now());
        pending.tell(request(1), now, AT);
        pending.take(now).unwrap();
        pending.failed(&request(1), Some(ApiFailure::Forbidden), None, now);
        pending.tell(request(2), now, AT + 5);
        assert_eq!(pending.take(now).unwrap().request, request(2));
        pending.done(&request(2), now, AT);
        assert_eq!((pending.len(), pending.oldest(), pending.queued_since()), (1, Some(AT), None));
    }
}
