//! The one place of the benchmark that reads a clock or waits for one.

use std::time::{Duration, Instant};

#[allow(clippy::disallowed_methods, reason = "measuring time is what a benchmark is for")]
pub fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "paces probes and polls; what is measured never waits here")]
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// Asks `condition` every `step` until it gives something or `patience` is over.
pub fn poll<T>(step: Duration, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = now() + patience;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if now() >= deadline {
            return None;
        }
        pause(step);
    }
}
