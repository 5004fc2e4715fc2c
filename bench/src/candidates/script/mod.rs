//! The script alone: what Redis does when it is asked to decide, and nobody stands between it and the driver.
//!
//! The script and its arguments are those of the Seawall that is measured beside it: one call of its own is overheard
//! and sent again and again, with other numbers. `redis-benchmark` cannot do that. Its arguments hold no zero bytes, and its
//! random numbers do not grow, so most calls would be answered from the record of the last operation. How it and this
//! driver compare with a script that does nothing stands in the table, too.

mod capture;
mod template;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use redis::{Connection, Value};

use super::Lab;
use super::redis::Redis;
use crate::cases::{POPULATION, Traffic};
use crate::driver::{Closed, Exchange, Reply, Throughput};
use crate::payload::{GROUP, Numbers};
use template::{Place, ScriptTemplate};

/// Signals that make a storm of a namespace, with some to spare.
const STORM: u64 = 20;

/// Calls of the script for one kind of traffic.
pub struct ScriptCalls {
    script: Vec<u8>,
    template: ScriptTemplate,
    traffic: Traffic,
}

/// A Redis server that knows the script and has the incidents that the traffic is about.
pub struct RunningScript {
    pub redis: Redis,
    /// Calls so far.
    prepared: u64,
    _directory: tempfile::TempDir,
}

impl ScriptCalls {
    /// Overhears how Seawall asks for `alerts` signals to be decided at once.
    pub fn overhear(lab: &Lab, traffic: Traffic, alerts: usize) -> Result<Self> {
        let call = capture::overhear(lab, traffic, alerts)?;
        let template = ScriptTemplate::new(&call, traffic, alerts)?;
        Ok(Self { script: call.script, template, traffic })
    }

    pub fn template(&self) -> &ScriptTemplate {
        &self.template
    }

    /// A fresh server for that many connections.
    pub fn start(&self, lab: &Lab, connections: usize) -> Result<RunningScript> {
        let directory = lab.directory()?;
        let redis = Redis::start(&lab.redis, directory.path())?;
        let mut connection = redis.connection()?;
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(&self.script).query(&mut connection)?;
        anyhow::ensure!(sha == self.template.sha(), "the script that was overheard is not the one that runs");
        let mut prepared = 0;
        for place in self.preparation(connections as u64) {
            prepared += 1;
            self.call(&mut connection, Place { op: prepared, ..place })?;
        }
        Ok(RunningScript { redis, prepared, _directory: directory })
    }

    /// Numbers for the run: above those of the preparation where every alert is a new one.
    pub fn numbers(&self, connections: usize) -> Numbers {
        match self.traffic {
            Traffic::Repeats => Numbers::cycle(POPULATION),
            _ => Numbers::fresh(GROUP * 100 * connections as u64),
        }
    }

    fn preparation(&self, connections: u64) -> Vec<Place> {
        let alerts = self.template.alerts();
        let place = |partition, number| Place { partition, number, op: 0 };
        let everywhere = |signals: u64| {
            let calls = signals.div_ceil(alerts);
            let of = move |partition| {
                (0..calls).map(move |call| place(partition, partition * GROUP + call * alerts))
            };
            (0..connections).flat_map(of).collect()
        };
        match self.traffic {
            Traffic::Repeats => (0..POPULATION).map(|number| place(number, number)).collect(),
            Traffic::GroupRepeats => everywhere(GROUP),
            Traffic::Members => everywhere(STORM),
            Traffic::Fresh | Traffic::NewGroups => Vec::new(),
        }
    }

    /// One call, and what it decided of the last signal.
    fn call(&self, connection: &mut Connection, place: Place) -> Result<u8> {
        let mut request = self.template.buffer();
        self.template.patch(&mut request, place);
        connection.send_packed_command(&request)?;
        match connection.recv_response()? {
            Value::BulkString(answer) => {
                first_decision(&answer).context("the script's answer has no decision")
            }
            other => anyhow::bail!("the script answered {other:?}"),
        }
    }

    /// Fails unless the server has run every call of `sent`, and a further one decides what such traffic is decided.
    pub fn check(&self, running: &RunningScript, sent: &Throughput, numbers: &mut Numbers) -> Result<()> {
        let (calls, failed) = running.redis.calls("evalsha")?;
        let expected = running.prepared + sent.answers.accepted;
        anyhow::ensure!(
            (calls, failed) == (expected, 0),
            "Redis ran {calls} scripts, {failed} of them failed, and {expected} were answered"
        );
        let place = self.template.next(0, numbers);
        let decided = self.call(&mut running.redis.connection()?, place)?;
        anyhow::ensure!(
            decided == self.traffic.decision(),
            "{}: the script decides {decided}",
            self.traffic.name()
        );
        Ok(())
    }
}

/// The kind of the first decision in an answer: the first number behind the heads of the arrays around it.
fn first_decision(answer: &[u8]) -> Option<u8> {
    let mut bytes = answer.iter().copied();
    loop {
        match bytes.next()? {
            0x90..=0x9f => {}
            0xdc => _ = bytes.nth(1)?,
            kind @ 0..=0x7f => return Some(kind),
            _ => return None,
        }
    }
}

/// A script that does nothing, once with `redis-benchmark` and once with this driver: calls a second of each.
pub fn compare_drivers(lab: &Lab, benchmark: &Path, connections: usize, calls: u64) -> Result<(f64, f64)> {
    let directory = lab.directory()?;
    let redis = Redis::start(&lab.redis, directory.path())?;
    let sha: String = redis.ask(&["SCRIPT", "LOAD", "return ''"])?;
    let address = redis.server.address;
    let mut command = Command::new(benchmark);
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    command.args(["-c", &connections.to_string(), "-n", &calls.to_string(), "--csv", "EVALSHA", &sha, "0"]);
    let output = command.output().with_context(|| {
        format!("cannot run {}; Debian has it in the package redis-tools", benchmark.display())
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let theirs = text.lines().last().and_then(|line| line.split("\",\"").nth(1)?.parse().ok());
    let theirs = theirs.with_context(|| format!("redis-benchmark said: {text}"))?;
    let request = template::packed(&[b"EVALSHA", sha.as_bytes(), b"0"]);
    let ours = Closed {
        target: address,
        template: &Constant(request),
        connections,
        stop: crate::driver::Stop::Requests(calls),
        warm_up: std::time::Duration::ZERO,
    };
    let ours = ours.run(&mut Numbers::fresh(0))?;
    Ok((theirs, ours.requests_per_second))
}

/// The same request every time.
struct Constant(Vec<u8>);

impl Exchange for Constant {
    type Answer = Reply;

    fn buffer(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn fill(&self, _: usize, _: &mut [u8], _: &mut Numbers) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_decision_of_an_answer_is_found() {
        assert_eq!(first_decision(&[0x97, 0x91, 0x99, 3, 0xcd, 1, 2]), Some(3));
        assert_eq!(first_decision(&[0x97, 0xdc, 0, 100, 0x99, 4, 1]), Some(4));
        assert_eq!(first_decision(&[0x97, 0x90]), None);
        assert_eq!(first_decision(b"\xa5later"), None);
    }
}
