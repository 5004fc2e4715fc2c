//! Leaves a server alone that is down. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// After so many outages in a row nothing is sent for a while; then one call finds out whether the rest may follow.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures: u32,
    open: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is on its way.
    Trying,
}

impl Breaker {
    pub(crate) const fn new(failures: u32, open: Duration) -> Self {
        Self { failures, open, state: State::Closed { failures: 0 } }
    }

    /// Whether a call may be made now. When it is the one that finds out, nobody else may until it has ended.
    pub(crate) fn enter(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } if until <= now => {
                self.state = State::Trying;
                true
            }
            State::Open { .. } | State::Trying => false,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// When the next call may find out.
    pub(crate) const fn opens_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed { .. } | State::Trying => None,
        }
    }

    /// The server answered, whatever it said.
    pub(crate) const fn answered(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The server is down. Returns whether it is from now on left alone.
    pub(crate) fn outage(&mut self, now: Instant) -> bool {
        let failures = match self.state {
            State::Closed { failures } => failures + 1,
            // Of calls that were on their way before.
            State::Open { .. } => return false,
            State::Trying => self.failures,
        };
        let opens = failures >= self.failures;
        self.state = if opens { State::Open { until: now + self.open } } else { State::Closed { failures } };
        opens
    }

    /// A call was not made after all.
    pub(crate) fn left(&mut self, now: Instant) {
        if self.state == State::Trying {
            self.state = State::Open { until: now };
        }
    }

    /// Somebody else reached the server, so it is worth a try.
    pub(crate) const fn hint(&mut self, now: Instant) {
        if let State::Open { .. } = self.state {
            self.state = State::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_in_a_row_open_it_and_one_call_finds_out() {
        let (mut breaker, now) = (Breaker::new(3, Duration::from_secs(30)), Instant::now());
        breaker.outage(now);
        breaker.outage(now);
        breaker.answered();
        assert!(!breaker.outage(now) && !breaker.outage(now), "not in a row");
        assert!(breaker.enter(now));
        assert!(breaker.outage(now));
        assert!(!breaker.enter(now));
        let later = now + Duration::from_secs(30);
        assert_eq!(breaker.opens_at(), Some(later));
        assert!(breaker.enter(later));
        assert!(!breaker.enter(later), "only one finds out");
        assert!(breaker.outage(later), "one failure is enough");
        let later = later + Duration::from_secs(30);
        assert!(breaker.enter(later));
        breaker.answered();
        assert!(breaker.enter(later) && breaker.enter(later));
    }

    #[test]
    fn a_try_that_was_not_made_leaves_the_next_one_the_turn() {
        let (mut breaker, now) = (Breaker::new(1, Duration::from_secs(30)), Instant::now());
        breaker.outage(now);
        breaker.hint(now);
        assert!(breaker.enter(now));
        breaker.left(now);
        assert!(breaker.is_open());
        assert!(breaker.enter(now));
    }
}
