//! Alertmanager, the peer: what people run today. It keeps alerts in memory only.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::control;
use crate::process::{Server, free_address};

pub const VERSION: &str = "0.34.2";
const MODULE: &str = "github.com/prometheus/alertmanager";

/// One group, a receiver that goes nowhere: the cheapest configuration there is.
const CONFIG: &str = "route:\n  receiver: nobody\n  group_by: [alertname]\nreceivers:\n  - name: nobody\n";

pub fn start(binary: &Path, directory: &Path) -> Result<Server> {
    let address = free_address()?;
    let config = directory.join("alertmanager.yml");
    fs::write(&config, CONFIG)?;
    let mut command = Command::new(binary);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .args(["--cluster.listen-address=", "--log.level=warn"]);
    Server::start(command, address, "/-/ready", &directory.join("log"))
}

pub fn check_accepted(address: SocketAddr, alerts: u64) -> Result<()> {
    let metrics = control::get(address, "/metrics")?;
    let received =
        control::metric(&metrics.text(), "alertmanager_alerts_received_total", "status=\"firing\"");
    anyhow::ensure!(
        received as u64 == alerts,
        "Alertmanager received {received} alerts of {alerts} that were sent"
    );
    Ok(())
}

/// The pinned version, from the cache or built into it (a minute on two cores, with Go and its module proxy).
///
/// `go install` cannot build 0.34: the module lacks the compiled web page that it embeds. So the module is built from
/// a copy with an empty page. Nothing else differs.
pub fn find_or_build() -> Result<PathBuf> {
    let cache = cache_directory()?.join(format!("alertmanager-{VERSION}"));
    let binary = cache.join("alertmanager");
    if binary.exists() {
        return Ok(binary);
    }
    eprintln!("building Alertmanager {VERSION} into {} …", cache.display());
    fs::create_dir_all(&cache)?;
    let sources = tempfile::Builder::new().prefix("sources-").tempdir_in(&cache)?;
    copy_tree(&download()?, sources.path())?;
    let page = sources.path().join("ui/app/dist");
    fs::create_dir_all(&page)?;
    fs::write(page.join("index.html"), "<!doctype html><title>Alertmanager without its page</title>\n")?;
    let partial = cache.join("alertmanager.partial");
    let version = format!("-X github.com/prometheus/common/version.Version={VERSION}");
    let mut build = Command::new("go");
    build.current_dir(sources.path()).args(["build", "-ldflags", &version, "-o"]).arg(&partial);
    let status = build.arg("./cmd/alertmanager").status().context("cannot run go")?;
    anyhow::ensure!(status.success(), "building Alertmanager ended with {status}");
    fs::rename(&partial, &binary)?;
    Ok(binary)
}

/// Where the module's sources are, after downloading them.
fn download() -> Result<PathBuf> {
    let module = format!("{MODULE}@v{VERSION}");
    let output = Command::new("go").args(["mod", "download", "-json", &module]).output();
    let output = output.context("cannot run go; it is needed to build Alertmanager")?;
    let answer: serde_json::Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("cannot download {module}"))?;
    let directory = answer["Dir"].as_str();
    directory.map(PathBuf::from).with_context(|| format!("cannot download {module}: {}", answer["Error"]))
}

fn cache_directory() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("seawall"))
}

/// Copies files but not their modes: modules are read-only, and the copy is written to.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::write(target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
