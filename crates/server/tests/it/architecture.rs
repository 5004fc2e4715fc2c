//! The house as `docs/architecture.md` draws it: arrows between crates go one way.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What each crate of ours may use of ours. Tests may use more.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("seawall-model", &[]),
    ("seawall-engine", &["seawall-model"]),
    ("seawall-store", &["seawall-model", "seawall-engine"]),
    ("seawall-cluster", &["seawall-model"]),
    ("seawall-telemetry", &["seawall-model"]),
    (
        "seawall-ingest",
        &["seawall-model", "seawall-engine", "seawall-store", "seawall-cluster", "seawall-telemetry"],
    ),
    ("seawall-sink", &["seawall-model", "seawall-store", "seawall-cluster", "seawall-telemetry"]),
    ("seawall-classify", &["seawall-model", "seawall-engine", "seawall-cluster", "seawall-telemetry"]),
    (
        "seawall-server",
        &[
            "seawall-model",
            "seawall-engine",
            "seawall-store",
            "seawall-ingest",
            "seawall-sink",
            "seawall-cluster",
            "seawall-classify",
            "seawall-telemetry",
        ],
    ),
    ("seawall", &["seawall-model", "seawall-server", "seawall-telemetry"]),
    ("seawall-testkit", &["seawall-model"]),
    (
        "seawall-bench",
        &[
            "seawall-model",
            "seawall-engine",
            "seawall-store",
            "seawall-ingest",
            "seawall-telemetry",
            "seawall-testkit",
        ],
    ),
];

#[test]
fn arrows_between_crates_go_one_way() {
    let used = dependencies();
    let known: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(used.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "a crate came or went");
    for (name, allowed) in ALLOWED {
        for dependency in used[name].iter().filter(|dependency| known.contains(dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn the_brain_links_nothing_that_waits() {
    let used = dependencies();
    for name in ["seawall-model", "seawall-engine"] {
        for waiting in ["tokio", "tokio-util", "hyper", "axum", "futures-util", "fjall", "regorus"] {
            assert!(!used[name].contains(waiting), "{name} must not use {waiting}");
        }
    }
}

/// Ordinary dependencies of the crates of this workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path", manifest];
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("run cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("read cargo metadata");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("dependencies");
            let ordinary = all.iter().filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), ordinary.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}
