//! Single alerts over TLS, on connections that are kept, beside the same without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use seawall_testkit::{Authority, KeyPairFiles, Leaf};
use tokio_rustls::rustls::ClientConfig;

use crate::candidates::{Lab, Running, seawall};
use crate::cases::stretches::Stretches;
use crate::cases::{POPULATION, template};
use crate::driver::{Closed, Stop, Throughput};
use crate::payload::{Dialect, Numbers, Spread, Template};
use crate::report::{Figure, Report, Section, grouped};
use crate::settings::Settings;

/// Least ratio.
const LEAST: f64 = 0.8;

/// Stretches of each instance in a round. Short ones, so that what disturbs the machine for some seconds disturbs both.
const PAIRS: u32 = 3;

/// One instance and how it is sent to.
struct Side {
    name: &'static str,
    running: Running,
    tls: Option<Arc<ClientConfig>>,
    /// Where it shows what it has counted.
    metrics: SocketAddr,
    template: Template,
    /// Alerts that were answered.
    taken: u64,
    stretches: Stretches,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir().context("no directory for certificates")?;
    let authority = Authority::new(folder.path());
    let KeyPairFiles { cert, key } = authority.issue("serving", Leaf::serving("seawall"));
    let files = [
        ("SEAWALL_SERVER__TLS__CERT", cert.display().to_string()),
        ("SEAWALL_SERVER__TLS__KEY", key.display().to_string()),
    ];
    let mut sides = [
        Side::start(lab, "without TLS", &[], None)?,
        Side::start(lab, "over TLS", &files, Some(authority.trusted(None)))?,
    ];
    for side in &mut sides {
        side.send(settings, Stop::Requests(POPULATION)).context(side.name)?;
    }
    for stretch in 0..settings.rounds * PAIRS {
        for turn in 0..sides.len() {
            let side = &mut sides[(stretch as usize + turn) % 2];
            let (measured, cpu) = side.send(settings, Stop::After(settings.length)).context(side.name)?;
            side.stretches.add(&measured, cpu);
        }
        let [plain, tls] = &sides;
        eprintln!("TLS, stretch {}: {:.3}", stretch + 1, tls.stretches.last_ratio(&plain.stretches));
    }
    for side in &sides {
        seawall::check_decided(side.metrics, side.taken).context(side.name)?;
    }
    add_to(report, settings, &sides);
    Ok(())
}

impl Side {
    fn start(
        lab: &Lab,
        name: &'static str,
        variables: &[(&str, String)],
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self> {
        let (running, metrics) = lab.start_secure(variables)?;
        let template = template(Dialect::Webhook, Spread::Apart, 1);
        Ok(Self { name, running, tls, metrics, template, taken: 0, stretches: Stretches::default() })
    }

    fn send(&mut self, settings: &Settings, stop: Stop) -> Result<(Throughput, Duration)> {
        let server = &self.running.server;
        let load = Closed {
            target: server.address,
            template: &self.template,
            connections: settings.connections,
            stop,
            warm_up: settings.warm_up,
        };
        let before = server.cpu_time()?;
        let measured = load.run_over(self.tls.as_ref(), &mut Numbers::cycle(POPULATION))?;
        let cpu = server.cpu_time()? - before;
        measured.answers.check()?;
        self.taken += measured.answers.accepted;
        Ok((measured, cpu))
    }
}

fn add_to(report: &mut Report, settings: &Settings, sides: &[Side; 2]) {
    let [plain, tls] = sides;
    let measured = tls.stretches.ratio(&plain.stretches);
    report.figures.push(Figure {
        name: "TLS with keep-alive / without TLS".to_owned(),
        measured: format!("{measured:.3}"),
        target: format!("≥ {LEAST}"),
        reached: measured >= LEAST,
    });
    let rows = sides.iter().map(|side| side.stretches.row(side.name, &plain.stretches));
    report.sections.push(Section {
        title: "TLS".to_owned(),
        note: format!(
            "Single-alert POSTs about {} live incidents, closed loop over {} connections that are kept; TLS 1.3 with an ECDSA \
             certificate (P-256). The instances run all the time, and in turn each gets a stretch of {:.1} s after {:.1} s of \
             warm-up; medians, and of the ratios within a turn.",
            grouped(POPULATION as f64),
            settings.connections,
            settings.length.as_secs_f64(),
            settings.warm_up.as_secs_f64(),
        ),
        header: vec!["connections", "alerts/s", "stretches", "of those without", "CPU an alert, µs", "driver's core"],
        rows: rows.collect(),
    });
}
