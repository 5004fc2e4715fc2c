//! Waiting for a condition, never for time.

use std::fmt::Debug;
use std::time::Duration;

use seawall_model::Stopwatch;

/// Long against everything that is waited for here, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Looks until `look` finds something, and fails the test with what was last seen when it does not within the deadline.
pub async fn eventually<T, R: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, R>) -> T {
    let waiting = Stopwatch::start();
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match look().await {
            Ok(found) => return found,
            Err(seen) if waiting.elapsed() > DEADLINE => panic!("{what}: still {seen:#?}"),
            Err(_) => {}
        }
    }
}
