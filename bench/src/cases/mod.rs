//! What is measured, a module for each kind of question.

pub mod body;
pub mod latency;
pub mod memory;
pub mod start;
pub mod storm;
pub mod throughput;

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use seawall_model::{Clock, SystemClock};

use crate::candidates::Running;
use crate::driver::{Closed, Stop};
use crate::payload::{Dialect, Numbers, Spread, Template};
use crate::report::{Section, micros};

/// Incidents that repeats go round in.
pub const POPULATION: u64 = 10_000;

/// What the alerts of a run are to the candidate that gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Further signals of [`POPULATION`] live incidents.
    Repeats,
    /// Each a new fingerprint that joins the one open storm.
    Members,
    /// Each a new incident with a request of its own.
    Fresh,
}

impl Traffic {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repeats => "repeats of live incidents",
            Self::Members => "members of an open storm",
            Self::Fresh => "each a new incident with its own request",
        }
    }

    const fn spread(self) -> Spread {
        match self {
            Self::Repeats | Self::Fresh => Spread::Apart,
            Self::Members => Spread::Together,
        }
    }

    pub fn template(self, dialect: Dialect, alerts: usize) -> Template {
        template(dialect, self.spread(), alerts)
    }

    /// Brings a fresh candidate to where the traffic is what it is called. Gives the numbers to go on with and how
    /// many alerts were sent for it.
    pub fn prepare(self, running: &Running, dialect: Dialect) -> Result<(Numbers, u64)> {
        match self {
            Self::Repeats => {
                fill(
                    running,
                    &template(dialect, Spread::Apart, 1_000),
                    &mut Numbers::fresh(0),
                    POPULATION / 1_000,
                )?;
                Ok((Numbers::cycle(POPULATION), POPULATION))
            }
            Self::Members => {
                let mut numbers = Numbers::fresh(0);
                fill(running, &template(dialect, Spread::Together, 20), &mut numbers, 1)?;
                Ok((numbers, 20))
            }
            Self::Fresh => Ok((Numbers::fresh(0), 0)),
        }
    }
}

pub fn template(dialect: Dialect, spread: Spread, alerts: usize) -> Template {
    Template::new(dialect, spread, alerts, SystemClock.now())
}

/// Sends so many bodies, over few connections, as fast as they are taken.
pub fn fill(running: &Running, template: &Template, numbers: &mut Numbers, bodies: u64) -> Result<Duration> {
    let load = Closed {
        target: running.server.address,
        template,
        connections: usize::try_from(bodies).unwrap_or(usize::MAX).min(8),
        stop: Stop::Requests(bodies),
        warm_up: Duration::ZERO,
    };
    let sent = load.run(numbers)?;
    sent.answers.check()?;
    Ok(sent.elapsed)
}

/// What the disk alone takes for "durable".
pub fn disk_section(idle: &Histogram<u64>) -> Section {
    let percentile = |quantile| micros(idle.value_at_quantile(quantile));
    Section {
        title: "The disk".to_owned(),
        note: "Append 4 KiB and fdatasync, one after the other, nothing else running.".to_owned(),
        header: vec!["appends", "p50", "p99", "p99.9"],
        rows: vec![vec![idle.len().to_string(), percentile(0.5), percentile(0.99), percentile(0.999)]],
    }
}
