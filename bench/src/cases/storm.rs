//! A storm of very many distinct alerts: one request, and updates at the pace of the flush interval.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::template;
use crate::candidates::{Candidate, Lab};
use crate::driver::{Closed, Stop};
use crate::payload::{Dialect, Numbers, Spread};
use crate::report::{Figure, Report, Section, grouped};
use crate::settings::Settings;
use crate::{clock, control};

/// The flush interval of the rule that trips.
const FLUSH: Duration = Duration::from_secs(1);
/// Longest until the last update has come.
const PATIENCE: Duration = Duration::from_secs(10);

/// An event of the watch stream.
struct Event {
    at: Instant,
    kind: String,
    alerts: u64,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let running = lab.start(Candidate::Seawall)?;
    let address = running.server.address;
    let complete = AtomicBool::new(false);
    let (events, sent) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(address, settings.storm, &complete));
        let sent = send(address, settings);
        if sent.is_ok() {
            clock::poll(Duration::from_millis(20), PATIENCE, || {
                complete.load(Ordering::Relaxed).then_some(())
            });
        }
        // Whatever came until now counts; without the server the watcher's stream ends.
        let checked = sent.and_then(|took| running.check_accepted(settings.storm).map(|()| took));
        let requests = control::get_json(address, "/api/v1/requests?limit=500");
        drop(running);
        let events = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
        anyhow::Ok((events, (checked?, requests?)))
    })?;
    let (took, requests) = sent;
    let requests = requests["items"].as_array().context("a list of requests without items")?;
    let storm = requests.first().context("no request at all")?;
    let members = storm["spec"]["stormAggregation"]["alertCount"].as_u64().unwrap_or(0);
    anyhow::ensure!(members == settings.storm, "the storm counts {members} alerts of {}", settings.storm);
    add_to(report, settings, requests.len(), &events, took);
    Ok(())
}

/// Sends every alert of the storm by itself, over all connections.
fn send(address: SocketAddr, settings: &Settings) -> Result<Duration> {
    let load = Closed {
        target: address,
        template: &template(Dialect::Webhook, Spread::Together, 1),
        connections: settings.connections,
        stop: Stop::Requests(settings.storm),
        warm_up: Duration::ZERO,
    };
    let sent = load.run(&mut Numbers::fresh(0))?;
    sent.answers.check()?;
    Ok(sent.elapsed)
}

/// Everything the stream says until an update counts all `alerts`, or the server is gone.
fn watch(address: SocketAddr, alerts: u64, complete: &AtomicBool) -> Vec<Event> {
    let mut events = Vec::new();
    let watched = control::watch(address, "/api/v1/requests?watch=true", |kind, data| {
        if kind.is_empty() {
            return true;
        }
        let object: serde_json::Value = serde_json::from_str(data).unwrap_or_default();
        let object = object.get("object").unwrap_or(&object);
        let counted = object["spec"]["stormAggregation"]["alertCount"].as_u64().unwrap_or(0);
        events.push(Event { at: clock::now(), kind: kind.to_owned(), alerts: counted });
        complete.store(counted == alerts, Ordering::Relaxed);
        counted < alerts
    });
    if let Err(error) = watched {
        eprintln!("storm: the watch ended: {error:#}");
    }
    events
}

fn add_to(report: &mut Report, settings: &Settings, requests: usize, events: &[Event], took: Duration) {
    let updates: Vec<&Event> = events.iter().filter(|event| event.kind == "MODIFIED").collect();
    let gaps = updates.windows(2).map(|pair| pair[1].at - pair[0].at);
    let least = gaps.min();
    let complete = updates.last().is_some_and(|event| event.alerts == settings.storm);
    let alerts = grouped(settings.storm as f64);
    report.figures.push(Figure {
        name: format!("storm of {alerts} distinct alerts: requests"),
        measured: requests.to_string(),
        target: "1".to_owned(),
        reached: requests == 1,
    });
    // An event may be seen a little late and the next one not; the sender's pace shows in the number of updates.
    let most = took.as_secs_f64() / FLUSH.as_secs_f64() + 1.0;
    report.figures.push(Figure {
        name: format!("storm of {alerts} distinct alerts: updates"),
        measured: format!("{} in {:.1} s", updates.len(), took.as_secs_f64()),
        target: "≤ 1 per flush interval of 1 s".to_owned(),
        reached: complete && updates.len() as f64 <= most.ceil(),
    });
    report.sections.push(Section {
        title: format!("Storm of {alerts} distinct alerts"),
        note: "Single-alert POSTs over all connections, with a watch open on all requests.".to_owned(),
        header: vec![
            "alerts/s",
            "sent in",
            "requests",
            "created events",
            "updates",
            "least time between updates",
        ],
        rows: vec![vec![
            grouped(settings.storm as f64 / took.as_secs_f64()),
            format!("{:.2} s", took.as_secs_f64()),
            requests.to_string(),
            events.iter().filter(|event| event.kind == "ADDED").count().to_string(),
            updates.len().to_string(),
            least.map_or_else(|| "–".to_owned(), |gap| format!("{:.2} s", gap.as_secs_f64())),
        ]],
    });
}
