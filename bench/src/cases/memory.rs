//! Memory per live incident, and the start with all of them.

use std::time::Duration;

use anyhow::Result;

use super::{fill, template};
use crate::candidates::{Candidate, Lab, Running};
use crate::payload::{Dialect, Numbers, Spread};
use crate::report::{Figure, Report, Section, grouped, mebibytes};
use crate::settings::Settings;
use crate::{clock, control};

/// Most bytes a live incident may cost.
const BYTES: f64 = 300.0;
/// Longest until a server with the most incidents is ready.
const START: Duration = Duration::from_secs(5);
/// Longest to wait for memory to stop moving.
const SETTLE: Duration = Duration::from_secs(20);
const BODY: u64 = 1_000;

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let running = lab.start(Candidate::Seawall)?;
    let idle = running.server.settled(SETTLE)?;
    let mut filling = Filling { running, idle, rows: Vec::new(), sent: 0, last: (0.0, idle) };
    filling.rows.push(vec!["idle".to_owned(), "0".to_owned(), mebibytes(idle as f64), "–".to_owned()]);
    let mut numbers = Numbers::fresh(0);
    for target in settings.incidents {
        let (live, each) = filling.fill_to(target, &mut numbers, settings.window)?;
        report.figures.push(figure(live, each));
    }
    let Filling { running, mut rows, sent, last, .. } = filling;
    let running = running.crash_and_restart(lab)?;
    let processor = running.server.cpu_time()?.as_secs_f64();
    let after = live_incidents(&running, sent)?;
    anyhow::ensure!(after == last.0, "{after} of {} incidents are live after a crash and a restart", last.0);
    let ready = running.server.ready_after;
    let resident = running.server.settled(SETTLE)?;
    rows.push(row("after kill -9 and restart", after, resident, (resident as f64 - idle as f64) / after));
    report.figures.push(Figure {
        name: format!("start to ready, {} incidents", grouped(after)),
        measured: format!("{:.2} s ({processor:.2} s of processor time)", ready.as_secs_f64()),
        target: "< 5 s".to_owned(),
        reached: ready < START,
    });
    report.sections.push(Section {
        title: "Memory per live incident".to_owned(),
        note: "Each incident has a request of its own. Resident memory of the process (VmRSS) when it has stopped \
               moving; bytes are what came on top of the idle process, its caches and buffers included. For the first \
               60 s an incident also lies in the windows of the storm rules that count it."
            .to_owned(),
        header: vec!["state", "incidents", "resident", "bytes an incident"],
        rows,
    });
    Ok(())
}

/// A server on its way to many live incidents.
struct Filling {
    running: Running,
    /// Resident memory before the first incident.
    idle: u64,
    rows: Vec<Vec<String>>,
    sent: u64,
    /// Live incidents and resident memory at the last stop.
    last: (f64, u64),
}

impl Filling {
    /// Opens incidents until there are `target`; gives how many live and what each costs when all windows are over.
    fn fill_to(&mut self, target: u64, numbers: &mut Numbers, window: Duration) -> Result<(f64, f64)> {
        let body = template(Dialect::Webhook, Spread::Apart, BODY as usize);
        let took = fill(&self.running, &body, numbers, (target - self.sent) / BODY)?;
        self.sent = target;
        let windows_end = clock::now() + window;
        let live = live_incidents(&self.running, target)?;
        let fresh = self.running.server.settled(SETTLE)?;
        self.rows.push(row("live, still in the storm rules' windows", live, fresh, self.each(live, fresh)));
        clock::pause(windows_end.saturating_duration_since(clock::now()));
        let resident = self.running.server.settled(SETTLE)?;
        let each = self.each(live, resident);
        self.rows.push(row("live, windows over", live, resident, each));
        eprintln!("memory: {} live incidents after {took:.1?}, {each:.0} B each", grouped(live));
        if self.last.0 > 0.0 {
            let (more, on_top) = (live - self.last.0, resident as f64 - self.last.1 as f64);
            let marginal = format!("{:.0}", on_top / more);
            self.rows.push(vec![
                "of these the later ones".to_owned(),
                grouped(more),
                mebibytes(on_top),
                marginal,
            ]);
        }
        self.last = (live, resident);
        Ok((live, each))
    }

    fn each(&self, live: f64, resident: u64) -> f64 {
        (resident as f64 - self.idle as f64) / live
    }
}

fn row(name: &str, incidents: f64, resident: u64, each: f64) -> Vec<String> {
    vec![name.to_owned(), grouped(incidents), mebibytes(resident as f64), format!("{each:.0}")]
}

fn figure(live: f64, each: f64) -> Figure {
    Figure {
        name: format!("memory per live incident at {}", grouped(live)),
        measured: format!("{each:.0} B"),
        target: format!("≤ {BYTES:.0} B"),
        reached: each <= BYTES,
    }
}

/// As Seawall counts them. What its metrics say may be some tenths of a second old, so the number is waited for; when it
/// does not come, because the first incidents have already ended by silence, whatever is there is taken.
fn live_incidents(running: &Running, expected: u64) -> Result<f64> {
    let mut live = Ok(0.0);
    clock::poll(Duration::from_millis(100), Duration::from_secs(3), || {
        live = control::get(running.server.address, "/metrics")
            .map(|metrics| control::metric(&metrics.text(), "seawall_incidents_open", ""));
        live.as_ref().is_ok_and(|live| *live as u64 == expected).then_some(())
    });
    live
}
