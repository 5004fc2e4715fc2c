//! Measures Seawall beside the best its HTTP stack could do, beside Alertmanager, and on Redis beside its script alone, and
//! prints one table.
//!
//! Every candidate is a process of its own, started for one run and gone after it; the load driver is one thread of
//! this process, the same for all. It must never report a rate whose answers were not all 2xx or whose alerts the
//! candidate did not count.
//!
//! ```text
//! settings ─► Lab (binaries, directory on a real disk)
//!              └─ case: start candidate ─► prepare ─► drive ─► check the counts ─► Report
//! ```

mod candidates;
mod cases;
mod clock;
mod control;
mod disk;
mod driver;
mod environment;
mod payload;
mod process;
mod report;
mod settings;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;

use candidates::{Lab, alertmanager, ceiling, seawall};
use cases::throughput::Saturation;
use report::Report;
use settings::{Args, Case, Inner, Settings};

/// The same allocator as the product's, so that the ceiling differs from it in nothing but deciding.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Inner::Ceiling { address }) = args.inner {
        return ceiling::serve(address);
    }
    if cfg!(debug_assertions) {
        eprintln!("this is not a release build; its numbers mean nothing");
    }
    let report = measure(&args)?;
    println!("{report}");
    if let Some(path) = &args.out {
        std::fs::write(path, report.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn measure(args: &Args) -> Result<Report> {
    let lab = lab(args)?;
    let settings = args.settings();
    let mut report = Report { environment: environment::describe(&lab, args), ..Report::default() };
    let idle = disk::probe(lab.root(), settings.disk)?;
    if args.runs(Case::Disk) {
        report.sections.push(cases::disk_section(&idle));
    }
    let mut saturation = None;
    if args.runs(Case::Single) {
        saturation = Some(cases::throughput::run(&lab, &settings, 1, &mut report)?);
    }
    if args.runs(Case::Batch) {
        cases::throughput::run(&lab, &settings, 100, &mut report)?;
    }
    if args.runs(Case::Latency) {
        let saturation = saturation.map_or_else(|| Saturation::measure(&lab, &settings), Ok)?;
        cases::latency::run(&lab, &settings, saturation, &idle, &mut report)?;
    }
    let rest: [(Case, CaseRun); 5] = [
        (Case::Memory, cases::memory::run),
        (Case::Body, cases::body::run),
        (Case::Storm, cases::storm::run),
        (Case::Start, cases::start::run),
        (Case::Tls, cases::tls::run),
    ];
    run_those(&rest, args, &lab, &settings, &mut report)?;
    measure_redis(args, &lab, &settings, &mut report)?;
    let of_kubernetes: [(Case, CaseRun); 4] = [
        (Case::KubernetesStorm, cases::kubernetes::storm::run),
        (Case::KubernetesOutage, cases::kubernetes::outage::run),
        (Case::KubernetesCreate, cases::kubernetes::create::run),
        (Case::KubernetesAuth, cases::kubernetes::auth::run),
    ];
    run_those(&of_kubernetes, args, &lab, &settings, &mut report)?;
    Ok(report)
}

fn measure_redis(args: &Args, lab: &Lab, settings: &Settings, report: &mut Report) -> Result<()> {
    let mut saturation = None;
    if args.runs(Case::RedisSingle) {
        saturation = Some(cases::redis::throughput::run(lab, settings, 1, report)?);
    }
    if args.runs(Case::RedisBatch) {
        cases::redis::throughput::run(lab, settings, 100, report)?;
    }
    if args.runs(Case::RedisLatency) {
        let measured = saturation.map_or_else(|| cases::redis::throughput::saturation(lab, settings), Ok)?;
        cases::redis::latency::run(lab, settings, measured, report)?;
    }
    let rest: [(Case, CaseRun); 2] =
        [(Case::RedisMemory, cases::redis::memory::run), (Case::RedisRecovery, cases::redis::recovery::run)];
    run_those(&rest, args, lab, settings, report)
}

fn run_those(
    cases: &[(Case, CaseRun)],
    args: &Args,
    lab: &Lab,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    for (case, run) in cases.iter().filter(|(case, _)| args.runs(*case)) {
        run(lab, settings, report).with_context(|| format!("case {case:?}"))?;
    }
    Ok(())
}

type CaseRun = fn(&Lab, &Settings, &mut Report) -> Result<()>;

/// Finds or builds what the chosen cases need.
fn lab(args: &Args) -> Result<Lab> {
    let compares = args.runs(Case::Single) || args.runs(Case::Batch);
    let alertmanager = match &args.alertmanager {
        Some(binary) => Some(binary.clone()),
        None if compares => Some(alertmanager::find_or_build()?),
        None => None,
    };
    let beside = std::env::current_exe()?.parent().map(PathBuf::from);
    let data_root = args.data_root.clone().or(beside).context("no directory for data")?;
    let seawall = seawall::find_or_build(args.seawall.clone())?;
    Lab::new(seawall, alertmanager, args.redis_server.clone(), &data_root)
}
