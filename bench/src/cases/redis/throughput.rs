//! Closed loop at many connections: Seawall on Redis, beside the best its script could do without it.

use anyhow::{Context, Result};

use crate::candidates::script::{ScriptCalls, compare_drivers};
use crate::candidates::{Candidate, Lab, Running, seawall};
use crate::cases::Traffic;
use crate::cases::throughput::Saturation;
use crate::control;
use crate::driver::{Closed, Exchange, Stop, Throughput};
use crate::payload::Dialect;
use crate::report::{Figure, Report, Section, grouped, median, spread};
use crate::settings::Settings;

const SINGLE: [Traffic; 4] = [Traffic::Repeats, Traffic::GroupRepeats, Traffic::Members, Traffic::Fresh];
/// A body of these is of one namespace, and so one call.
const BODIES: [Traffic; 3] = [Traffic::GroupRepeats, Traffic::Members, Traffic::NewGroups];
/// Calls with which the driver is compared with the one that comes with Redis, for each second that is measured.
const CALLS_A_SECOND: f64 = 50_000.0;

/// One kind of traffic, to the script alone and through Seawall.
struct Line {
    traffic: Traffic,
    calls: ScriptCalls,
    script: Vec<Sample>,
    seawall: Vec<Sample>,
}

/// One round of one candidate. Times are of processors, in microseconds for one alert.
#[derive(Clone, Copy, Debug)]
struct Sample {
    alerts_per_second: f64,
    signals_a_call: f64,
    seawall_micros: f64,
    redis_micros: f64,
    driver_load: f64,
}

/// Measures bodies of `alerts`.
pub fn run(lab: &Lab, settings: &Settings, alerts: usize, report: &mut Report) -> Result<Saturation> {
    let traffics = if alerts == 1 { &SINGLE[..] } else { &BODIES[..] };
    let mut lines = Vec::new();
    for traffic in traffics {
        let calls = ScriptCalls::overhear(lab, *traffic, alerts).context("overhearing the script")?;
        lines.push(Line { traffic: *traffic, calls, script: Vec::new(), seawall: Vec::new() });
    }
    for round in 1..=settings.rounds {
        for line in &mut lines {
            let name = line.traffic.name();
            let script = line.measure_script(lab, settings, alerts).context(name)?;
            let seawall = measure_seawall(lab, settings, line.traffic, alerts).context(name)?;
            eprintln!(
                "Redis, bodies of {alerts}, round {round}: {name}: {} alerts/s, the script alone {}",
                grouped(seawall.alerts_per_second),
                grouped(script.alerts_per_second),
            );
            line.script.push(script);
            line.seawall.push(seawall);
        }
    }
    add_to(report, &lines, settings, alerts);
    if alerts == 1 {
        report.sections.push(drivers(lab, settings)?);
    }
    let rate = |traffic| {
        let line = lines.iter().find(|line| line.traffic == traffic);
        line.map_or(f64::NAN, |line| median(line.seawall.iter().map(|sample| sample.alerts_per_second)))
    };
    Ok(Saturation { repeats: rate(Traffic::Repeats), fresh: rate(Traffic::Fresh) })
}

/// From one round of single alerts, for runs that measure nothing else of it.
pub fn saturation(lab: &Lab, settings: &Settings) -> Result<Saturation> {
    let rate = |traffic| measure_seawall(lab, settings, traffic, 1).map(|sample| sample.alerts_per_second);
    Ok(Saturation { repeats: rate(Traffic::Repeats)?, fresh: rate(Traffic::Fresh)? })
}

fn connections(settings: &Settings, alerts: usize) -> usize {
    if alerts == 1 { settings.connections } else { settings.batch_connections }
}

fn load<'a, E: Exchange>(
    settings: &Settings,
    alerts: usize,
    target: std::net::SocketAddr,
    template: &'a E,
) -> Closed<'a, E> {
    Closed {
        target,
        template,
        connections: connections(settings, alerts),
        stop: Stop::After(settings.length),
        warm_up: settings.warm_up,
    }
}

impl Line {
    fn measure_script(&self, lab: &Lab, settings: &Settings, alerts: usize) -> Result<Sample> {
        let connections = connections(settings, alerts);
        let running = self.calls.start(lab, connections)?;
        let mut numbers = self.calls.numbers(connections);
        let server = &running.redis.server;
        let before = server.cpu_time()?;
        let sent = load(settings, alerts, server.address, self.calls.template()).run(&mut numbers)?;
        let cpu = server.cpu_time()? - before;
        self.calls.check(&running, &sent, &mut numbers)?;
        let of_one = 1e6 / (sent.answers.accepted * alerts as u64) as f64;
        Ok(Sample {
            alerts_per_second: sent.requests_per_second * alerts as f64,
            signals_a_call: alerts as f64,
            seawall_micros: 0.0,
            redis_micros: cpu.as_secs_f64() * of_one,
            driver_load: sent.driver_load,
        })
    }
}

fn measure_seawall(lab: &Lab, settings: &Settings, traffic: Traffic, alerts: usize) -> Result<Sample> {
    let running = lab.start(Candidate::SeawallOnRedis)?;
    let redis = running.redis.as_ref().context("Seawall runs without Redis")?;
    let (mut numbers, prepared) = traffic.prepare(&running, Dialect::Webhook)?;
    let template = traffic.template(Dialect::Webhook, alerts);
    let calls_before = calls(&running)?;
    let (own, of_redis) = (running.server.cpu_time()?, redis.server.cpu_time()?);
    let sent = load(settings, alerts, running.server.address, &template).run(&mut numbers)?;
    let (own, of_redis) = (running.server.cpu_time()? - own, redis.server.cpu_time()? - of_redis);
    check(&running, traffic, prepared, &sent, alerts)?;
    let taken = (sent.answers.accepted * alerts as u64) as f64;
    Ok(Sample {
        alerts_per_second: sent.requests_per_second * alerts as f64,
        signals_a_call: taken / (calls(&running)? - calls_before),
        seawall_micros: own.as_secs_f64() * 1e6 / taken,
        redis_micros: of_redis.as_secs_f64() * 1e6 / taken,
        driver_load: sent.driver_load,
    })
}

/// Calls that decided something, as Seawall counts them.
fn calls(running: &Running) -> Result<f64> {
    let metrics = control::get(running.server.address, "/metrics")?;
    Ok(control::metric(&metrics.text(), "seawall_publish_duration_seconds_count", "verb=\"commit\""))
}

fn check(running: &Running, traffic: Traffic, prepared: u64, sent: &Throughput, alerts: usize) -> Result<()> {
    sent.answers.check()?;
    let all = prepared + sent.answers.accepted * alerts as u64;
    running.check_accepted(all)?;
    // Of the others there are too many requests in too many namespaces to list them all.
    match traffic {
        Traffic::Members | Traffic::GroupRepeats => seawall::check_counted(running.server.address, all),
        Traffic::Repeats | Traffic::Fresh | Traffic::NewGroups => Ok(()),
    }
}

fn add_to(report: &mut Report, lines: &[Line], settings: &Settings, alerts: usize) {
    let (what, target) = if alerts == 1 { ("single-alert POSTs", 0.8) } else { ("bodies of 100", 0.6) };
    let mut rows = Vec::new();
    for line in lines {
        let name = line.traffic.name();
        let pairs = line.seawall.iter().zip(&line.script);
        let ratio = median(pairs.map(|(of, to)| of.alerts_per_second / to.alerts_per_second));
        report.figures.push(Figure {
            name: format!("Redis store, {what} / its script alone: {name}"),
            measured: format!("{ratio:.2}"),
            target: format!("≥ {target}"),
            reached: ratio >= target,
        });
        rows.push(row(format!("the script alone, {name}"), &line.script, 1.0));
        rows.push(row(format!("Seawall on Redis, {name}"), &line.seawall, ratio));
    }
    report.sections.push(Section {
        title: format!("Redis store: {what}, closed loop"),
        note: note(settings, alerts),
        header: vec![
            "candidate",
            "alerts/s",
            "rounds",
            "of the script",
            "signals a call",
            "Seawall CPU an alert, µs",
            "Redis CPU an alert, µs",
            "driver's core",
        ],
        rows,
    });
}

fn row(name: String, samples: &[Sample], ratio: f64) -> Vec<String> {
    let of = |field: fn(&Sample) -> f64| median(samples.iter().map(field));
    vec![
        name,
        grouped(of(|sample| sample.alerts_per_second)),
        spread(samples.iter().map(|sample| sample.alerts_per_second)),
        format!("{ratio:.2}"),
        format!("{:.1}", of(|sample| sample.signals_a_call)),
        format!("{:.1}", of(|sample| sample.seawall_micros)),
        format!("{:.1}", of(|sample| sample.redis_micros)),
        format!("{:.0} %", of(|sample| sample.driver_load) * 100.0),
    ]
}

fn note(settings: &Settings, alerts: usize) -> String {
    format!(
        "{} connections to either, {} rounds of {:.1} s after {:.1} s of warm-up, each candidate with a Redis started afresh \
         (no persistence, `durability: memory`); medians. The script alone is the same script with the arguments of an \
         overheard call, {alerts} signals in each, sent by this driver straight to Redis, one call at a time on a \
         connection; where signals share a storm, each connection has one of its own. It does nothing that becomes due \
         later: Seawall's share has the registry of namespaces, flushes and looks in it too. Seawall puts signals of \
         one namespace that wait together into one call.",
        connections(settings, alerts),
        settings.rounds,
        settings.length.as_secs_f64(),
        settings.warm_up.as_secs_f64(),
    )
}

/// Whether what the script alone can do is limited by the driver.
fn drivers(lab: &Lab, settings: &Settings) -> Result<Section> {
    let calls = (settings.length.as_secs_f64() * CALLS_A_SECOND) as u64;
    let (theirs, ours) = compare_drivers(lab, &settings.redis_benchmark, settings.connections, calls)?;
    Ok(Section {
        title: "The driver beside redis-benchmark".to_owned(),
        note: format!(
            "`EVALSHA` of a script that returns an empty string, {} connections, {} calls, one after the other.",
            settings.connections,
            grouped(calls as f64)
        ),
        header: vec!["driver", "calls/s"],
        rows: vec![
            vec!["redis-benchmark".to_owned(), grouped(theirs)],
            vec!["this one".to_owned(), grouped(ours)],
        ],
    })
}
