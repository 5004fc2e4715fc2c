//! Seawall as people start it: the built binary, no configuration, an empty data directory on a real disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::control;
use crate::process::{Server, free_address};

/// Requests that are listed one by one to check their counts; beyond that the totals have to do.
const LISTED: u64 = 50_000;

pub fn start(binary: &Path, directory: &Path) -> Result<Server> {
    start_with(binary, directory, &[])
}

/// The same, with these variables as its configuration.
pub fn start_with(binary: &Path, directory: &Path, variables: &[(&str, String)]) -> Result<Server> {
    let mut command = command(binary, directory);
    command.arg("--data-dir").arg(directory.join("data"));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    serve(command, directory)
}

/// The same, where TLS is spoken, and with a second address for what is asked about it without.
pub fn start_secure(
    binary: &Path,
    directory: &Path,
    variables: &[(&str, String)],
) -> Result<(Server, SocketAddr)> {
    let (address, metrics) = (free_address()?, free_address()?);
    let mut command = command(binary, directory);
    command.arg("--data-dir").arg(directory.join("data")).args(["--listen", &address.to_string()]);
    command.env("SEAWALL_SERVER__METRICS_LISTEN", metrics.to_string());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let is_ready = || control::get(metrics, "/readyz").is_ok_and(|answer| answer.status == 200);
    let server = Server::start_until(command, address, is_ready, &directory.join("log"))?;
    Ok((server, metrics))
}

/// As one of many replicas is started.
pub fn start_on_redis(binary: &Path, directory: &Path, url: &str) -> Result<Server> {
    let mut command = command(binary, directory);
    command.env("SEAWALL_STATE__KIND", "redis").env("SEAWALL_STATE__REDIS__URLS", url);
    serve(command, directory)
}

/// Of this process's environment nothing that would configure it.
fn command(binary: &Path, directory: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(directory).arg("serve");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    // Nor the cluster that somebody happens to work with.
    command.env_remove("KUBECONFIG");
    command
}

fn serve(mut command: Command, directory: &Path) -> Result<Server> {
    let address = free_address()?;
    command.args(["--listen", &address.to_string()]);
    Server::start(command, address, "/readyz", &directory.join("log"))
}

/// The counters of answered decisions must add up.
pub fn check_decided(address: SocketAddr, alerts: u64) -> Result<()> {
    let metrics = control::get(address, "/metrics")?;
    let text = metrics.text();
    let decided: f64 = ["created", "accepted", "duplicate", "aggregated"]
        .iter()
        .map(|decision| {
            let label = format!("decision=\"{decision}\"");
            control::metric(&text, "seawall_decisions_total", &label)
        })
        .sum();
    anyhow::ensure!(
        decided as u64 == alerts,
        "Seawall decided {decided} of {alerts} alerts that were answered"
    );
    Ok(())
}

/// The counters must add up, and, where listing them is affordable, the durable requests too.
pub fn check_accepted(address: SocketAddr, alerts: u64) -> Result<()> {
    check_decided(address, alerts)?;
    let metrics = control::get(address, "/metrics")?;
    let open = control::metric(&metrics.text(), "seawall_requests_open", "") as u64;
    if open <= LISTED { check_counted(address, alerts) } else { Ok(()) }
}

/// The durable requests must count every alert.
pub fn check_counted(address: SocketAddr, alerts: u64) -> Result<()> {
    let counted = occurrences(address)?;
    anyhow::ensure!(counted == alerts, "the requests count {counted} of {alerts} alerts that were answered");
    Ok(())
}

/// The sum of `occurrenceCount` over all requests.
fn occurrences(address: SocketAddr) -> Result<u64> {
    let mut counted = 0;
    let mut after = String::new();
    loop {
        let list = control::get_json(address, &format!("/api/v1/requests?limit=500{after}"))?;
        for item in list["items"].as_array().context("a list of requests without items")? {
            let count = item["spec"]["deduplication"]["occurrenceCount"].as_u64();
            counted += count.context("a request without a count")?;
        }
        match list["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => after = format!("&continue={}", escape(token)),
            None => return Ok(counted),
        }
    }
}

/// Percent-encodes what may not stand in a query.
fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

/// The given binary, or the one beside this benchmark, built first so that it is the one of this checkout.
pub fn find_or_build(given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(binary) = given {
        return binary.canonicalize().with_context(|| format!("there is no {}", binary.display()));
    }
    let beside = std::env::current_exe()?.with_file_name("seawall");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut build = Command::new(cargo);
        build.current_dir(root).args(["build", "--release", "--bin", "seawall"]);
        let status = build.status().context("cannot run cargo")?;
        anyhow::ensure!(status.success(), "building seawall ended with {status}");
    }
    anyhow::ensure!(beside.exists(), "there is no {}; build it or name one with --seawall", beside.display());
    Ok(beside)
}
