//! Open loop at half of what the Redis store takes: how much longer a sender waits than with the embedded store.

use anyhow::{Context, Result};

use crate::candidates::{Candidate, Lab};
use crate::cases::Traffic;
use crate::cases::throughput::Saturation;
use crate::driver::{Latency, Open};
use crate::payload::Dialect;
use crate::report::{Figure, Report, Section, grouped, median, micros};
use crate::settings::Settings;

/// What Redis may add, in microseconds.
const ADDED: f64 = 2_000.0;

/// One kind of traffic at one rate, to both stores in turn.
struct Line {
    traffic: Traffic,
    requests_per_second: f64,
    embedded: Vec<Latency>,
    redis: Vec<Latency>,
}

pub fn run(lab: &Lab, settings: &Settings, saturation: Saturation, report: &mut Report) -> Result<()> {
    let line = |traffic, rate: f64| Line {
        traffic,
        requests_per_second: rate / 2.0,
        embedded: Vec::new(),
        redis: Vec::new(),
    };
    let mut lines = [line(Traffic::Repeats, saturation.repeats), line(Traffic::Fresh, saturation.fresh)];
    for round in 1..=settings.rounds {
        for line in &mut lines {
            let embedded = line.measure(lab, settings, Candidate::Seawall)?;
            let redis = line.measure(lab, settings, Candidate::SeawallOnRedis)?;
            eprintln!(
                "Redis, latency, round {round}: {} at {}/s: p99 {}, embedded {}",
                line.traffic.name(),
                grouped(line.requests_per_second),
                micros(redis.histogram.value_at_quantile(0.99)),
                micros(embedded.histogram.value_at_quantile(0.99)),
            );
            line.embedded.push(embedded);
            line.redis.push(redis);
        }
    }
    add_to(report, &lines);
    Ok(())
}

impl Line {
    fn measure(&self, lab: &Lab, settings: &Settings, candidate: Candidate) -> Result<Latency> {
        let running = lab.start(candidate)?;
        let (mut numbers, prepared) = self.traffic.prepare(&running, Dialect::Webhook)?;
        let load = Open {
            target: running.server.address,
            template: &self.traffic.template(Dialect::Webhook, 1),
            connections: settings.connections,
            requests_per_second: self.requests_per_second,
            length: settings.length,
            warm_up: settings.warm_up * 2,
        };
        let measured = load.run(&mut numbers).with_context(|| self.traffic.name())?;
        measured.answers.check()?;
        running.check_accepted(prepared + measured.answers.accepted)?;
        Ok(measured)
    }

    /// The median over the rounds of what Redis adds to a percentile within each, in microseconds.
    fn added(&self, quantile: f64) -> f64 {
        let at = |latency: &Latency| latency.histogram.value_at_quantile(quantile) as f64;
        median(self.redis.iter().zip(&self.embedded).map(|(redis, embedded)| at(redis) - at(embedded)))
    }
}

fn add_to(report: &mut Report, lines: &[Line]) {
    let mut rows = Vec::new();
    for line in lines {
        let name = line.traffic.name();
        let added = line.added(0.99);
        report.figures.push(Figure {
            name: format!("Redis store, added p99 over embedded at half load: {name}"),
            measured: signed(added),
            target: "≤ 2 ms".to_owned(),
            reached: added <= ADDED,
        });
        rows.push(row(format!("embedded, {name}"), line.requests_per_second, &line.embedded));
        rows.push(row(format!("Redis, {name}"), line.requests_per_second, &line.redis));
        let dash = || "–".to_owned();
        let mut difference = vec!["what Redis adds".to_owned(), dash()];
        difference.extend([0.5, 0.99, 0.999].map(|quantile| signed(line.added(quantile))));
        difference.extend([dash(), dash()]);
        rows.push(difference);
    }
    report.sections.push(Section {
        title: "Redis store: latency at half of its saturation, open loop".to_owned(),
        note: "Both stores at the same rate, half of what the Redis store takes in single alerts. From the time a request was \
               due to the end of its answer; medians of the rounds' percentiles, and of the differences within a round. \
               The embedded store waits for an fdatasync, Redis is in memory only."
            .to_owned(),
        header: vec!["store", "requests/s", "p50", "p99", "p99.9", "longest queue", "driver's core"],
        rows,
    });
}

fn row(name: String, rate: f64, rounds: &[Latency]) -> Vec<String> {
    let at = |quantile| {
        let values = rounds.iter().map(|round| round.histogram.value_at_quantile(quantile) as f64);
        micros(median(values) as u64)
    };
    let queue = rounds.iter().map(|round| round.longest_queue).max().unwrap_or(0);
    let driver = median(rounds.iter().map(|round| round.driver_load));
    vec![
        name,
        grouped(rate),
        at(0.5),
        at(0.99),
        at(0.999),
        queue.to_string(),
        format!("{:.0} %", driver * 100.0),
    ]
}

/// A difference of microseconds for people.
fn signed(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "+" };
    format!("{sign}{}", micros(value.abs() as u64))
}
