//! What is measured, a module for each kind of question.

pub mod body;
pub mod kubernetes;
pub mod latency;
pub mod memory;
pub mod redis;
pub mod start;
pub mod storm;
mod stretches;
pub mod throughput;
pub mod tls;

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use seawall_model::{Clock, SystemClock};

use crate::candidates::Running;
use crate::driver::{Closed, Stop};
use crate::payload::{Dialect, Numbers, Spread, Template};
use crate::report::{Section, micros};

/// Incidents that repeats go round in: so many that each is repeated every few seconds, as Alertmanager does with a short
/// `group_interval`. Watchers are told of a request once a second at most, so fewer would hide what telling costs.
pub const POPULATION: u64 = 40_000;
/// Alerts in a body that prepares a run. With a namespace each that is as many calls at once to a shared store, all of
/// which have to be answered within its deadline.
pub const PREPARED: u64 = 100;

/// What the alerts of a run are to the candidate that gets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Further signals of [`POPULATION`] live incidents.
    Repeats,
    /// Each a new fingerprint that joins the one open storm.
    Members,
    /// Each a new incident with a request of its own.
    Fresh,
    /// Further signals of [`POPULATION`] members of storms, a hundred in each.
    GroupRepeats,
    /// Each a new fingerprint, a hundred to a namespace that becomes a storm.
    NewGroups,
}

impl Traffic {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repeats => "repeats of live incidents",
            Self::Members => "members of an open storm",
            Self::Fresh => "each a new incident with its own request",
            Self::GroupRepeats => "repeats of storm members, 100 to a namespace",
            Self::NewGroups => "each 100 a namespace that becomes a storm",
        }
    }

    const fn spread(self) -> Spread {
        match self {
            Self::Repeats | Self::Fresh => Spread::Apart,
            Self::Members => Spread::Together,
            Self::GroupRepeats | Self::NewGroups => Spread::Groups,
        }
    }

    /// What is decided of the first alert of a body, as the script numbers it.
    pub const fn decision(self) -> u8 {
        match self {
            Self::Fresh | Self::NewGroups => 1,
            Self::Repeats | Self::GroupRepeats => 3,
            Self::Members => 4,
        }
    }

    pub fn template(self, dialect: Dialect, alerts: usize) -> Template {
        template(dialect, self.spread(), alerts)
    }

    /// Brings a fresh candidate to where the traffic is what it is called. Gives the numbers to go on with and how
    /// many alerts were sent for it.
    pub fn prepare(self, running: &Running, dialect: Dialect) -> Result<(Numbers, u64)> {
        match self {
            Self::Repeats | Self::GroupRepeats => {
                fill(
                    running,
                    &template(dialect, self.spread(), PREPARED as usize),
                    &mut Numbers::fresh(0),
                    POPULATION / PREPARED,
                )?;
                Ok((Numbers::cycle(POPULATION), POPULATION))
            }
            Self::Members => {
                let mut numbers = Numbers::fresh(0);
                fill(running, &template(dialect, Spread::Together, 20), &mut numbers, 1)?;
                Ok((numbers, 20))
            }
            Self::Fresh | Self::NewGroups => Ok((Numbers::fresh(0), 0)),
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
