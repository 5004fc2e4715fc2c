//! One very large body: what Alertmanager sends when a whole group of thousands fires.

use std::time::Duration;

use anyhow::Result;

use super::template;
use crate::candidates::{Candidate, Lab, Running};
use crate::driver::Exchange;
use crate::payload::{Dialect, Numbers, Spread, Template};
use crate::report::{Figure, Report, Section, mebibytes};
use crate::settings::Settings;
use crate::{clock, control};

/// Most that resident memory may rise above the idle process while the body is taken.
const PEAK: f64 = 64.0 * 1024.0 * 1024.0;
const SETTLE: Duration = Duration::from_secs(10);

struct Taken {
    name: &'static str,
    took: Duration,
    idle: u64,
    peak: u64,
    after: u64,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let alerts = settings.large_body;
    let storm = template(Dialect::Webhook, Spread::Together, alerts);
    let running = lab.start(Candidate::Seawall)?;
    let mut taken = vec![send(&running, &storm, "one storm")?];
    drop(running);
    let apart = template(Dialect::Webhook, Spread::Apart, alerts);
    let running = lab.start(Candidate::Seawall)?;
    taken.push(send(&running, &apart, "each a new incident with its own request")?);
    taken.push(send(&running, &apart, "the same again, all repeats")?);
    running.check_accepted(2 * alerts as u64)?;
    for line in &taken {
        let over = line.peak as f64 - line.idle as f64;
        report.figures.push(Figure {
            name: format!("{:.0} MB body, {alerts} alerts, peak over idle: {}", megabytes(&apart), line.name),
            measured: mebibytes(over),
            target: "≤ 64 MiB".to_owned(),
            reached: over <= PEAK,
        });
    }
    let row = |line: &Taken| {
        let memory = [line.idle, line.peak, line.after].map(|bytes| mebibytes(bytes as f64));
        let mut row = vec![line.name.to_owned(), format!("{:.2} s", line.took.as_secs_f64())];
        row.extend(memory);
        row
    };
    report.sections.push(Section {
        title: format!("One body of {alerts} alerts, {:.1} MB", megabytes(&apart)),
        note:
            "Peak is VmHWM, reset just before. What stays afterwards is state: the incidents, not the body."
                .to_owned(),
        header: vec!["alerts are", "answered after", "idle", "peak", "settled"],
        rows: taken.iter().map(row).collect(),
    });
    Ok(())
}

fn megabytes(template: &Template) -> f64 {
    template.body_bytes() as f64 / 1e6
}

fn send(running: &Running, template: &Template, name: &'static str) -> Result<Taken> {
    let mut request = template.buffer();
    template.fill(0, &mut request, &mut Numbers::fresh(0));
    let server = &running.server;
    let idle = server.settled(SETTLE)?;
    server.forget_peak()?;
    let started = clock::now();
    let answer = control::exchange(server.address, &request)?;
    let took = clock::now() - started;
    anyhow::ensure!(answer.status / 100 == 2, "{name}: answered {}: {}", answer.status, answer.text());
    let peak = server.peak()?;
    let after = server.settled(SETTLE)?;
    eprintln!("body: {name}: {took:.2?}, {} over idle", mebibytes(peak as f64 - idle as f64));
    Ok(Taken { name, took, idle, peak, after })
}
