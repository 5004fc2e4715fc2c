//! Requests with a token that is known, beside requests of which nobody asks who sends them.

use anyhow::{Context, Result};

use crate::candidates::kubernetes::Kubernetes;
use crate::candidates::{Lab, Running, seawall};
use crate::cases::stretches::Stretches;
use crate::cases::{POPULATION, PREPARED, fill, template};
use crate::driver::{Closed, Stop};
use crate::payload::{Dialect, Numbers, Spread, Template};
use crate::report::{Figure, Report, Section, grouped};
use crate::settings::Settings;

/// Least ratio.
const LEAST: f64 = 0.95;

/// One instance and what is sent to it.
struct Side {
    name: &'static str,
    running: Running,
    template: Template,
    /// Alerts that were answered.
    taken: u64,
    stretches: Stretches,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let kubernetes = Kubernetes::start(lab)?;
    let token = kubernetes.sender();
    let single = || template(Dialect::Webhook, Spread::Crowd, 1);
    let anonymous: &[_] = &[];
    let mut sides = [
        Side::start(lab, "nobody is asked", anonymous, single())?,
        Side::start(
            lab,
            "nobody is asked, the token is sent all the same",
            anonymous,
            single().authorized(&token),
        )?,
        Side::start(lab, "token known", &kubernetes.authentication(), single().authorized(&token))?,
    ];
    for side in &mut sides {
        side.prepare(&token).context(side.name)?;
    }
    // Short stretches, so that what disturbs the machine for some seconds disturbs all sides; each is first in turn.
    for stretch in 0..settings.rounds * settings.kubernetes.pairs {
        for turn in 0..sides.len() {
            let side = &mut sides[(stretch as usize + turn) % 3];
            side.measure(settings).context(side.name)?;
        }
        let [none, _, known] = &sides;
        eprintln!(
            "Kubernetes, authentication, stretch {}: {:.3}",
            stretch + 1,
            known.stretches.last_ratio(&none.stretches)
        );
    }
    for side in &sides {
        // The requests themselves are for those who may read, and the sender may not.
        seawall::check_decided(side.running.server.address, side.taken).context(side.name)?;
    }
    add_to(report, settings, &sides);
    Ok(())
}

impl Side {
    fn start(
        lab: &Lab,
        name: &'static str,
        variables: &[(&'static str, String)],
        template: Template,
    ) -> Result<Self> {
        Ok(Self {
            name,
            running: lab.start_with(variables)?,
            template,
            taken: 0,
            stretches: Stretches::default(),
        })
    }

    /// Opens all incidents, and sends once about each, so that everything that can be known is.
    fn prepare(&mut self, token: &str) -> Result<()> {
        let bodies = template(Dialect::Webhook, Spread::Crowd, PREPARED as usize).authorized(token);
        fill(&self.running, &bodies, &mut Numbers::fresh(0), POPULATION / PREPARED)?;
        fill(&self.running, &self.template, &mut Numbers::fresh(0), POPULATION)?;
        self.taken = 2 * POPULATION;
        Ok(())
    }

    fn measure(&mut self, settings: &Settings) -> Result<()> {
        let server = &self.running.server;
        let load = Closed {
            target: server.address,
            template: &self.template,
            connections: settings.connections,
            stop: Stop::After(settings.length),
            warm_up: settings.warm_up,
        };
        let before = server.cpu_time()?;
        let measured = load.run(&mut Numbers::cycle(POPULATION))?;
        let cpu = server.cpu_time()? - before;
        measured.answers.check()?;
        self.taken += measured.answers.accepted;
        self.stretches.add(&measured, cpu);
        Ok(())
    }
}

fn add_to(report: &mut Report, settings: &Settings, sides: &[Side; 3]) {
    let [none, _, known] = sides;
    let measured = known.stretches.ratio(&none.stretches);
    report.figures.push(Figure {
        name: "authenticated requests, cached token / anonymous".to_owned(),
        measured: format!("{measured:.3}"),
        target: format!("≥ {LEAST}"),
        reached: measured >= LEAST,
    });
    let rows = sides.iter().map(|side| side.stretches.row(side.name, &none.stretches));
    report.sections.push(Section {
        title: "Kubernetes: known tokens".to_owned(),
        note: format!(
            "Single-alert POSTs about {} live incidents in {} namespaces, closed loop over {} connections, the store as sink. The \
             instances run all the time, and in turn each gets a stretch of {:.1} s after {:.1} s of warm-up; medians, and of the \
             ratios within a turn. The token is that of a real service account, its owner's right is asked about by namespace, and \
             both are asked about again every minute, as shipped.",
            grouped(POPULATION as f64),
            grouped(POPULATION as f64 / 40.0),
            settings.connections,
            settings.length.as_secs_f64(),
            settings.warm_up.as_secs_f64(),
        ),
        header: vec!["who is asking", "alerts/s", "stretches", "of anonymous", "CPU an alert, µs", "driver's core"],
        rows: rows.collect(),
    });
}
