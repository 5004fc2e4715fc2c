//! Requests made a second, beside what the API server can make for the same number of writers.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::candidates::kubernetes::{Kubernetes, Method, as_written};
use crate::candidates::{Lab, Running};
use crate::cases::template;
use crate::driver::{Closed, Stop};
use crate::payload::{Dialect, Numbers, Spread, namespace};
use crate::report::{Figure, Report, Section, grouped, median, spread};
use crate::settings::Settings;
use crate::{clock, control};

/// As many as Seawall has.
const WRITERS: usize = 8;
/// Alerts in a body.
const BODY: u64 = 100;
/// Requests that are made before, because the first ones of a new definition take longest.
const WARM_UP: u64 = 100;
/// Far more calls a second than there can be, so that nothing but the two sides is measured.
const UNLIMITED: u32 = 1_000_000;
/// Longest until all exist.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at how many there are: an answer costs Seawall a millisecond.
const LOOK: Duration = Duration::from_millis(25);
/// Least ratio.
const LEAST: f64 = 0.8;

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    per_second: f64,
    /// Processor time of Seawall for each, in microseconds.
    cpu_micros: f64,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let count = settings.kubernetes.created;
    let (mut seawall, mut create, mut apply) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=settings.rounds {
        let (sample, model) = measure(lab, count).context("Seawall")?;
        let of_api = |method| alone(lab, method, &model, count);
        let (created, applied) = (of_api(Method::Create)?, of_api(Method::Apply)?);
        eprintln!(
            "Kubernetes, create, round {round}: Seawall {}/s, the API server {}/s created, {}/s applied",
            grouped(sample.per_second),
            grouped(created.per_second),
            grouped(applied.per_second)
        );
        seawall.push(sample);
        create.push(created);
        apply.push(applied);
    }
    add_to(report, settings, &[seawall, create, apply]);
    Ok(())
}

/// Sends alerts of as many problems at once and measures until each has its object. Gives one of them, too.
fn measure(lab: &Lab, count: u64) -> Result<(Sample, Value)> {
    let kubernetes = Kubernetes::start(lab)?;
    kubernetes.namespaces(WARM_UP + count)?;
    let mut variables = kubernetes.sink();
    variables.push(("SEAWALL_SINK__KUBERNETES__QPS", UNLIMITED.to_string()));
    variables.push(("SEAWALL_SINK__KUBERNETES__BURST", UNLIMITED.to_string()));
    let running = lab.start_with(&variables)?;
    kubernetes.tried(PATIENCE)?;
    let mut numbers = Numbers::fresh(0);
    send(&running, &mut numbers, WARM_UP)?;
    made(&running, WARM_UP)?;

    let (started, cpu) = (clock::now(), running.server.cpu_time()?);
    send(&running, &mut numbers, count)?;
    made(&running, WARM_UP + count)?;
    let (took, cpu) = (clock::now() - started, running.server.cpu_time()? - cpu);

    running.check_accepted(WARM_UP + count)?;
    let writes = kubernetes.writes()?;
    anyhow::ensure!(writes.created == WARM_UP + count, "the API server has made {} objects", writes.created);
    let first = kubernetes.requests(&namespace(WARM_UP))?;
    let model = as_written(first.first().context("an alert without its object")?);
    let sample = Sample {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_micros: cpu.as_secs_f64() * 1e6 / count as f64,
    };
    Ok((sample, model))
}

/// A connection for each body, because senders wait for a while until their requests exist.
fn send(running: &Running, numbers: &mut Numbers, alerts: u64) -> Result<()> {
    let bodies = alerts / BODY;
    let load = Closed {
        target: running.server.address,
        template: &template(Dialect::Webhook, Spread::Apart, BODY as usize),
        connections: usize::try_from(bodies)?,
        stop: Stop::Requests(bodies),
        warm_up: Duration::ZERO,
    };
    load.run(numbers)?.answers.check()
}

/// Waits until Seawall has made so many objects.
fn made(running: &Running, count: u64) -> Result<()> {
    let family = "seawall_publish_duration_seconds_count";
    let all_made = || {
        let metrics = control::get(running.server.address, "/metrics").ok()?;
        let made = control::metric(&metrics.text(), family, "verb=\"create\"");
        (made as u64 >= count).then_some(())
    };
    clock::poll(LOOK, PATIENCE, all_made).context("not all objects were made")
}

/// The same objects made by the benchmark itself, on a control plane of the same age.
fn alone(lab: &Lab, method: Method, model: &Value, count: u64) -> Result<Sample> {
    let kubernetes = Kubernetes::start(lab)?;
    kubernetes.namespaces(WARM_UP + count)?;
    kubernetes.make(method, model, 0..WARM_UP, WRITERS)?;
    let took = kubernetes.make(method, model, WARM_UP..WARM_UP + count, WRITERS)?;
    Ok(Sample { per_second: count as f64 / took.as_secs_f64(), cpu_micros: 0.0 })
}

fn add_to(report: &mut Report, settings: &Settings, samples: &[Vec<Sample>; 3]) {
    let [seawall, create, _] = samples;
    let ratio = |of: &[Sample], to: &[Sample]| {
        median(of.iter().zip(to).map(|(of, to)| of.per_second / to.per_second))
    };
    let measured = ratio(seawall, create);
    report.figures.push(Figure {
        name: "distinct requests created / API server's own rate with 8 writers".to_owned(),
        measured: format!("{measured:.2}"),
        target: format!("≥ {LEAST}"),
        reached: measured >= LEAST,
    });
    let names =
        ["Seawall", "the API server alone, created", "the API server alone, applied as Seawall applies"];
    let rows = names.iter().zip(samples).map(|(name, samples)| {
        let of = |field: fn(&Sample) -> f64| median(samples.iter().map(field));
        vec![
            (*name).to_owned(),
            grouped(of(|sample| sample.per_second)),
            spread(samples.iter().map(|sample| sample.per_second)),
            format!("{:.2}", ratio(samples, create)),
            match of(|sample| sample.cpu_micros) {
                0.0 => "–".to_owned(),
                micros => format!("{micros:.0}"),
            },
        ]
    });
    report.sections.push(Section {
        title: "Kubernetes: requests made".to_owned(),
        note: format!(
            "{} problems at once, each with a namespace and a request of its own, from the first alert until every object exists; {WRITERS} \
             writers, no limit of calls. The API server alone is asked for as many objects of the same content by the benchmark \
             itself, with the same client and as many writers. {} rounds, one after the other in each, a fresh control \
             plane for each; medians. All of it shares two cores.",
            grouped(settings.kubernetes.created as f64),
            settings.rounds
        ),
        header: vec!["objects are made by", "objects/s", "rounds", "of created", "Seawall CPU an object, µs"],
        rows: rows.collect(),
    });
}
