//! Waiting for a condition, never for time.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a condition is looked at. Short against every deadline, long against the cost of a look.
const LOOK: Duration = Duration::from_millis(10);

/// Asks until there is an answer, and fails the test with the last reason why there was none when `within` is over.
pub async fn eventually<T, R, F>(within: Duration, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, R>>,
    R: std::fmt::Display,
{
    let deadline = Deadline::after(within);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(reason) if deadline.is_over() => panic!("not within {within:?}: {reason}"),
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Looks until the condition holds or `within` is over; says which. For things that may or may not come.
pub async fn until<F: Future<Output = bool>>(within: Duration, mut holds: impl FnMut() -> F) -> bool {
    let deadline = Deadline::after(within);
    loop {
        if holds().await {
            return true;
        }
        if deadline.is_over() {
            return false;
        }
        sleep(LOOK).await;
    }
}

/// A moment that something must not outlast.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    within: Duration,
}

impl Deadline {
    pub fn after(within: Duration) -> Self {
        Self { started: Instant::now(), within }
    }

    pub fn is_over(self) -> bool {
        self.started.elapsed() >= self.within
    }

    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}
