//! How publishing is going, for everybody else.

use parking_lot::Mutex;
use seawall_model::Timestamp;
use seawall_store::{SinkHealth, SinkStats};
use tokio::sync::watch;

/// Written by those who publish, read by those who answer.
pub(crate) struct Status {
    state: Mutex<State>,
    suspended: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    pending: u64,
    oldest: Option<Timestamp>,
    queued_since: Option<Timestamp>,
    /// What went wrong last, until something goes right.
    failure: Option<String>,
    /// What is wrong with the definition of the resource.
    definition: Option<String>,
    /// Why phases and deletions are not noticed.
    watch: Option<String>,
    /// Why the store cannot have its state back.
    rebuild: Option<String>,
    stats: SinkStats,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), suspended: watch::Sender::new(false) }
    }

    pub(crate) fn set_pending(&self, pending: usize, oldest: Option<Timestamp>, queued: Option<Timestamp>) {
        let mut state = self.state.lock();
        (state.pending, state.oldest, state.queued_since) = (pending as u64, oldest, queued);
    }

    pub(crate) fn set_suspended(&self, suspended: bool) {
        self.suspended.send_if_modified(|before| std::mem::replace(before, suspended) != suspended);
    }

    /// Told of every change.
    pub(crate) fn suspended(&self) -> watch::Receiver<bool> {
        self.suspended.subscribe()
    }

    pub(crate) fn queued_since(&self) -> Option<Timestamp> {
        self.state.lock().queued_since
    }

    pub(crate) fn failed(&self, reason: String) {
        self.state.lock().failure = Some(reason);
    }

    pub(crate) fn succeeded(&self) {
        self.state.lock().failure = None;
    }

    pub(crate) fn set_definition(&self, problem: Option<String>) {
        self.state.lock().definition = problem;
    }

    pub(crate) fn set_watch(&self, problem: Option<String>) {
        self.state.lock().watch = problem;
    }

    pub(crate) fn set_rebuild(&self, problem: Option<String>) {
        self.state.lock().rebuild = problem;
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut SinkStats)) {
        count(&mut self.state.lock().stats);
    }

    pub(crate) fn stats(&self) -> SinkStats {
        self.state.lock().stats
    }

    pub(crate) fn health(&self) -> SinkHealth {
        let suspended = *self.suspended.borrow();
        let state = self.state.lock();
        let problems = [&state.rebuild, &state.definition, &state.failure, &state.watch];
        let problems: Vec<&str> = problems.into_iter().flatten().map(String::as_str).collect();
        SinkHealth {
            pending: state.pending,
            oldest_pending_since: state.oldest,
            suspended,
            problem: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }
}
