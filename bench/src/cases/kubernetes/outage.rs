//! The API server goes away under load and comes back: what senders notice, what memory it takes, and how soon every
//! open request is up to date again.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use seawall_model::{Clock, SystemClock, Timestamp};

use crate::candidates::kubernetes::Kubernetes;
use crate::candidates::{Lab, Running};
use crate::cases::{fill, template};
use crate::driver::{Answered, Answers, Open};
use crate::payload::{Dialect, Numbers, Spread};
use crate::report::{Figure, Report, Section, grouped, mebibytes, median, micros};
use crate::settings::Settings;
use crate::{clock, control};

/// What senders may wait during the outage, of what they wait otherwise.
const SLOWER: f64 = 1.2;
/// Memory that an outage may take. The publisher remembers 65 536 requests at most, 200 bytes of each.
const MEMORY: f64 = 16.0 * 1024.0 * 1024.0;
/// Until everything is up to date again.
const DRAINED: Duration = Duration::from_secs(10);
/// Longest until requests exist in the first place, and longest that is waited for them to be up to date again.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at how many writes there were.
const LOOK: Duration = Duration::from_millis(50);
/// Alerts in a body that opens problems.
const BODY: u64 = 20;
/// The tail is looked at in stretches of this length too, because what disturbs the machine spoils some of them.
const STRETCH: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `kill -9`, and started again: connections are refused meanwhile.
    Killed,
    /// `SIGSTOP` and `SIGCONT`: connections stay, and nothing is answered.
    Frozen,
}

struct Scenario {
    name: &'static str,
    fault: Fault,
    /// Calls a second, unless as shipped.
    calls: Option<u32>,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { name: "killed, limits as shipped", fault: Fault::Killed, calls: None },
    Scenario { name: "killed, qps 200", fault: Fault::Killed, calls: Some(200) },
    Scenario { name: "killed, no limit", fault: Fault::Killed, calls: Some(1_000_000) },
    Scenario { name: "frozen, qps 200", fault: Fault::Frozen, calls: Some(200) },
];

/// What senders saw in one part of the run.
struct Part {
    all: Histogram<u64>,
    /// By [`STRETCH`] since the part began.
    stretches: Vec<Histogram<u64>>,
}

struct Measured {
    before: Part,
    during: Part,
    after: Part,
    memory: Memory,
    /// From the start of the API server, or its waking, until it is ready.
    ready: Duration,
    /// From the same moment to the first write.
    first: Duration,
    /// And until every request was seen with news.
    last: Duration,
    seen: usize,
    /// As many writes as there are requests, from the first one on.
    per_second: f64,
}

impl Measured {
    /// From the API server being ready until every request was seen with news.
    fn drained(&self) -> Duration {
        self.last.saturating_sub(self.ready)
    }
}

/// Resident memory, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    /// When the load had just begun.
    begin: u64,
    /// As long later as the outage takes, when it begins.
    before: u64,
    /// The most until the API server is back.
    during: u64,
    /// The most from then until everything is up to date.
    after: u64,
}

pub fn run(lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let sizes = settings.kubernetes;
    let mut all = Vec::new();
    for scenario in &SCENARIOS {
        let measured = scenario.measure(lab, settings).context(scenario.name)?;
        eprintln!(
            "Kubernetes, outage, {}: p99 {} before, {} during; ready after {:.1?}, first write after {:.1?}, {} of {} after {:.1?}",
            scenario.name,
            micros(measured.before.p99()),
            micros(measured.during.p99()),
            measured.ready,
            measured.first,
            measured.seen,
            sizes.problems,
            measured.last
        );
        all.push(measured);
    }
    add_to(report, settings, &all);
    Ok(())
}

impl Scenario {
    fn measure(&self, lab: &Lab, settings: &Settings) -> Result<Measured> {
        let sizes = settings.kubernetes;
        let mut kubernetes = Kubernetes::start(lab)?;
        kubernetes.namespaces(sizes.problems)?;
        let mut variables = kubernetes.sink();
        if let Some(calls) = self.calls {
            variables.push(("SEAWALL_SINK__KUBERNETES__QPS", calls.to_string()));
        }
        let running = lab.start_with(&variables)?;
        kubernetes.tried(PATIENCE)?;
        let bodies = template(Dialect::Webhook, Spread::Apart, BODY as usize);
        fill(&running, &bodies, &mut Numbers::fresh(0), sizes.problems / BODY)?;
        let expected = usize::try_from(sizes.problems)?;
        let exist = kubernetes.news(Timestamp::from_millis(0), expected, PATIENCE)?.len();
        anyhow::ensure!(exist == expected, "{exist} of {expected} requests exist");

        let drained = AtomicBool::new(false);
        let (answers, outage) = std::thread::scope(|scope| {
            let driver = scope.spawn(|| send(running.server.address, settings, &drained));
            let outage = self.outage(&mut kubernetes, &running, settings);
            drained.store(true, Ordering::Relaxed);
            let sent = driver.join().map_err(|_| anyhow::anyhow!("the driver panicked"))?;
            anyhow::Ok((sent?, outage?))
        })?;
        answers.1.check()?;
        running.check_accepted(sizes.problems + answers.1.accepted)?;
        outage.measured(&answers.0)
    }

    /// Lets the load run for a while, then takes the API server away, and gives it back.
    fn outage(&self, kubernetes: &mut Kubernetes, running: &Running, settings: &Settings) -> Result<Outage> {
        let (sizes, server) = (settings.kubernetes, &running.server);
        clock::pause(settings.warm_up * 4);
        let (begins, begin) = (clock::now(), server.resident()?);
        clock::pause(sizes.outage);
        server.forget_peak()?;
        let before = server.resident()?;
        let away = clock::now();
        match self.fault {
            Fault::Killed => kubernetes.kill(),
            Fault::Frozen => kubernetes.freeze(),
        }
        // What was on its way is not counted as written afterwards.
        let stale_until = SystemClock.now() + 1_000;
        clock::pause(sizes.outage);
        let over = clock::now();
        let during = server.peak()?;
        server.forget_peak()?;
        let drained = AtomicBool::new(false);
        let (back, news, writes) = std::thread::scope(|scope| {
            let counter = scope.spawn(|| count_writes(server.address, &drained));
            match self.fault {
                Fault::Killed => kubernetes.restart(),
                Fault::Frozen => kubernetes.thaw(),
            }
            let back = clock::now();
            let news = kubernetes.news(stale_until, usize::try_from(sizes.problems)?, PATIENCE);
            drained.store(true, Ordering::Relaxed);
            let writes = counter.join().map_err(|_| anyhow::anyhow!("the counter panicked"))?;
            anyhow::Ok((back, news?, writes))
        })?;
        let ends = clock::now();
        let memory = Memory { begin, before, during, after: server.peak()? };
        Ok(Outage { begins, away, over, back, ends, memory, news, writes })
    }
}

/// Looks again and again at how many writes Seawall has done, which it tells sooner than the objects can be seen: an
/// API server takes writes before it says that it is ready.
fn count_writes(address: SocketAddr, drained: &AtomicBool) -> Vec<(Instant, u64)> {
    let mut counts = Vec::new();
    while !drained.load(Ordering::Relaxed) {
        if let Ok(metrics) = control::get(address, "/metrics") {
            let family = "seawall_publish_duration_seconds_count";
            counts.push((clock::now(), control::metric(&metrics.text(), family, "verb=\"update\"") as u64));
        }
        clock::pause(LOOK);
    }
    counts
}

/// When what happened.
struct Outage {
    begins: Instant,
    away: Instant,
    over: Instant,
    /// The API server answers again.
    back: Instant,
    ends: Instant,
    memory: Memory,
    news: Vec<Instant>,
    /// When so many writes had been done.
    writes: Vec<(Instant, u64)>,
}

impl Outage {
    fn measured(&self, answers: &[Answered]) -> Result<Measured> {
        let since = |at: Instant| at.saturating_duration_since(self.over);
        let nothing = "nothing was written after the API server was back";
        let last = *self.news.last().context(nothing)?;
        let before = self.writes.first().context(nothing)?.1;
        let reached = |count| self.writes.iter().find(|(_, writes)| *writes >= before + count);
        let first = reached(1).context(nothing)?;
        let enough = reached(self.news.len() as u64).or(self.writes.last()).unwrap_or(first);
        let took = enough.0.saturating_duration_since(first.0).max(LOOK);
        Ok(Measured {
            before: Part::of(answers, self.begins, self.away)?,
            during: Part::of(answers, self.away, self.over)?,
            after: Part::of(answers, self.back, self.ends)?,
            memory: self.memory,
            ready: since(self.back),
            first: since(first.0),
            last: since(last),
            seen: self.news.len(),
            per_second: (enough.1 - before) as f64 / took.as_secs_f64(),
        })
    }
}

impl Part {
    fn of(answers: &[Answered], from: Instant, to: Instant) -> Result<Self> {
        let empty = || Histogram::new_with_bounds(1, 120_000_000, 3);
        let mut part = Self { all: empty()?, stretches: Vec::new() };
        for answered in answers.iter().filter(|answered| answered.due >= from && answered.due < to) {
            let micros = answered.at.saturating_duration_since(answered.due).as_micros() as u64;
            let stretch = ((answered.due - from).as_nanos() / STRETCH.as_nanos()) as usize;
            while part.stretches.len() <= stretch {
                part.stretches.push(empty()?);
            }
            part.all.record(micros.max(1))?;
            part.stretches[stretch].record(micros.max(1))?;
        }
        Ok(part)
    }

    fn p99(&self) -> u64 {
        self.all.value_at_quantile(0.99)
    }

    /// The median of the stretches' own.
    fn typical_p99(&self) -> u64 {
        median(self.stretches.iter().map(|stretch| stretch.value_at_quantile(0.99) as f64)) as u64
    }
}

/// Sends repeats until everything is up to date again.
fn send(target: SocketAddr, settings: &Settings, drained: &AtomicBool) -> Result<(Vec<Answered>, Answers)> {
    let sizes = settings.kubernetes;
    let load = Open {
        target,
        template: &template(Dialect::Webhook, Spread::Apart, 1),
        connections: settings.connections,
        requests_per_second: sizes.requests_per_second,
        length: 2 * sizes.outage + 3 * PATIENCE,
        warm_up: Duration::ZERO,
    };
    let mut all = Vec::new();
    let sent = load.run_watched(&mut Numbers::cycle(sizes.problems), |answered| {
        all.push(answered);
        if drained.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok((all, sent.answers))
}

fn add_to(report: &mut Report, settings: &Settings, all: &[Measured]) {
    let problems = settings.kubernetes.problems;
    let seconds = settings.kubernetes.outage.as_secs_f64();
    for (scenario, measured) in SCENARIOS.iter().zip(all) {
        let name = format!("API server away {seconds:.0} s, {}", scenario.name);
        let slower = measured.during.p99() as f64 / measured.before.p99() as f64;
        report.figures.push(Figure {
            name: format!("{name}: ingest p99 / normal"),
            measured: format!("{slower:.2}"),
            target: format!("≤ {SLOWER}"),
            reached: slower <= SLOWER,
        });
        let more = measured.memory.during.saturating_sub(measured.memory.before) as f64;
        report.figures.push(Figure {
            name: format!("{name}: memory, peak meanwhile over before"),
            measured: mebibytes(more),
            target: format!("bounded: ≤ {}", mebibytes(MEMORY)),
            reached: more <= MEMORY,
        });
        let (complete, drained) = (measured.seen as u64 == problems, measured.drained());
        report.figures.push(Figure {
            name: format!("{name}: {} open requests up to date", grouped(problems as f64)),
            measured: match complete {
                true => format!("{:.1} s", drained.as_secs_f64()),
                false => format!("{} after {:.0} s", measured.seen, PATIENCE.as_secs_f64()),
            },
            target: format!("< {} s", DRAINED.as_secs()),
            reached: complete && drained < DRAINED,
        });
    }
    report.sections.push(latencies(settings, all));
    report.sections.push(backlogs(settings, all));
}

fn latencies(settings: &Settings, all: &[Measured]) -> Section {
    let rows = SCENARIOS.iter().zip(all).map(|(scenario, measured)| {
        let mut row = vec![scenario.name.to_owned()];
        for part in [&measured.before, &measured.during, &measured.after] {
            row.push(micros(part.all.value_at_quantile(0.5)));
            row.push(format!("{} ({})", micros(part.p99()), micros(part.typical_p99())));
        }
        let [during, before] = [&measured.during, &measured.before].map(|part| part.typical_p99() as f64);
        row.push(format!("{:.2}", during / before));
        row
    });
    Section {
        title: format!(
            "Kubernetes: the API server is away for {:.0} s: senders",
            settings.kubernetes.outage.as_secs_f64()
        ),
        note: format!(
            "{} single alerts a second, open loop over {} connections, all about {} open problems, each with a namespace and a \
             request of its own: for as long before, during, and after until everything is up to date. From the time a request \
             was due to the end of its answer. In parentheses the median of the p99 of each second, and in the last column its \
             ratio, which a few disturbed seconds do not move. Every answer was 2xx, and every alert is counted.",
            grouped(settings.kubernetes.requests_per_second),
            settings.connections,
            grouped(settings.kubernetes.problems as f64)
        ),
        header: vec![
            "the API server is",
            "p50 before",
            "p99 before",
            "p50 during",
            "p99 during",
            "p50 after",
            "p99 after",
            "p99 during / before, by second",
        ],
        rows: rows.collect(),
    }
}

fn backlogs(settings: &Settings, all: &[Measured]) -> Section {
    let rows = SCENARIOS.iter().zip(all).map(|(scenario, measured)| {
        let times = [measured.ready, measured.first, measured.last, measured.drained()];
        let mut row = vec![scenario.name.to_owned()];
        let Memory { begin, before, during, after } = measured.memory;
        row.extend([begin, before, during, after].map(|bytes| mebibytes(bytes as f64)));
        row.extend(times.map(|time| format!("{:.2} s", time.as_secs_f64())));
        row.push(measured.seen.to_string());
        row.push(grouped(measured.per_second));
        row
    });
    Section {
        title: "Kubernetes: the API server is back".to_owned(),
        note: format!(
            "The same runs. Resident memory of Seawall, which grows with the log of its store too; and when all of {} requests were seen with an alert from after the server \
             had gone. Times are since it was started again, or since `SIGCONT`; it takes writes before it says that it is ready. \
             Writes a second are as many as there are requests, from the first one on. Alerts about all of them keep coming.",
            grouped(settings.kubernetes.problems as f64)
        ),
        header: vec![
            "the API server is",
            "memory, load begins",
            "server goes",
            "peak while it is away",
            "peak until up to date",
            "ready",
            "first write",
            "last of all",
            "last since ready",
            "requests",
            "writes/s",
        ],
        rows: rows.collect(),
    }
}
