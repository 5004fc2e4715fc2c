//! How long one connection may take for what it is doing.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::settings::Timeouts;

/// A body earns a second for every this many bytes.
const BYTES_PER_SECOND: u64 = 256 * 1024;

/// How long a client that is still sending a body nobody wants may take to notice the answer.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// What a connection is doing, and until when.
///
/// The connection's task is the only one that waits: everything that happens on the connection (bytes, a request, its
/// body, its answer) only notes a deadline here, so a request costs no timer. Hyper's own header timeout cannot be
/// used, because it also runs between two requests, where a client may be silent much longer.
#[derive(Debug)]
pub(crate) struct Timing {
    timeouts: Timeouts,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase has lasted too long.
    deadline: Option<Instant>,
    body_began: Option<Instant>,
    /// Since when the client has not taken a byte although there is something for it.
    blocked_since: Option<Instant>,
    expired: Option<Expired>,
    body_left: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A head is on its way.
    Head,
    /// A request is being worked on, its body has been read or is not being read.
    Request,
    /// A body is being read.
    Body,
    /// The answer is known and being sent.
    Answer,
    /// Between two requests.
    Idle,
    /// Everything is said, and the client is given a moment to notice.
    Linger,
}

/// What took too long while a request was being answered; whoever answers says so to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    Body,
    Request,
}

/// What the connection's task does when its timer has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    /// Poll the connection: whoever answers will find [`Timing::expired`].
    Nudge,
    Close(&'static str),
}

impl Timing {
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        let deadline = Some(Instant::now() + timeouts.header);
        let state = State {
            phase: Phase::Head,
            deadline,
            body_began: None,
            blocked_since: None,
            expired: None,
            body_left: false,
        };
        Self { timeouts, state: Mutex::new(state) }
    }

    fn enter(&self, phase: Phase, within: Option<Duration>) {
        let deadline = within.map(|within| Instant::now() + within);
        let mut state = self.state.lock();
        state.phase = phase;
        state.deadline = deadline;
    }

    /// Bytes came in. The first ones after an answer begin a head.
    pub(crate) fn received(&self) {
        if self.state.lock().phase == Phase::Idle {
            self.enter(Phase::Head, Some(self.timeouts.header));
        }
    }

    /// The client took bytes, or could not.
    pub(crate) fn wrote(&self, progress: bool) {
        let mut state = self.state.lock();
        match (progress, state.blocked_since) {
            (true, Some(_)) => state.blocked_since = None,
            (false, None) => state.blocked_since = Some(Instant::now()),
            _ => {}
        }
    }

    pub(crate) fn begin_request(&self, has_body: bool) {
        self.enter(Phase::Request, Some(self.timeouts.request));
        let mut state = self.state.lock();
        state.expired = None;
        state.body_began = None;
        state.body_left = has_body;
    }

    /// The body is waited for; `received` bytes of it are here.
    pub(crate) fn await_body(&self, received: u64) {
        let mut state = self.state.lock();
        let began = *state.body_began.get_or_insert_with(Instant::now);
        state.phase = Phase::Body;
        state.deadline = Some(began + self.timeouts.body + Duration::from_secs(received / BYTES_PER_SECOND));
    }

    /// Nobody waits for more of the body.
    pub(crate) fn end_body(&self) {
        self.enter(Phase::Request, Some(self.timeouts.request));
    }

    /// The last byte of the body has been read.
    pub(crate) fn body_is_complete(&self) {
        self.state.lock().body_left = false;
    }

    pub(crate) fn begin_answer(&self) {
        self.enter(Phase::Answer, None);
    }

    pub(crate) fn end_answer(&self) {
        self.enter(Phase::Idle, Some(self.timeouts.idle));
    }

    pub(crate) fn linger(&self) {
        self.enter(Phase::Linger, Some(LINGER));
    }

    pub(crate) fn expired(&self) -> Option<Expired> {
        self.state.lock().expired
    }

    /// Whether an answer was given before the body was read, so that the client may still be sending.
    pub(crate) fn is_body_left(&self) -> bool {
        self.state.lock().body_left
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        let write = state.blocked_since.map(|since| since + self.timeouts.write);
        match (state.deadline, write) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    pub(crate) fn judge(&self) -> Verdict {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.blocked_since.is_some_and(|since| since + self.timeouts.write <= now) {
            return Verdict::Close("client does not read");
        }
        if state.deadline.is_none_or(|deadline| now < deadline) {
            return Verdict::Wait;
        }
        let expired = match state.phase {
            Phase::Head => return Verdict::Close("headers did not arrive in time"),
            Phase::Idle => return Verdict::Close("idle"),
            Phase::Linger => return Verdict::Close("client is still sending"),
            Phase::Answer => return Verdict::Wait,
            Phase::Body => Expired::Body,
            Phase::Request => Expired::Request,
        };
        if state.expired.is_some() {
            // It was told before and did not answer.
            return Verdict::Close("no answer");
        }
        state.expired = Some(expired);
        state.deadline = Some(now + self.timeouts.request);
        Verdict::Nudge
    }
}
