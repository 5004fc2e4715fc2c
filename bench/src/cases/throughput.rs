//! Closed loop at many connections: what a candidate can do, beside what the same HTTP stack could do at best.

use anyhow::{Context, Result};

use super::Traffic;
use crate::candidates::{Candidate, Lab};
use crate::driver::{Closed, Stop};
use crate::payload::{Dialect, Numbers};
use crate::report::{Figure, Report, Section, grouped, median, spread};
use crate::settings::Settings;

#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    candidate: Candidate,
    dialect: Dialect,
    traffic: Traffic,
}

/// In the order in which every round runs them.
const SCENARIOS: [Scenario; 6] = [
    Scenario { candidate: Candidate::Ceiling, dialect: Dialect::Webhook, traffic: Traffic::Fresh },
    Scenario { candidate: Candidate::Seawall, dialect: Dialect::Webhook, traffic: Traffic::Repeats },
    Scenario { candidate: Candidate::Seawall, dialect: Dialect::Webhook, traffic: Traffic::Members },
    Scenario { candidate: Candidate::Seawall, dialect: Dialect::Webhook, traffic: Traffic::Fresh },
    Scenario { candidate: Candidate::Seawall, dialect: Dialect::Alerts, traffic: Traffic::Repeats },
    Scenario { candidate: Candidate::Alertmanager, dialect: Dialect::Alerts, traffic: Traffic::Repeats },
];

const CEILING: usize = 0;
const REPEATS: usize = 1;
const FRESH: usize = 3;
const AGAINST_CEILING: [usize; 3] = [REPEATS, 2, FRESH];
const SAME_AS_ALERTMANAGER: usize = 4;
const ALERTMANAGER: usize = 5;

/// Least ratios to reach: to the ceiling in the order of [`AGAINST_CEILING`], and to Alertmanager.
struct Targets {
    ceiling: [f64; 3],
    alertmanager: f64,
}

/// One round of one scenario.
#[derive(Clone, Copy, Debug)]
struct Sample {
    alerts_per_second: f64,
    /// Processor time of the candidate for one alert, in microseconds.
    cpu_micros: f64,
    driver_load: f64,
}

/// Measures bodies of `alerts`.
pub fn run(lab: &Lab, settings: &Settings, alerts: usize, report: &mut Report) -> Result<Saturation> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); SCENARIOS.len()];
    for round in 1..=settings.rounds {
        for (scenario, samples) in SCENARIOS.iter().zip(&mut samples) {
            if scenario.candidate == Candidate::Alertmanager && lab.alertmanager.is_none() {
                continue;
            }
            let sample = scenario.measure(lab, settings, alerts).with_context(|| scenario.name())?;
            eprintln!(
                "bodies of {alerts}, round {round}: {}: {} alerts/s, {:.1} µs CPU an alert, driver {:.0} %",
                scenario.name(),
                grouped(sample.alerts_per_second),
                sample.cpu_micros,
                sample.driver_load * 100.0,
            );
            samples.push(sample);
        }
    }
    add_figures(&samples, alerts, report);
    add_section(&samples, alerts, settings, report);
    let rate = |index: usize| median(samples[index].iter().map(|sample| sample.alerts_per_second));
    Ok(Saturation { repeats: rate(REPEATS), fresh: rate(FRESH) })
}

/// Alerts a second that Seawall takes at most.
#[derive(Clone, Copy, Debug)]
pub struct Saturation {
    pub repeats: f64,
    pub fresh: f64,
}

impl Saturation {
    /// From one round of single alerts, for runs that measure nothing else of it.
    pub fn measure(lab: &Lab, settings: &Settings) -> Result<Self> {
        let rate =
            |index: usize| SCENARIOS[index].measure(lab, settings, 1).map(|sample| sample.alerts_per_second);
        Ok(Self { repeats: rate(REPEATS)?, fresh: rate(FRESH)? })
    }
}

impl Scenario {
    fn name(&self) -> String {
        match self.candidate {
            Candidate::Ceiling => "ceiling: parse only".to_owned(),
            Candidate::Seawall | Candidate::SeawallOnRedis => {
                format!("Seawall, {}, `{}`", self.traffic.name(), self.dialect.path())
            }
            Candidate::Alertmanager => {
                format!("Alertmanager, {}, `{}`", self.traffic.name(), self.dialect.path())
            }
        }
    }

    fn measure(&self, lab: &Lab, settings: &Settings, alerts: usize) -> Result<Sample> {
        let running = lab.start(self.candidate)?;
        let (mut numbers, prepared) = match self.candidate {
            // Nothing is remembered there that could be prepared.
            Candidate::Ceiling => (Numbers::fresh(0), 0),
            _ => self.traffic.prepare(&running, self.dialect)?,
        };
        let template = self.traffic.template(self.dialect, alerts);
        let load = Closed {
            target: running.server.address,
            template: &template,
            connections: if alerts == 1 { settings.connections } else { settings.batch_connections },
            stop: Stop::After(settings.length),
            warm_up: settings.warm_up,
        };
        let before = running.server.cpu_time()?;
        let measured = load.run(&mut numbers)?;
        let cpu = running.server.cpu_time()? - before;
        measured.answers.check()?;
        let taken = measured.answers.accepted * alerts as u64;
        running.check_accepted(prepared + taken)?;
        Ok(Sample {
            alerts_per_second: measured.requests_per_second * alerts as f64,
            cpu_micros: cpu.as_secs_f64() * 1e6 / taken as f64,
            driver_load: measured.driver_load,
        })
    }
}

/// The median over the rounds of the ratio within each round: what disturbs the machine for a minute disturbs both.
fn ratio(of: &[Sample], to: &[Sample]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of.alerts_per_second / to.alerts_per_second))
}

fn add_figures(samples: &[Vec<Sample>], alerts: usize, report: &mut Report) {
    let (what, targets) = match alerts {
        1 => ("single-alert POSTs", Targets { ceiling: [0.7, 0.7, 0.4], alertmanager: 3.0 }),
        _ => ("bodies of 100", Targets { ceiling: [0.4, 0.4, 0.1], alertmanager: 10.0 }),
    };
    for (index, target) in AGAINST_CEILING.into_iter().zip(targets.ceiling) {
        let measured = ratio(&samples[index], &samples[CEILING]);
        report.figures.push(Figure {
            name: format!("durable {what} / ceiling: {}", SCENARIOS[index].traffic.name()),
            measured: format!("{measured:.2}"),
            target: format!("≥ {target}"),
            reached: measured >= target,
        });
    }
    if samples[ALERTMANAGER].is_empty() {
        return;
    }
    let measured = ratio(&samples[SAME_AS_ALERTMANAGER], &samples[ALERTMANAGER]);
    report.figures.push(Figure {
        name: format!("durable {what} / Alertmanager: repeats"),
        measured: format!("{measured:.2}"),
        target: format!("≥ {}", targets.alertmanager),
        reached: measured >= targets.alertmanager,
    });
}

fn add_section(samples: &[Vec<Sample>], alerts: usize, settings: &Settings, report: &mut Report) {
    let (title, connections) = match alerts {
        1 => ("Single-alert POSTs, closed loop".to_owned(), settings.connections),
        _ => (format!("Bodies of {alerts}, closed loop"), settings.batch_connections),
    };
    let ceiling = &samples[CEILING];
    let measured = SCENARIOS.iter().zip(samples).filter(|(_, samples)| !samples.is_empty());
    let rows = measured.map(|(scenario, samples)| {
        let of = |field: fn(&Sample) -> f64| median(samples.iter().map(field));
        vec![
            scenario.name(),
            grouped(of(|sample| sample.alerts_per_second)),
            spread(samples.iter().map(|sample| sample.alerts_per_second)),
            format!("{:.2}", ratio(samples, ceiling)),
            format!("{:.1}", of(|sample| sample.cpu_micros)),
            format!("{:.0} %", of(|sample| sample.driver_load) * 100.0),
        ]
    });
    report.sections.push(Section {
        title,
        note: format!(
            "{connections} connections, {} rounds of {:.1} s after {:.1} s of warm-up, one candidate after the other in \
             each round, each started afresh; medians. Every answer was 2xx and the candidate's own count of \
             alerts is the driver's.",
            settings.rounds,
            settings.length.as_secs_f64(),
            settings.warm_up.as_secs_f64(),
        ),
        header: vec!["candidate", "alerts/s", "rounds", "of the ceiling", "CPU an alert, µs", "driver's core"],
        rows: rows.collect(),
    });
}
