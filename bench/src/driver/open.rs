//! Open loop: requests are due at fixed times, and a request's latency starts when it was due, not when a connection
//! was free for it. A server that stalls is charged for everybody who would have come meanwhile.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::{Answers, Connections, Exchange, PATIENCE, SCRATCH, thread_time};
use crate::clock;
use crate::payload::Numbers;

/// Requests that became due closer together than this are sent by one wake-up. It bounds what the driver itself adds
/// to a latency, and what its timer costs the server: at most 20 000 wake-ups a second.
const TICK: Duration = Duration::from_micros(50);

pub struct Open<'a, E> {
    pub target: SocketAddr,
    pub template: &'a E,
    pub connections: usize,
    pub requests_per_second: f64,
    pub length: Duration,
    /// Requests due this soon after the start are sent but not measured.
    pub warm_up: Duration,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    pub due: Instant,
    pub at: Instant,
    pub status: u16,
}

pub struct Latency {
    pub answers: Answers,
    /// Microseconds from the time a request was due to the end of its answer.
    pub histogram: Histogram<u64>,
    pub driver_load: f64,
    /// Most requests that were due at a time without a free connection.
    pub longest_queue: usize,
}

impl<E: Exchange> Open<'_, E> {
    pub fn run(&self, numbers: &mut Numbers) -> Result<Latency> {
        self.run_watched(numbers, |_| ControlFlow::Continue(()))
    }

    /// Runs and tells of every answer, until whoever is told has seen enough; then nothing more becomes due.
    pub fn run_watched(
        &self,
        numbers: &mut Numbers,
        mut answered: impl FnMut(Answered) -> ControlFlow<()>,
    ) -> Result<Latency> {
        // The default slack of 50 µs would come on top of every tick.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000))
            .context("cannot set the timer slack")?;
        let mut connections: Connections<E::Answer> =
            Connections::open(self.target, None, self.connections, &self.template.buffer())?;
        let (started, cpu) = (clock::now(), thread_time());
        let mut run = Run::new(self, started, connections.all.len())?;
        let (mut scratch, mut ready) = (vec![0; SCRATCH], Vec::new());
        let mut progress = started;
        loop {
            let now = clock::now();
            run.send_due(&mut connections, numbers, now)?;
            let Some(pause) = run.pause(now) else { break };
            connections.wait(pause, &mut ready)?;
            for index in ready.drain(..) {
                if let Some(status) = connections.all[index].advance(&mut scratch)? {
                    progress = clock::now();
                    let due = run.answered(index, status, progress)?;
                    if answered(Answered { due, at: progress, status }).is_break() {
                        run.stop();
                    }
                }
            }
            anyhow::ensure!(now < progress + PATIENCE, "no answers for {PATIENCE:?}");
        }
        let elapsed = clock::now().saturating_duration_since(started).as_secs_f64();
        let driver_load = (thread_time() - cpu).as_secs_f64() / elapsed;
        let Run { answers, histogram, longest_queue, .. } = run;
        Ok(Latency { answers, histogram, driver_load, longest_queue })
    }
}

struct Run<'a, E> {
    plan: &'a Open<'a, E>,
    started: Instant,
    measured_from: Instant,
    gap: Duration,
    /// Requests of the whole run, and how many of them became due.
    total: u64,
    due: u64,
    /// Due without a free connection.
    waiting: VecDeque<Instant>,
    longest_queue: usize,
    /// The one that has been idle for longest comes first, or else the server would close it in a long run.
    idle: VecDeque<usize>,
    /// By connection: when the request under way was due.
    due_at: Vec<Instant>,
    answers: Answers,
    histogram: Histogram<u64>,
}

impl<'a, E: Exchange> Run<'a, E> {
    fn new(plan: &'a Open<'a, E>, started: Instant, connections: usize) -> Result<Self> {
        Ok(Self {
            plan,
            started,
            measured_from: started + plan.warm_up,
            gap: Duration::from_secs_f64(1.0 / plan.requests_per_second),
            total: ((plan.warm_up + plan.length).as_secs_f64() * plan.requests_per_second) as u64,
            due: 0,
            waiting: VecDeque::new(),
            longest_queue: 0,
            idle: (0..connections).collect(),
            due_at: vec![started; connections],
            answers: Answers::default(),
            histogram: Histogram::new_with_bounds(1, 120_000_000, 3)?,
        })
    }

    fn due_time(&self, request: u64) -> Instant {
        self.started + Duration::from_nanos(self.gap.as_nanos() as u64 * request)
    }

    fn send_due(
        &mut self,
        connections: &mut Connections<E::Answer>,
        numbers: &mut Numbers,
        now: Instant,
    ) -> Result<()> {
        while self.due < self.total && self.due_time(self.due) <= now {
            self.waiting.push_back(self.due_time(self.due));
            self.due += 1;
        }
        while let Some(due_at) = self.waiting.front().copied() {
            let Some(index) = self.idle.pop_front() else { break };
            self.waiting.pop_front();
            self.due_at[index] = due_at;
            connections.all[index].send(self.plan.template, numbers)?;
        }
        self.longest_queue = self.longest_queue.max(self.waiting.len());
        Ok(())
    }

    /// How long nothing is due; nothing when all is done.
    fn pause(&self, now: Instant) -> Option<Duration> {
        if self.due < self.total {
            return Some(self.due_time(self.due).saturating_duration_since(now).max(TICK));
        }
        (self.idle.len() < self.due_at.len()).then_some(Duration::from_millis(100))
    }

    /// Nothing more becomes due; what is due is still sent.
    fn stop(&mut self) {
        self.total = self.due;
    }

    /// Gives the time at which the request was due.
    fn answered(&mut self, index: usize, status: u16, now: Instant) -> Result<Instant> {
        self.answers.record(status);
        self.idle.push_back(index);
        let due_at = self.due_at[index];
        if due_at >= self.measured_from {
            let micros = now.saturating_duration_since(due_at).as_micros() as u64;
            self.histogram.record(micros.max(1)).context("a latency beyond two minutes")?;
        }
        Ok(due_at)
    }
}
