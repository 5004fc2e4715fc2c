//! Counting in this process: GCRA, exact however many send at once, for a bounded number of senders.

use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use seawall_store::SharedLimit;

use super::Sender;

/// Senders that are remembered. With more than these those go that sent least: a flood of addresses finds
/// room for each other, and those who send regularly keep their place.
const SENDERS: u64 = 65_536;

pub(super) struct Local<C: Clock + Clone = MonotonicClock> {
    limiter: RateLimiter<Sender, States, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl Local {
    pub(super) fn new(limit: SharedLimit) -> Self {
        Self::with_clock(limit, MonotonicClock)
    }
}

impl<C: Clock + Clone> Local<C> {
    fn with_clock(limit: SharedLimit, clock: C) -> Self {
        let between = (limit.window / limit.requests.get()).max(Duration::from_nanos(1));
        // Neither is zero, so there always is a quota.
        let quota = Quota::with_period(between).unwrap_or_else(|| Quota::per_second(limit.requests));
        let quota = quota.allow_burst(limit.burst);
        // Whoever has not sent for so long may send a whole burst, as somebody who is not known.
        let forgotten = between.saturating_mul(limit.burst.get()).max(limit.window);
        let states = States(Cache::builder().max_capacity(SENDERS).time_to_idle(forgotten).build());
        Self { limiter: RateLimiter::new(quota, states, clock.clone()), clock }
    }

    /// Nothing when the sender may send now, else how long until then.
    pub(super) fn take(&self, sender: Sender) -> Option<Duration> {
        let refused = self.limiter.check_key(&sender).err()?;
        Some(refused.wait_time_from(self.clock.now()))
    }
}

/// When each sender may send again.
struct States(Cache<Sender, Arc<InMemoryState>>);

impl StateStore for States {
    type Key = Sender;

    fn measure_and_replace<T, F, E>(&self, sender: &Sender, change: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let state = self.0.get_with_by_ref(sender, Arc::default);
        state.measure_and_replace(&NotKeyed::NonKey, change)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limit(requests: u32, burst: u32) -> SharedLimit {
        let number = |number| NonZeroU32::new(number).unwrap();
        SharedLimit { requests: number(requests), window: Duration::from_secs(60), burst: number(burst) }
    }

    fn sender(number: u8) -> Sender {
        Sender::Client([192, 0, 2, number].into())
    }

    #[test]
    fn of_thirty_at_once_twenty_may_and_each_sender_has_its_own_twenty() {
        let local = Local::with_clock(limit(20, 20), FakeRelativeClock::default());
        for number in [1, 2] {
            let refused: Vec<_> = (0..30).filter_map(|_| local.take(sender(number))).collect();
            assert_eq!(refused.len(), 10);
            assert!(refused.iter().all(|wait| *wait == Duration::from_secs(3)), "{refused:?}");
        }
    }

    #[test]
    fn after_a_long_pause_there_is_one_burst_and_no_more() {
        let clock = FakeRelativeClock::default();
        let local = Local::with_clock(limit(60, 5), clock.clone());
        let taken = || (0..100).filter(|_| local.take(sender(1)).is_none()).count();
        assert_eq!(taken(), 5);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(taken(), 5);
        clock.advance(Duration::from_secs(2));
        assert_eq!(taken(), 2);
    }

    #[test]
    fn many_at_once_are_counted_exactly() {
        let local = Local::with_clock(limit(1_000, 1_000), FakeRelativeClock::default());
        let taken = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mine = (0..500).filter(|_| local.take(sender(1)).is_none()).count();
                    taken.fetch_add(mine, std::sync::atomic::Ordering::Relaxed);
                });
            }
        });
        assert_eq!(taken.into_inner(), 1_000);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_nobodys_count() {
        let local = Local::with_clock(limit(20, 20), FakeRelativeClock::default());
        let regular = sender(1);
        for _ in 0..20 {
            assert_eq!(local.take(regular.clone()), None);
        }
        for number in 0..200_000u32 {
            let _ = local.take(Sender::Client(number.to_be_bytes().into()));
            if number % 1_000 == 0 {
                assert!(local.take(regular.clone()).is_some(), "{number}");
            }
        }
        let States(states) = local.limiter.into_state_store();
        states.run_pending_tasks();
        assert!(states.entry_count() <= SENDERS, "{}", states.entry_count());
    }
}
