//! The load driver: one thread, one epoll set, raw sockets.
//!
//! It runs inside the benchmark's own process while every candidate runs in another one, so all of them share the
//! two cores with exactly the same driver. A request costs it one `write`, one `read` and a share of an
//! `epoll_wait`; bodies are rendered before, and of an answer only the status and `Content-Length` are looked at.
//! Requests are not pipelined: a connection waits for its answer, as a real sender does.
//!
//! ```text
//! closed: every connection sends as soon as it is answered        → what the candidate can do
//! open:   requests are due at fixed times, whoever is still busy  → what a sender waits for
//! ```

mod closed;
mod connection;
mod open;
mod response;

pub use closed::{Closed, Stop};
pub use open::{Latency, Open};

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::epoll;

use connection::Connection;

/// Longest a run waits for outstanding answers before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes read at a time: more than any answer to the bodies used here.
const SCRATCH: usize = 256 * 1024;

/// How the answers of a run ended.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Answered with 2xx over the whole run, warm-up and tail included.
    pub accepted: u64,
    /// Anything else, by status.
    pub refused: BTreeMap<u16, u64>,
}

impl Answers {
    fn record(&mut self, status: u16) {
        if (200..300).contains(&status) {
            self.accepted += 1;
        } else {
            *self.refused.entry(status).or_default() += 1;
        }
    }

    /// A benchmark that measures refusals measures nothing.
    pub fn check(&self) -> Result<()> {
        anyhow::ensure!(
            self.refused.is_empty(),
            "requests were refused (status: how often): {:?}",
            self.refused
        );
        Ok(())
    }
}

/// The sockets of a run and what wakes its thread.
struct Connections {
    epoll: rustix::fd::OwnedFd,
    all: Vec<Connection>,
    events: Vec<epoll::Event>,
}

impl Connections {
    fn open(target: SocketAddr, count: usize, buffer: &[u8]) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut all = Vec::with_capacity(count);
        for index in 0..count {
            let connection = Connection::open(target, buffer.to_vec())
                .with_context(|| format!("cannot open connection {index} to {target}"))?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, connection.stream(), epoll::EventData::new_u64(index as u64), flags)?;
            all.push(connection);
        }
        Ok(Self { epoll, all, events: Vec::with_capacity(count) })
    }

    /// Adds to `ready` the connections that something happened to, after at most `timeout`.
    fn wait(&mut self, timeout: Duration, ready: &mut Vec<usize>) -> Result<()> {
        self.events.clear();
        let timeout = rustix::event::Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error)).context("cannot wait for answers"),
        }
        ready.extend(self.events.iter().map(|event| event.data.u64() as usize));
        Ok(())
    }
}

/// Processor time of the calling thread, which is the driver's.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}
