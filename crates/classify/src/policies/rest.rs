//! Leaving a policy alone that takes too long.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// One slow evaluation may be the machine's fault; this many inside [`WINDOW`] are the policy's, and then alerts must not
/// wait for it: they may come by the ten thousand.
const MOST: usize = 3;
const WINDOW: Duration = Duration::from_secs(10);

/// When a policy last took too long.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<VecDeque<Instant>>);

impl Rest {
    pub(super) fn is_resting(&self) -> bool {
        let mut timeouts = self.0.lock();
        while timeouts.front().is_some_and(|timeout| timeout.elapsed() >= WINDOW) {
            timeouts.pop_front();
        }
        timeouts.len() >= MOST
    }

    pub(super) fn note_timeout(&self) {
        let mut timeouts = self.0.lock();
        // Threads that were asking when the last of them timed out add no more.
        if timeouts.len() < MOST {
            timeouts.push_back(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_policy_rests_after_three_timeouts_until_the_first_of_them_is_past() {
        let rest = Rest::default();
        for _ in 0..MOST {
            assert!(!rest.is_resting());
            rest.note_timeout();
            advance(Duration::from_secs(1)).await;
        }
        assert!(rest.is_resting());
        rest.note_timeout();
        advance(WINDOW - Duration::from_secs(3)).await;
        assert!(!rest.is_resting(), "the first is past");
        rest.note_timeout();
        assert!(rest.is_resting(), "and another one is enough");
    }
}
