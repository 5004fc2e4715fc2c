//! The load driver: one thread, one epoll set, raw sockets.
//!
//! It runs inside the benchmark's own process while every candidate runs in another one, so all of them share the
//! two cores with exactly the same driver. A request costs it one `write`, one `read` and a share of an
//! `epoll_wait`; bodies are rendered before, and of an answer only the status and its length are looked at.
//! Requests are not pipelined: a connection waits for its answer, as a real sender does. It speaks HTTP to servers of
//! alerts and RESP to Redis; everything else is the same for both.
//!
//! ```text
//! closed: every connection sends as soon as it is answered        → what the candidate can do
//! open:   requests are due at fixed times, whoever is still busy  → what a sender waits for
//! ```

mod closed;
mod connection;
mod open;
mod reply;
mod response;

pub use closed::{Closed, Stop, Throughput};
pub use open::{Answered, Latency, Open};
pub use reply::Reply;
pub use response::Response;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::epoll;
use tokio_rustls::rustls::ClientConfig;

use crate::payload::Numbers;
use connection::Connection;

/// Longest a run waits for outstanding answers before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes read at a time: more than any answer to the bodies used here.
const SCRATCH: usize = 256 * 1024;

/// Requests as they are sent, and what an answer to them looks like.
pub trait Exchange {
    type Answer: Follow;

    /// A copy to patch and send again and again.
    fn buffer(&self) -> Vec<u8>;

    /// Makes `buffer` the next request of that connection.
    fn fill(&self, connection: usize, buffer: &mut [u8], numbers: &mut Numbers);
}

/// Follows one answer at a time over any split into reads.
pub trait Follow: Default {
    /// Takes what was read; gives the status when the answer is complete with it.
    fn feed(&mut self, bytes: &[u8]) -> Result<Option<u16>>;
}

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
struct Connections<A> {
    epoll: rustix::fd::OwnedFd,
    all: Vec<Connection<A>>,
    events: Vec<epoll::Event>,
}

impl<A: Follow> Connections<A> {
    fn open(
        target: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        count: usize,
        buffer: &[u8],
    ) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut all = Vec::with_capacity(count);
        for index in 0..count {
            let connection = Connection::open(target, tls, index, buffer.to_vec())
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use seawall_model::Timestamp;

    use super::*;
    use crate::payload::{Dialect, Numbers, Spread, Template};

    /// Answers every request on so many connections; every tenth of a connection with `tenth`.
    fn server(connections: usize, tenth: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(&stream, tenth));
            }
        });
        address
    }

    fn serve(stream: &TcpStream, tenth: &str) {
        let mut reader = BufReader::new(stream);
        for request in 1.. {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 {
                    return;
                }
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let status = if request % 10 == 0 { tenth } else { "202 Accepted" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            (&mut &*stream).write_all(answer.as_bytes()).unwrap();
        }
    }

    fn template(alerts: usize) -> Template {
        Template::new(Dialect::Webhook, Spread::Apart, alerts, Timestamp::from_millis(0))
    }

    #[test]
    fn a_closed_loop_sends_exactly_what_it_was_told_to() {
        let load = Closed {
            target: server(4, "202 Accepted"),
            template: &template(300),
            connections: 4,
            stop: Stop::Requests(101),
            warm_up: Duration::ZERO,
        };
        let sent = load.run(&mut Numbers::fresh(0)).unwrap();
        assert_eq!(sent.answers.accepted, 101);
        sent.answers.check().unwrap();
    }

    #[test]
    fn refusals_are_not_taken_for_answers() {
        let load = Closed {
            target: server(1, "503 Service Unavailable"),
            template: &template(1),
            connections: 1,
            stop: Stop::Requests(25),
            warm_up: Duration::ZERO,
        };
        let sent = load.run(&mut Numbers::fresh(0)).unwrap();
        assert_eq!(sent.answers.accepted, 23);
        assert!(sent.answers.check().unwrap_err().to_string().contains("503"));
    }

    #[test]
    fn an_open_loop_sends_and_measures_every_request_that_was_due() {
        let load = Open {
            target: server(2, "202 Accepted"),
            template: &template(1),
            connections: 2,
            requests_per_second: 2_000.0,
            length: Duration::from_millis(100),
            warm_up: Duration::from_millis(50),
        };
        let measured = load.run(&mut Numbers::fresh(0)).unwrap();
        assert_eq!(measured.answers.accepted, 300);
        assert_eq!(measured.histogram.len(), 200);
    }
}
