//! Tells those who wait for requests to exist.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use seawall_model::RequestRef;
use tokio::sync::Notify;

/// Requests that came to exist last, for whoever asks a moment later. An answer takes milliseconds; this many are not published
/// in that time.
const REMEMBERED: usize = 8_192;

/// Requests that came to exist, and who waits for which.
#[derive(Default)]
pub(crate) struct Arrivals(Mutex<State>);

#[derive(Default)]
struct State {
    recent: HashSet<RequestRef>,
    /// The same, in order.
    order: VecDeque<RequestRef>,
    waiting: HashMap<RequestRef, Vec<Arc<Waiter>>>,
}

struct Waiter {
    progress: Mutex<Progress>,
    complete: Notify,
}

struct Progress {
    found: Vec<RequestRef>,
    missing: usize,
}

/// Somebody who waits. Dropped, it is forgotten.
pub(crate) struct Waiting {
    arrivals: Arc<Arrivals>,
    requests: Vec<RequestRef>,
    waiter: Arc<Waiter>,
}

impl Arrivals {
    /// A request exists.
    pub(crate) fn arrived(&self, request: RequestRef) {
        let mut state = self.0.lock();
        for waiter in state.waiting.remove(&request).unwrap_or_default() {
            waiter.found(&request);
        }
        if state.recent.insert(request.clone()) {
            state.order.push_back(request);
        }
        if state.order.len() > REMEMBERED
            && let Some(oldest) = state.order.pop_front()
        {
            state.recent.remove(&oldest);
        }
    }

    pub(crate) fn wait(self: &Arc<Self>, requests: Vec<RequestRef>) -> Waiting {
        let progress = Mutex::new(Progress { found: Vec::new(), missing: requests.len() });
        let waiter = Arc::new(Waiter { progress, complete: Notify::new() });
        let mut state = self.0.lock();
        for request in &requests {
            match state.recent.contains(request) {
                true => waiter.found(request),
                false => state.waiting.entry(request.clone()).or_default().push(Arc::clone(&waiter)),
            }
        }
        drop(state);
        Waiting { arrivals: Arc::clone(self), requests, waiter }
    }
}

impl Waiter {
    fn found(&self, request: &RequestRef) {
        let mut progress = self.progress.lock();
        progress.found.push(request.clone());
        progress.missing = progress.missing.saturating_sub(1);
        if progress.missing == 0 {
            self.complete.notify_one();
        }
    }
}

impl Waiting {
    /// Resolves when all exist.
    pub(crate) async fn all(&self) {
        if self.waiter.progress.lock().missing > 0 {
            self.waiter.complete.notified().await;
        }
    }

    /// Those that exist so far.
    pub(crate) fn found(&self) -> Vec<RequestRef> {
        self.waiter.progress.lock().found.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.arrivals.0.lock();
        for request in &self.requests {
            if let Some(waiters) = state.waiting.get_mut(request) {
                waiters.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
                if waiters.is_empty() {
                    state.waiting.remove(request);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use seawall_model::RequestId;

    use super::*;

    fn request(generation: u32) -> RequestRef {
        RequestRef { namespace: "prod".into(), id: RequestId { prefix: 1, generation } }
    }

    #[test]
    fn whoever_waits_for_several_is_told_when_all_exist() {
        let arrivals = Arc::new(Arrivals::default());
        arrivals.arrived(request(1));
        let waiting = arrivals.wait(vec![request(1), request(2), request(3)]);
        arrivals.arrived(request(3));
        assert!(waiting.all().now_or_never().is_none());
        assert_eq!(waiting.found(), [request(1), request(3)]);
        arrivals.arrived(request(2));
        assert!(waiting.all().now_or_never().is_some());
        assert_eq!(waiting.found().len(), 3);
    }

    #[test]
    fn nothing_is_kept_for_those_who_have_left_nor_of_long_ago() {
        let arrivals = Arc::new(Arrivals::default());
        let (one, other) = (arrivals.wait(vec![request(0)]), arrivals.wait(vec![request(0)]));
        drop(one);
        assert_eq!(arrivals.0.lock().waiting[&request(0)].len(), 1);
        drop(other);
        assert!(arrivals.0.lock().waiting.is_empty());
        for generation in 0..u32::try_from(REMEMBERED).unwrap() + 10 {
            arrivals.arrived(request(generation));
        }
        assert_eq!(arrivals.0.lock().recent.len(), REMEMBERED);
        assert_eq!(arrivals.wait(vec![request(0)]).found(), []);
    }
}
