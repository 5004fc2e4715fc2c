//! From Redis being back to the first alert that is taken again.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::candidates::{Candidate, Lab, Running};
use crate::cases::Traffic;
use crate::clock;
use crate::driver::Open;
use crate::payload::Dialect;
use crate::report::{Figure, Report, Section, median};
use crate::settings::Settings;

/// Longest from Redis being back to the first 2xx.
const LIMIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `kill -9`, and started again, empty.
    Killed,
    /// `SIGSTOP` and `SIGCONT`: it answers nobody, and has lost nothing.
    Frozen,
}

impl Fault {
    fn name(self, settings: &Settings) -> String {
        let outages = &settings.outages;
        match self {
            Self::Killed => {
                format!("killed with -9, started again after {:.0} s", outages.dead.as_secs_f64())
            }
            Self::Frozen => format!("paused for {:.0} s", outages.frozen.as_secs_f64()),
        }
    }
}

/// One outage as senders saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// From Redis being back to the first 2xx.
    first: Duration,
    /// From Redis being back to the last refusal.
    last_refusal: Duration,
    refused: usize,
    /// Longest that a sender waited for any answer.
    longest_wait: Duration,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    for fault in [Fault::Killed, Fault::Frozen] {
        let name = fault.name(settings);
        let mut all = Vec::new();
        for round in 1..=settings.outages.rounds {
            let seen = measure(lab, settings, fault).with_context(|| name.clone())?;
            eprintln!("Redis, recovery, round {round}: {name}: first 2xx after {:.0?}", seen.first);
            all.push(seen);
        }
        let worst = all.iter().map(|seen| seen.first).max().unwrap_or_default();
        report.figures.push(Figure {
            name: format!("recovery after Redis returns, worst of {}: {name}", all.len()),
            measured: format!("{:.3} s", worst.as_secs_f64()),
            target: "< 1 s".to_owned(),
            reached: worst < LIMIT,
        });
        rows.push(row(name, &all));
    }
    report.sections.push(Section {
        title: "Redis store: recovery".to_owned(),
        note: format!(
            "Open loop, {:.0} single alerts a second over {} connections before, during and after. From the first `PING` that a \
             restarted server has answered, or from `SIGCONT`, to the first 2xx.",
            settings.outages.requests_per_second, settings.connections
        ),
        header: vec!["Redis is", "outages", "first 2xx", "worst", "last 503, worst", "503s", "longest wait for an answer"],
        rows,
    });
    Ok(())
}

fn row(name: String, all: &[Seen]) -> Vec<String> {
    let seconds = |length: Duration| format!("{:.3} s", length.as_secs_f64());
    let worst = |field: fn(&Seen) -> Duration| all.iter().map(field).max().unwrap_or_default();
    let typical = median(all.iter().map(|seen| seen.first.as_secs_f64()));
    vec![
        name,
        all.len().to_string(),
        format!("{typical:.3} s"),
        seconds(worst(|seen| seen.first)),
        seconds(worst(|seen| seen.last_refusal)),
        median(all.iter().map(|seen| seen.refused as f64)).to_string(),
        seconds(worst(|seen| seen.longest_wait)),
    ]
}

fn measure(lab: &Lab, settings: &Settings, fault: Fault) -> Result<Seen> {
    let mut running = lab.start(Candidate::SeawallOnRedis)?;
    let (mut numbers, _) = Traffic::Repeats.prepare(&running, Dialect::Webhook)?;
    let outages = &settings.outages;
    let gone = if fault == Fault::Killed { outages.dead } else { outages.frozen };
    let load = Open {
        target: running.server.address,
        template: &Traffic::Repeats.template(Dialect::Webhook, 1),
        connections: settings.connections,
        requests_per_second: outages.requests_per_second,
        // What Redis takes to start and Seawall to notice comes on top.
        length: outages.around + gone + 2 * LIMIT + outages.around,
        warm_up: Duration::ZERO,
    };
    let (back, answers, longest_wait) = std::thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let mut answers: Vec<(Instant, u16)> = Vec::new();
            let measured = load.run_watched(&mut numbers, |answered| {
                answers.push((answered.at, answered.status));
                ControlFlow::Continue(())
            })?;
            anyhow::Ok((answers, measured.histogram.max()))
        });
        clock::pause(outages.around);
        let back = fail(&mut running, fault, gone);
        let (answers, longest) = driver.join().map_err(|_| anyhow::anyhow!("the driver panicked"))??;
        anyhow::Ok((back?, answers, Duration::from_micros(longest)))
    })?;
    let later = |taken: bool| {
        let answers =
            answers.iter().filter(move |(at, status)| *at >= back.begins && is_taken(*status) == taken);
        answers.map(|(at, _)| at.saturating_duration_since(back.is))
    };
    let first = later(true).next().context("nothing was taken after Redis was back")?;
    let refused = answers.iter().filter(|(_, status)| !is_taken(*status)).count();
    anyhow::ensure!(refused > 0, "nothing was refused; Redis was not away");
    let last_refusal = later(false).max().unwrap_or_default();
    Ok(Seen { first, last_refusal, refused, longest_wait })
}

const fn is_taken(status: u16) -> bool {
    status / 100 == 2
}

/// When Redis came back.
#[derive(Clone, Copy)]
struct Back {
    /// Before it was started or woken.
    begins: Instant,
    /// It answered.
    is: Instant,
}

fn fail(running: &mut Running, fault: Fault, gone: Duration) -> Result<Back> {
    let redis = running.redis.take().context("Seawall runs without Redis")?;
    let (begins, is) = match fault {
        Fault::Killed => {
            let dead = redis.kill()?;
            clock::pause(gone);
            let begins = clock::now();
            running.redis = Some(dead.start_again()?);
            (begins, clock::now())
        }
        Fault::Frozen => {
            redis.server.freeze()?;
            clock::pause(gone);
            let begins = clock::now();
            redis.server.thaw()?;
            running.redis = Some(redis);
            (begins, begins)
        }
    };
    Ok(Back { begins, is })
}
