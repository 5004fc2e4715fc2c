//! Open loop at half of saturation: how long a sender waits for "durable".

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::Traffic;
use super::throughput::Saturation;
use crate::candidates::{Candidate, Lab};
use crate::disk;
use crate::driver::{Latency, Open};
use crate::payload::{Dialect, Numbers};
use crate::report::{Figure, Report, Section, grouped, median, micros};
use crate::settings::Settings;

/// What a request may take beyond one fdatasync, in microseconds.
const ALLOWANCE: f64 = 1_000.0;
/// Between two appends while load runs: often enough for a percentile, too seldom to be a load itself.
const PROBE_PERIOD: Duration = Duration::from_millis(10);

/// One candidate under one kind of traffic at one rate.
struct Line {
    name: &'static str,
    candidate: Candidate,
    traffic: Traffic,
    requests_per_second: f64,
    rounds: Vec<Latency>,
}

impl Line {
    /// The median over the rounds of a percentile of each.
    fn at(&self, quantile: f64) -> f64 {
        median(self.rounds.iter().map(|round| round.histogram.value_at_quantile(quantile) as f64))
    }

    fn measure(&self, lab: &Lab, settings: &Settings) -> Result<Latency> {
        let running = lab.start(self.candidate)?;
        let (mut numbers, prepared) = match self.candidate {
            Candidate::Seawall => self.traffic.prepare(&running, Dialect::Webhook)?,
            _ => (Numbers::fresh(0), 0),
        };
        let load = Open {
            target: running.server.address,
            template: &self.traffic.template(Dialect::Webhook, 1),
            connections: settings.connections,
            requests_per_second: self.requests_per_second,
            length: settings.length,
            warm_up: settings.warm_up * 2,
        };
        let measured = load.run(&mut numbers)?;
        measured.answers.check()?;
        running.check_accepted(prepared + measured.answers.accepted)?;
        Ok(measured)
    }
}

/// Measures at half of `saturation`; `idle` is the disk's own time for an append, in microseconds.
pub fn run(
    lab: &Lab,
    settings: &Settings,
    saturation: Saturation,
    idle: &Histogram<u64>,
    report: &mut Report,
) -> Result<()> {
    let line = |name, candidate, traffic, rate: f64| Line {
        name,
        candidate,
        traffic,
        requests_per_second: rate / 2.0,
        rounds: Vec::new(),
    };
    let mut lines = [
        line("Seawall, repeats", Candidate::Seawall, Traffic::Repeats, saturation.repeats),
        line("Seawall, new incidents", Candidate::Seawall, Traffic::Fresh, saturation.fresh),
        line("ceiling, at the rate of the repeats", Candidate::Ceiling, Traffic::Repeats, saturation.repeats),
    ];
    for round in 1..=settings.rounds {
        for line in &mut lines {
            let measured = line.measure(lab, settings).context(line.name)?;
            eprintln!(
                "latency, round {round}: {} at {}/s: p50 {}, p99 {}",
                line.name,
                grouped(line.requests_per_second),
                micros(measured.histogram.value_at_quantile(0.5)),
                micros(measured.histogram.value_at_quantile(0.99)),
            );
            line.rounds.push(measured);
        }
    }
    let loaded = disk_under_load(lab, settings, &lines[0])?;
    add_to(report, &lines, idle, &loaded);
    Ok(())
}

/// The disk's time for an append while a further round of `line` runs, which is not measured itself.
fn disk_under_load(lab: &Lab, settings: &Settings, line: &Line) -> Result<Histogram<u64>> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let probe = scope.spawn(|| disk::probe_until(lab.root(), PROBE_PERIOD, &stop));
        let measured = line.measure(lab, settings);
        stop.store(true, Ordering::Relaxed);
        let probed = probe.join().map_err(|_| anyhow::anyhow!("the probe of the disk panicked"))?;
        measured?;
        probed
    })
}

fn add_to(report: &mut Report, lines: &[Line], idle: &Histogram<u64>, loaded: &Histogram<u64>) {
    let fsync = idle.value_at_quantile(0.99) as f64;
    for line in lines.iter().filter(|line| line.candidate == Candidate::Seawall) {
        let measured = line.at(0.99);
        report.figures.push(Figure {
            name: format!("p99 at half of saturation, open loop: {}", line.traffic.name()),
            measured: micros(measured as u64),
            target: format!("≤ 1 ms + one fdatasync (its p99, idle: {})", micros(fsync as u64)),
            reached: measured <= ALLOWANCE + fsync,
        });
    }
    let mut rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let percentile = |quantile| micros(line.at(quantile) as u64);
            let queue = line.rounds.iter().map(|round| round.longest_queue).max().unwrap_or(0);
            let driver = median(line.rounds.iter().map(|round| round.driver_load));
            vec![
                line.name.to_owned(),
                grouped(line.requests_per_second),
                percentile(0.5),
                percentile(0.99),
                percentile(0.999),
                queue.to_string(),
                format!("{:.0} %", driver * 100.0),
            ]
        })
        .collect();
    for (name, histogram) in
        [("append 4 KiB + fdatasync, idle", idle), ("the same while the repeats run", loaded)]
    {
        let percentile = |quantile| micros(histogram.value_at_quantile(quantile));
        let dash = || "–".to_owned();
        rows.push(vec![
            name.to_owned(),
            dash(),
            percentile(0.5),
            percentile(0.99),
            percentile(0.999),
            dash(),
            dash(),
        ]);
    }
    report.sections.push(Section {
        title: "Latency at half of saturation, open loop".to_owned(),
        note: "From the time a single-alert request was due, whoever was busy, to the end of its answer \
               (coordinated omission is charged). Due times are evenly spaced; the driver wakes at most every 50 µs. \
               Medians of the rounds' percentiles."
            .to_owned(),
        header: vec!["candidate", "requests/s", "p50", "p99", "p99.9", "longest queue", "driver's core"],
        rows,
    });
}
