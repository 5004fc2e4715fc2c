//! What Seawall tells about itself, as Prometheus sees it.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a step that fails here is a test that fails")]

mod monitoring;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use seawall_model::{DecisionKind, Severity, Timestamp};
use seawall_telemetry::{AuthOutcome, DecisionLabel, FAMILIES, FamilyKind, Metrics, StateSnapshot};

fn metrics_that_have_moved() -> Metrics {
    let metrics = Metrics::new();
    let source = metrics.source("alertmanager");
    source.received(Severity::Critical, 3);
    source.decided(DecisionLabel::Decided(DecisionKind::Created), 2);
    source.decided(DecisionLabel::Rejected, 1);
    source.rejected("no_name", 1);
    let storm = metrics.storm("a \"rule\" with \\ signs");
    storm.started.inc();
    storm.members.inc_by(10);
    metrics.store("embedded").decide.observe(0.002);
    metrics.state_error("embedded", "disk");
    metrics.publish_error("store", "disk");
    metrics.route("/webhook/prometheus").observe("POST", 201, 0.001);
    metrics.route("/webhook/prometheus").observe("POST", 201, 0.001);
    metrics.http_in_flight().inc();
    metrics.config_reload(true);
    let auth = metrics.auth("token_review");
    auth.count(AuthOutcome::Denied);
    auth.reviewed(0.002);
    metrics.rate_limited("client");
    metrics.policy_evaluation("priority", "ok");
    metrics.tls_certificate(Timestamp::from_millis(1_795_238_955_999));
    metrics.set_state_source(|| StateSnapshot {
        store: "embedded",
        sink: "store",
        available: true,
        incidents_open: 5,
        requests_open: 4,
        storms_open: vec![("namespace-rate".into(), 1)],
        publish_pending: 2,
        oldest_pending_seconds: 0.5,
        outages: 1,
        outage_seconds: 2.5,
        losses: 1,
        publishes: 7,
        publish_seconds: 0.07,
        published_created: 4,
        published_updated: 3,
        published_deleted: 0,
        requests_avoided: 9,
        events_watched: Some(true),
    });
    metrics
}

#[test]
fn every_family_of_the_contract_is_shown_with_its_name_and_labels() {
    let text = metrics_that_have_moved().render();
    for line in [
        "seawall_build_info{version=\"0.1.0\"} 1",
        "seawall_signals_received_total{source=\"alertmanager\",severity=\"critical\"} 3",
        "seawall_decisions_total{source=\"alertmanager\",decision=\"created\"} 2",
        "seawall_signals_rejected_total{source=\"alertmanager\",reason=\"no_name\"} 1",
        "seawall_storms_started_total{rule=\"a \\\"rule\\\" with \\\\ signs\"} 1",
        "seawall_storm_members_total{rule=\"a \\\"rule\\\" with \\\\ signs\"} 10",
        "seawall_storms_open{rule=\"namespace-rate\"} 1",
        "seawall_requests_published_total{outcome=\"created\"} 4",
        "seawall_requests_open 4",
        "seawall_requests_avoided_total 9",
        "seawall_publish_pending 2",
        "seawall_publish_oldest_pending_seconds 0.5",
        "seawall_publish_duration_seconds_count{sink=\"store\",verb=\"commit\"} 7",
        "seawall_publish_errors_total{sink=\"store\",class=\"disk\"} 1",
        "seawall_state_operation_duration_seconds_count{store=\"embedded\",operation=\"decide\"} 1",
        "seawall_state_errors_total{store=\"embedded\",class=\"disk\"} 1",
        "seawall_state_available{store=\"embedded\"} 1",
        "seawall_state_outages_total{store=\"embedded\"} 1",
        "seawall_state_outage_seconds_total{store=\"embedded\"} 2.5",
        "seawall_state_losses_total{store=\"embedded\"} 1",
        "seawall_incidents_open 5",
        "seawall_http_requests_total{route=\"/webhook/prometheus\",method=\"POST\",status=\"201\"} 2",
        "seawall_http_request_duration_seconds_count{route=\"/webhook/prometheus\"} 2",
        "seawall_http_requests_in_flight 1",
        "seawall_auth_total{method=\"token_review\",outcome=\"denied\"} 1",
        "seawall_auth_duration_seconds_count{method=\"token_review\"} 1",
        "seawall_kube_api_duration_seconds_count{verb=\"create\"} 1",
        "seawall_kubernetes_events_watched 1",
        "seawall_rate_limited_total{scope=\"client\"} 1",
        "seawall_config_reloads_total{outcome=\"success\"} 1",
        "seawall_config_reloads_total{outcome=\"failure\"} 0",
        "seawall_config_last_reload_successful 1",
        "seawall_tls_certificate_not_after_seconds 1795238955",
        "seawall_policy_evaluations_total{policy=\"priority\",outcome=\"ok\"} 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
    }
}

/// The labels of a series and their values.
fn labels_of(series: &str) -> BTreeMap<&str, &str> {
    let inside = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
    let pairs = inside.split("\",").filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once("=\"").unwrap()).map(|(n, v)| (n, v.trim_end_matches('"'))).collect()
}

#[test]
fn what_is_shown_is_what_the_catalogue_describes() {
    let text = metrics_that_have_moved().render();
    let mut shown: Vec<&str> = Vec::new();
    for family in FAMILIES {
        let name = family.to_string();
        let (help, kind) = (format!("# HELP {name} {}.", family.help), family.kind.as_str());
        assert!(text.contains(&help), "{help}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} is no {kind}");
        shown.push(text.lines().find(|line| *line == help).unwrap());
        let sample = if family.kind == FamilyKind::Histogram { name + "_count" } else { name };
        let is_own = |line: &&str| line.split(['{', ' ']).next() == Some(&sample);
        let mut series = text.lines().filter(is_own).peekable();
        assert!(series.peek().is_some(), "{sample} has no series");
        for series in series {
            let labels = labels_of(series.rsplit_once(' ').unwrap().0);
            let mut described: Vec<_> = family.labels.iter().map(|label| label.name).collect();
            described.sort_unstable();
            assert_eq!(labels.keys().copied().collect::<Vec<_>>(), described, "{series}");
            for label in family.labels.iter().filter(|label| !label.values.is_empty()) {
                assert!(label.values.contains(&labels[label.name]), "{series}");
            }
        }
    }
    let families = text.lines().filter(|line| line.starts_with("# HELP ")).count();
    assert_eq!(families, shown.len(), "something is shown that the catalogue does not know");
}

#[test]
fn a_refused_reload_is_shown_until_one_is_taken() {
    let metrics = Metrics::new();
    let shows = |value: u8| {
        let line = format!("seawall_config_last_reload_successful {value}");
        assert!(metrics.render().lines().any(|shown| shown == line), "{line}");
    };
    shows(1);
    metrics.config_reload(false);
    shows(0);
    metrics.config_reload(true);
    shows(1);
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    for metrics in [Metrics::new(), metrics_that_have_moved()] {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool (Debian package `prometheus`) is needed");
        promtool.stdin.take().unwrap().write_all(metrics.render().as_bytes()).unwrap();
        let result = promtool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&result.stdout) + String::from_utf8_lossy(&result.stderr);
        assert!(result.status.success() && said.is_empty(), "{said}\n{}", metrics.render());
    }
}
