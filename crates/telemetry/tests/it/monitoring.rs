//! The alert rules, the dashboard and the runbook, held against each other, against the catalogue and against `promtool`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use seawall_telemetry::monitoring::{RUNBOOK, Severity, dashboard, rules, rules_file};
use seawall_telemetry::{FAMILIES, FamilyDescription, FamilyKind};
use serde_json::Value;

/// Labels that Prometheus gives to what it scrapes.
const OF_TARGETS: [&str; 3] = ["instance", "job", "namespace"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs `promtool` and returns what it says; fails when it is not content.
fn promtool(args: &[&str], file: &Path) -> String {
    let run = Command::new("promtool").args(args).arg(file).output();
    let output = run.expect("promtool (Debian package `prometheus`) is needed");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {args:?}: {said}");
    said
}

#[test]
fn promtool_takes_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    std::fs::write(&file, rules_file()).unwrap();
    let said = promtool(&["check", "rules", "--lint-fatal"], &file);
    assert!(said.contains(&format!("{} rules found", rules().len())), "{said}");
}

#[test]
fn each_rule_fires_when_it_should_and_is_silent_otherwise() {
    // Every situation in this file names all alerts that fire in it, so each is also a test of the silence of the others.
    let situations = root().join("deploy/monitoring/rules.test.yaml");
    promtool(&["test", "rules"], &situations);
    let text = std::fs::read_to_string(&situations).unwrap();
    for rule in rules() {
        assert!(text.contains(&format!("{{alertname=\"{}\"}}", rule.alert)), "{} never fires", rule.alert);
    }
}

/// What a query asks for: names with the labels it picks by, and labels it groups by.
#[derive(Debug, Default)]
struct Asked {
    series: Vec<(String, Vec<(String, String)>)>,
    grouped: BTreeSet<String>,
}

/// Takes a query of ours apart. Not all of PromQL: matchers have no braces in them.
fn asked(query: &str) -> Asked {
    let mut asked = Asked::default();
    for (at, _) in query.match_indices("seawall_") {
        let rest = &query[at..];
        let end =
            rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        let matchers =
            rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |found| found.0);
        let picks = matchers.split("\",").filter(|matcher| !matcher.is_empty()).map(|matcher| {
            let at = matcher.find(['=', '!']).unwrap();
            let value = matcher[at..].trim_start_matches(['=', '!', '~', '"']).trim_end_matches('"');
            (matcher[..at].to_owned(), value.to_owned())
        });
        asked.series.push((rest[..end].to_owned(), picks.collect()));
    }
    for (at, by) in query.match_indices("by (") {
        let inside = query[at + by.len()..].split(')').next().unwrap();
        asked.grouped.extend(inside.split(", ").map(str::to_owned));
    }
    asked
}

fn described(name: &str) -> &'static FamilyDescription {
    let is_it = |family: &&FamilyDescription| {
        let own = family.to_string();
        name == own || family.kind == FamilyKind::Histogram && name.strip_prefix(&own) == Some("_bucket")
    };
    FAMILIES.iter().find(is_it).unwrap_or_else(|| panic!("there is no metric {name}"))
}

/// Fails when a query speaks of something that is never shown.
fn speaks_of_what_there_is(query: &str) {
    let Asked { series, grouped } = asked(query);
    assert!(!series.is_empty(), "{query}");
    let mut known: BTreeSet<&str> = OF_TARGETS.into();
    for (name, picks) in &series {
        let family = described(name);
        known.extend(family.labels.iter().map(|label| label.name));
        if family.kind == FamilyKind::Histogram {
            known.insert("le");
        }
        for (label, values) in picks.iter().filter(|(label, _)| !OF_TARGETS.contains(&label.as_str())) {
            let found = family.labels.iter().find(|described| described.name == label);
            let found = found.unwrap_or_else(|| panic!("{name} has no label {label}"));
            for value in values.split('|').filter(|_| !found.values.is_empty()) {
                assert!(found.values.contains(&value), "{label} of {name} is never {value}");
            }
        }
    }
    for label in &grouped {
        assert!(known.contains(label.as_str()), "nothing in {query} has a label {label}");
    }
}

#[test]
fn rules_speak_of_metrics_labels_and_values_that_there_are() {
    for rule in rules() {
        speaks_of_what_there_is(&rule.expr);
        let Asked { grouped, .. } = asked(&rule.expr);
        for text in [rule.summary, rule.description] {
            for (_, rest) in text.match_indices("$labels.").map(|(at, found)| text.split_at(at + found.len()))
            {
                let label = rest.split([' ', '}']).next().unwrap();
                assert!(grouped.contains(label), "{}: an alert has no label {label}", rule.alert);
            }
        }
    }
}

#[test]
fn a_rule_about_something_that_is_not_there_would_be_found() {
    for wrong in [
        "seawall_state_availible == 0",
        "rate(seawall_auth_total{outcome=\"gone\"}[5m])",
        "rate(seawall_auth_total{result=\"denied\"}[5m])",
        "sum by (rule) (seawall_state_available)",
    ] {
        assert!(std::panic::catch_unwind(|| speaks_of_what_there_is(wrong)).is_err(), "{wrong}");
    }
}

fn queries(dashboard: &Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_nothing_that_there_is_not() {
    let dashboard = dashboard();
    let queries = queries(&dashboard);
    queries.iter().for_each(|query| speaks_of_what_there_is(query));
    let shown: BTreeSet<String> =
        queries.iter().flat_map(|query| asked(query).series).map(|(name, _)| name).collect();
    for family in FAMILIES {
        let name = family.to_string();
        assert!(shown.contains(&name) || shown.contains(&format!("{name}_bucket")), "{name} is not shown");
    }
}

#[test]
fn promtool_understands_every_query_of_the_dashboard() {
    let mut file = String::from("groups:\n- name: dashboard\n  rules:\n");
    for (number, query) in queries(&dashboard()).into_iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace("$__range", "1h").replace("$job", ".+");
        writeln!(file, "  - record: panel:{number}\n    expr: '{query}'").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queries.yaml");
    std::fs::write(&path, file).unwrap();
    promtool(&["check", "rules"], &path);
}

#[test]
fn panels_lie_side_by_side_and_have_ids_of_their_own() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        for cell in (y..y + h).flat_map(|row| (x..x + w).map(move |column| (row, column))) {
            assert!(taken.insert(cell), "{panel} lies on another one");
        }
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
    }
}

#[test]
fn every_rule_has_its_section_in_the_runbook_and_every_section_its_rule() {
    let runbook = read(RUNBOOK);
    let sections: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## Seawall")).collect();
    let alerts: Vec<String> = rules().iter().map(|rule| rule.alert.replacen("Seawall", "", 1)).collect();
    assert_eq!(sections, alerts, "in the same order, too");
    for rule in rules() {
        let heading = format!("## {}\n", rule.alert);
        let section = runbook.split_once(&heading).unwrap().1.split("\n## ").next().unwrap();
        for part in ["**Means:**", "**Meanwhile:**", "**See more:**", "**Do:**"] {
            assert!(section.contains(part), "{} does not say {part}", rule.alert);
        }
        assert!(section.contains(rule.severity.as_str()), "{} is {}", rule.alert, rule.severity.as_str());
    }
}

#[test]
fn alerts_that_wake_somebody_are_about_alerts_or_requests_that_do_not_come() {
    let critical: Vec<_> = rules().into_iter().filter(|rule| rule.severity == Severity::Critical).collect();
    assert!(critical.len() * 2 <= rules().len(), "most alerts must not wake anybody");
    for rule in rules() {
        assert!(rule.alert.starts_with("Seawall") && rule.description.ends_with('.'), "{}", rule.alert);
    }
}
