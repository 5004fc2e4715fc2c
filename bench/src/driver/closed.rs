//! Closed loop: every connection sends its next request as soon as the last one is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio_rustls::rustls::ClientConfig;

use super::{Answers, Connections, Exchange, PATIENCE, SCRATCH, thread_time};
use crate::clock;
use crate::payload::Numbers;

/// When to send no more.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    After(Duration),
    Requests(u64),
}

pub struct Closed<'a, E> {
    pub target: SocketAddr,
    pub template: &'a E,
    pub connections: usize,
    pub stop: Stop,
    /// Answers this soon after the start do not count for the rate.
    pub warm_up: Duration,
}

#[derive(Clone, Debug)]
pub struct Throughput {
    pub answers: Answers,
    /// Answers per second between warm-up and stop.
    pub requests_per_second: f64,
    /// Share of one core that the driver's thread used.
    pub driver_load: f64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl<E: Exchange> Closed<'_, E> {
    pub fn run(&self, numbers: &mut Numbers) -> Result<Throughput> {
        self.run_over(None, numbers)
    }

    /// The same over TLS, when there is a configuration for it.
    pub fn run_over(&self, tls: Option<&Arc<ClientConfig>>, numbers: &mut Numbers) -> Result<Throughput> {
        let mut connections: Connections<E::Answer> =
            Connections::open(self.target, tls, self.connections, &self.template.buffer())?;
        let (started, cpu) = (clock::now(), thread_time());
        let mut run = Run::new(self, started);
        for index in 0..connections.all.len() {
            run.send(&mut connections, index, numbers)?;
        }
        let (mut scratch, mut ready) = (vec![0; SCRATCH], Vec::new());
        let mut last_answer = started;
        while run.in_flight > 0 {
            connections.wait(Duration::from_millis(100), &mut ready)?;
            let now = clock::now();
            for index in ready.drain(..) {
                let Some(status) = connections.all[index].advance(&mut scratch)? else { continue };
                last_answer = now;
                run.answered(status, now);
                if run.goes_on(now) {
                    run.send(&mut connections, index, numbers)?;
                }
            }
            anyhow::ensure!(now < last_answer + PATIENCE, "{} requests stay unanswered", run.in_flight);
        }
        let elapsed = last_answer.saturating_duration_since(started);
        let driver_load = (thread_time() - cpu).as_secs_f64() / elapsed.as_secs_f64().max(f64::EPSILON);
        Ok(Throughput {
            requests_per_second: run.rate(last_answer),
            answers: run.answers,
            driver_load,
            elapsed,
        })
    }
}

struct Run<'a, E> {
    plan: &'a Closed<'a, E>,
    counted_from: Instant,
    stops_at: Option<Instant>,
    sent: u64,
    in_flight: usize,
    /// Answers between warm-up and stop.
    counted: u64,
    answers: Answers,
}

impl<'a, E: Exchange> Run<'a, E> {
    fn new(plan: &'a Closed<'a, E>, started: Instant) -> Self {
        let counted_from = started + plan.warm_up;
        let stops_at = match plan.stop {
            Stop::After(length) => Some(counted_from + length),
            Stop::Requests(_) => None,
        };
        Self { plan, counted_from, stops_at, sent: 0, in_flight: 0, counted: 0, answers: Answers::default() }
    }

    fn goes_on(&self, now: Instant) -> bool {
        match self.plan.stop {
            Stop::After(_) => self.stops_at.is_some_and(|end| now < end),
            Stop::Requests(limit) => self.sent < limit,
        }
    }

    fn send(
        &mut self,
        connections: &mut Connections<E::Answer>,
        index: usize,
        numbers: &mut Numbers,
    ) -> Result<()> {
        if let Stop::Requests(limit) = self.plan.stop
            && self.sent >= limit
        {
            return Ok(());
        }
        self.sent += 1;
        self.in_flight += 1;
        connections.all[index].send(self.plan.template, numbers)
    }

    fn answered(&mut self, status: u16, now: Instant) {
        self.in_flight -= 1;
        self.answers.record(status);
        if now >= self.counted_from && self.stops_at.is_none_or(|end| now < end) {
            self.counted += 1;
        }
    }

    fn rate(&self, last_answer: Instant) -> f64 {
        let until = self.stops_at.unwrap_or(last_answer);
        self.counted as f64
            / until.saturating_duration_since(self.counted_from).as_secs_f64().max(f64::EPSILON)
    }
}
