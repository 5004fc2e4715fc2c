//! The pages for operators: their commands are run, and their links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use seawall_testkit::{Process, free_port};

use crate::support::{run, scene};

/// A page gives up by itself before. `timeout` asks the shell to end then, so that it ends what it has started.
const GIVES_UP: &str = "120";
const ENDED_WITHIN: Duration = Duration::from_secs(150);

/// Stands before a block that no test can run, with the reason.
const NOT_RUN: &str = "<!-- not run: ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("a checkout")
}

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The commands of a page's `console` blocks, and how many of them nobody runs.
fn commands(page: &str) -> (Vec<String>, usize) {
    let (mut commands, mut not_run) = (Vec::new(), 0);
    for (at, fence) in page.match_indices("\n```console\n") {
        let block = page[at + fence.len()..].split("\n```").next().expect("a block ends");
        let mut found: Vec<String> = Vec::new();
        let mut is_open = false;
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(begins) => found.push(begins.to_owned()),
                None if is_open => {
                    let command = found.last_mut().expect("a command goes on");
                    write!(command, "\n{line}").expect("a text grows");
                }
                None => {}
            }
            is_open = found.last().is_some_and(|command| goes_on(command));
        }
        let before = page[..at].lines().next_back().unwrap_or_default();
        match before.strip_prefix(NOT_RUN) {
            Some(reason) => {
                assert!(reason.len() > 10, "why is {found:?} not run?");
                not_run += found.len();
            }
            None => commands.extend(found),
        }
    }
    (commands, not_run)
}

/// Whether the next line belongs to the command: a quote, a here-document or the line itself is not over.
fn goes_on(command: &str) -> bool {
    let here = command.split_once("<<'EOF'");
    here.is_some_and(|(_, document)| !document.ends_with("\nEOF"))
        || here.is_none() && (command.matches('\'').count() % 2 == 1 || command.ends_with('\\'))
}

#[test]
fn commands_are_found_with_all_their_lines() {
    let text = "\n```console\n$ a 'b\n  c' d\nsaid\n$ cat <<'EOF'\nx: 'y\nEOF\n$ e \\\n  f\n```\n\
                <!-- not run: needs the internet -->\n```console\n$ g\n```\n";
    let (found, not_run) = commands(text);
    assert_eq!(found, ["a 'b\n  c' d", "cat <<'EOF'\nx: 'y\nEOF", "e \\\n  f"]);
    assert_eq!(not_run, 1);
}

#[tokio::test]
async fn the_commands_for_operators_do_what_the_page_says() {
    let scene = scene().await;
    let (commands, not_run) = commands(&page("docs/operating.md"));
    assert!(commands.len() > 20 && not_run <= 2, "{} are run, {not_run} are not", commands.len());
    let checkout = scene.folder("checkout");
    for shared in ["deploy", "docs", "examples"] {
        std::os::unix::fs::symlink(root().join(shared), checkout.join(shared)).expect("a link can be made");
    }
    // Ports of the page are those that everybody has at home; here others may be using them.
    let ports = BTreeMap::from([("8080", free_port().to_string()), ("6379", free_port().to_string())]);
    let mut script =
        String::from("set -euo pipefail\ntrap 'kill $(jobs -p) $(cat redis.pid) 2>/dev/null' EXIT\n");
    for command in &commands {
        let command = ports.iter().fold(command.clone(), |text, (usual, free)| text.replace(usual, free));
        writeln!(script, "{command}").expect("a text grows");
    }
    let listen = format!("127.0.0.1:{}", ports["8080"]);
    let path = std::env::var("PATH").expect("a path");
    let programs = scene.binary().parent().expect("a folder").display();
    let mut shell = Command::new("timeout");
    shell.arg(GIVES_UP).arg("bash").arg(scene.file("page.sh", &script)).current_dir(&checkout);
    shell.env("PATH", format!("{programs}:{path}")).env_remove("KUBECONFIG");
    shell.env("SEAWALL_SERVER__LISTEN", &listen).env("SEAWALL_URL", format!("http://{listen}"));
    let mut shell =
        Process::spawn("operating.md", &mut shell, &scene.path().join("page.log"), Some("coreutils"));
    let status = shell.exited(ENDED_WITHIN).await;
    let output = shell.output();
    assert!(status.success(), "{output}");
    // Once when it was sent, and once from the copy.
    assert_eq!(output.matches("PodCrashLooping  critical").count(), 2, "{output}");
    assert!(output.contains("Checking rules.yaml") && output.contains("PONG"), "{output}");
}

/// What stands between backticks in the text of a page.
fn quoted(page: &str) -> Vec<&str> {
    let outside = page.split("```").step_by(2);
    outside.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

#[tokio::test]
async fn commands_and_keys_that_the_pages_mention_exist() {
    let scene = scene().await;
    let reference = page("docs/configuration.md");
    let (mut commands, mut keys) = (BTreeSet::new(), 0);
    for from in ["docs/operating.md", "docs/runbook.md"] {
        let text = page(from);
        for quoted in quoted(&text) {
            let sections = [
                "auth.",
                "dedup.",
                "publish.",
                "rateLimit.",
                "server.",
                "sink.",
                "state.",
                "storm.",
                "telemetry.",
            ];
            if let Some(command) = quoted.strip_prefix("seawall ") {
                commands.insert(command.to_owned());
            } else if sections.iter().any(|section| quoted.starts_with(section)) {
                keys += 1;
                let is_key = reference.contains(&format!("| `{quoted}` |"));
                assert!(is_key || reference.contains(&format!("## `{quoted}`")), "{from}: {quoted}");
            }
        }
    }
    assert!(commands.len() >= 5 && keys >= 10, "{commands:?}, {keys} keys");
    for command in &commands {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let ended = run(&scene, &args, &[]).await;
        assert_eq!(ended.code, Some(0), "seawall {command}: {}", ended.said);
    }
}

/// The part of a link behind `#`, as it is made of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    for from in ["README.md", "docs/operating.md", "docs/runbook.md", "docs/metrics.md"] {
        let text = page(from);
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().expect("a link ends");
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(from).parent().expect("a folder");
            let target = if file.is_empty() { root().join(from) } else { root().join(folder).join(file) };
            assert!(target.exists(), "{from}: {link}");
            if !heading.is_empty() {
                let target = std::fs::read_to_string(&target).expect("a page");
                let found = target.lines().filter(|line| line.starts_with('#'));
                let found = found.map(|line| anchor(line.trim_start_matches('#').trim()));
                assert!(found.into_iter().any(|found| found == heading), "{from}: {link}");
            }
        }
    }
}
