//! What a storm costs the API server: one object, and updates at the pace of the flush interval.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::candidates::Lab;
use crate::candidates::kubernetes::{Kubernetes, Writes};
use crate::cases::template;
use crate::clock;
use crate::driver::{Answers, Closed, Open, Stop};
use crate::payload::{Dialect, Numbers, STORM_NAMESPACE, Spread};
use crate::report::{Figure, Report, Section, grouped};
use crate::settings::Settings;

/// Longest until the object shows every alert.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than the flush interval: a write that nothing asks for any more would come within it.
const AFTERWARDS: Duration = Duration::from_secs(3);

struct Measured {
    name: String,
    sent_in: Duration,
    /// From the first alert until the object shows the last one.
    took: Duration,
    writes: Writes,
    objects: usize,
    generation: u64,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let length = settings.kubernetes.storm_length;
    let paces = [("at once".to_owned(), None), (format!("over {:.0} s", length.as_secs_f64()), Some(length))];
    let mut all = Vec::new();
    for (name, length) in paces {
        let measured = measure(lab, settings, name, length)?;
        eprintln!(
            "Kubernetes, storm {}: {} created, {} updated in {:.2} s",
            measured.name,
            measured.writes.created,
            measured.writes.updated,
            measured.took.as_secs_f64()
        );
        all.push(measured);
    }
    add_to(report, settings, &all);
    Ok(())
}

fn measure(lab: &Lab, settings: &Settings, name: String, length: Option<Duration>) -> Result<Measured> {
    let kubernetes = Kubernetes::start(lab)?;
    kubernetes.namespace(STORM_NAMESPACE);
    let running = lab.start_with(&kubernetes.sink())?;
    kubernetes.tried(PATIENCE)?;
    let alerts = settings.kubernetes.storm;
    let before = kubernetes.writes()?;
    let started = clock::now();
    let (answers, sent_in) = send(running.server.address, settings, length)?;
    answers.check()?;
    let complete = || kubernetes.requests(STORM_NAMESPACE).ok().filter(|all| shown(all) == alerts);
    clock::poll(Duration::from_millis(50), PATIENCE, complete).context("not every alert is shown")?;
    let took = clock::now() - started;
    clock::pause(AFTERWARDS);
    running.check_accepted(alerts)?;
    let (objects, writes) = (kubernetes.requests(STORM_NAMESPACE)?, kubernetes.writes()?);
    anyhow::ensure!(shown(&objects) == alerts, "the objects show {} of {alerts} alerts", shown(&objects));
    let generation = objects.first().and_then(|object| object["metadata"]["generation"].as_u64());
    Ok(Measured {
        name,
        sent_in,
        took,
        writes: Writes {
            created: writes.created - before.created,
            updated: writes.updated - before.updated,
            trials: 0,
        },
        objects: objects.len(),
        generation: generation.unwrap_or_default(),
    })
}

/// Sends every alert of the storm by itself: as fast as they are taken, or evenly over a time.
fn send(
    target: std::net::SocketAddr,
    settings: &Settings,
    length: Option<Duration>,
) -> Result<(Answers, Duration)> {
    let alerts = settings.kubernetes.storm;
    let template = &template(Dialect::Webhook, Spread::Together, 1);
    let (connections, warm_up) = (settings.connections, Duration::ZERO);
    let Some(length) = length else {
        let load = Closed { target, template, connections, stop: Stop::Requests(alerts), warm_up };
        let sent = load.run(&mut Numbers::fresh(0))?;
        return Ok((sent.answers, sent.elapsed));
    };
    let requests_per_second = alerts as f64 / length.as_secs_f64();
    let load = Open { target, template, connections, requests_per_second, length, warm_up };
    let sent = load.run(&mut Numbers::fresh(0))?;
    anyhow::ensure!(sent.answers.accepted == alerts, "{} of {alerts} were sent", sent.answers.accepted);
    Ok((sent.answers, length))
}

/// Alerts that the objects say they stand for.
fn shown(objects: &[Value]) -> u64 {
    objects.iter().filter_map(|object| object["spec"]["stormAggregation"]["alertCount"].as_u64()).sum()
}

fn add_to(report: &mut Report, settings: &Settings, all: &[Measured]) {
    let alerts = grouped(settings.kubernetes.storm as f64);
    for measured in all {
        let Measured { name, took, writes, .. } = measured;
        let most = took.as_secs_f64().ceil() as u64;
        report.figures.push(Figure {
            name: format!("storm of {alerts} {name}: API writes"),
            measured: format!(
                "{} created, {} updated in {:.1} s",
                writes.created,
                writes.updated,
                took.as_secs_f64()
            ),
            target: "1 create + ≤ 1 per second".to_owned(),
            reached: measured.objects == 1 && writes.created == 1 && writes.updated <= most,
        });
    }
    let rows = all.iter().map(|measured| {
        vec![
            measured.name.clone(),
            format!("{:.2} s", measured.sent_in.as_secs_f64()),
            format!("{:.2} s", measured.took.as_secs_f64()),
            measured.objects.to_string(),
            measured.writes.created.to_string(),
            measured.writes.updated.to_string(),
            measured.generation.to_string(),
        ]
    });
    report.sections.push(Section {
        title: format!("Kubernetes: a storm of {alerts} distinct alerts"),
        note: format!(
            "Single-alert POSTs about as many pods over {} connections. Writes are what the API server has counted \
             (`apiserver_request_total`), until {:.0} s after its object showed every alert; the object shows exactly as many \
             as were sent.",
            settings.connections,
            AFTERWARDS.as_secs_f64()
        ),
        header: vec!["sent", "sent in", "shown after", "objects", "created", "updated", "generation"],
        rows: rows.collect(),
    });
}
