//! Where and of what a table was measured; without it a number is worth nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use seawall_model::{Clock, SystemClock};
use seawall_testkit::kubernetes::apiserver_version;

use crate::candidates::redis::Redis;
use crate::candidates::{Lab, alertmanager};
use crate::settings::{Args, Needs};

pub fn describe(lab: &Lab, args: &Args) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if args.quick {
        lines.push(("warning", "a smoke run with `--quick`; its numbers mean nothing".to_owned()));
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("`cargo run --release -p seawall-bench -- {}`", arguments.join(" "));
    lines.push(("command", command.replace(" -- `", "`")));
    lines.push(("commit", commit()));
    lines.push(("date", SystemClock.now().to_string()));
    lines.push(("machine", format!("{}, {} cores, {}", processor(), cores(), memory())));
    lines.push(("load when it began", load()));
    lines.push(("kernel", first_line("/proc/sys/kernel/osrelease")));
    lines.push(("data directory on", lab.file_system.clone()));
    lines.push(("compiler", output("rustc", &["--version"]).unwrap_or_else(unknown)));
    if lab.alertmanager.is_some() {
        lines.push(("Alertmanager", alertmanager::VERSION.to_owned()));
    }
    if args.need(Needs::Redis) {
        lines.push(("Redis", Redis::version(&lab.redis).unwrap_or_else(unknown)));
    }
    if args.need(Needs::Kubernetes) {
        lines.push(("API server", apiserver_version()));
    }
    lines
}

/// The commit of this checkout, and whether tracked files differ from it.
fn commit() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).to_string_lossy().into_owned();
    let git = |arguments: &[&str]| output("git", &[&["-C", root.as_str()], arguments].concat());
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return unknown() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if !changes.is_empty() => format!("{commit} with uncommitted changes"),
        _ => commit,
    }
}

fn processor() -> String {
    let found = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    found.unwrap_or_else(unknown)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn memory() -> String {
    let found = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kilobytes: f64 = text.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some(format!("{:.0} GiB", kilobytes / f64::from(1 << 20)))
    });
    found.unwrap_or_else(unknown)
}

/// Above a few tenths something else was running, and every number is worse than it should be.
fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg");
    load.ok().and_then(|text| Some(text.split_whitespace().next()?.to_owned())).unwrap_or_else(unknown)
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}
