//! From starting the process on nothing to its first ready answer.

use std::time::Duration;

use anyhow::Result;

use crate::candidates::{Candidate, Lab};
use crate::report::{Figure, Report, median};
use crate::settings::Settings;

const LIMIT: Duration = Duration::from_millis(300);

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let mut starts = Vec::new();
    for _ in 0..settings.starts {
        starts.push(lab.start(Candidate::Seawall)?.server.ready_after.as_secs_f64());
    }
    let (typical, worst) = (median(starts.iter().copied()), starts.iter().copied().fold(0.0, f64::max));
    eprintln!("start: {typical:.3} s, at worst {worst:.3} s");
    report.figures.push(Figure {
        name: "start to ready, empty data directory".to_owned(),
        measured: format!("{typical:.3} s (worst of {}: {worst:.3} s)", starts.len()),
        target: "< 0.3 s".to_owned(),
        reached: worst < LIMIT.as_secs_f64(),
    });
    Ok(())
}
