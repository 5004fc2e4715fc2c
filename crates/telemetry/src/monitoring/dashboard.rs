//! The Grafana dashboard.

use serde_json::{Value, json};

use crate::catalogue::{
    AUTH, AUTH_DURATION, BUILD, CONFIG_LAST_RELOAD_SUCCESSFUL, CONFIG_RELOADS, DECISIONS, FamilyDescription,
    HTTP_IN_FLIGHT, HTTP_REQUEST_DURATION, HTTP_REQUESTS, INCIDENTS_OPEN, KUBE_API_DURATION,
    KUBERNETES_EVENTS_WATCHED, POLICY_EVALUATIONS, PUBLISH_DURATION, PUBLISH_ERRORS, PUBLISH_OLDEST_PENDING,
    PUBLISH_PENDING, RATE_LIMITED, REQUESTS_AVOIDED, REQUESTS_OPEN, REQUESTS_PUBLISHED, SIGNALS_RECEIVED,
    SIGNALS_REJECTED, STATE_AVAILABLE, STATE_ERRORS, STATE_LOSSES, STATE_OPERATION_DURATION,
    STATE_OUTAGE_SECONDS, STATE_OUTAGES, STORM_MEMBERS, STORMS_OPEN, STORMS_STARTED,
    TLS_CERTIFICATE_NOT_AFTER,
};

/// Columns of a dashboard, by Grafana's own measure.
const COLUMNS: usize = 24;
const STAT: (usize, usize) = (4, 4);
const GRAPH: (usize, usize) = (8, 8);

struct Panel {
    title: &'static str,
    unit: &'static str,
    /// What each line is called, and its query.
    lines: Vec<(&'static str, String)>,
}

fn panel<const N: usize>(
    title: &'static str,
    unit: &'static str,
    lines: [(&'static str, String); N],
) -> Panel {
    Panel { title, unit, lines: lines.into() }
}

/// What all replicas share: each shows the same.
fn shared(family: FamilyDescription, by: &str) -> String {
    format!("max by ({by}) ({family}{{job=~\"$job\"}})")
}

/// What each replica does.
fn rate(family: FamilyDescription, by: &str) -> String {
    format!("sum by ({by}) (rate({family}{{job=~\"$job\"}}[$__rate_interval]))")
}

fn over_range(family: FamilyDescription, by: &str) -> String {
    format!("sum by ({by}) (increase({family}{{job=~\"$job\"}}[$__range]))")
}

fn p99(family: FamilyDescription, by: &str) -> String {
    format!(
        "histogram_quantile(0.99, sum by (le, {by}) (rate({family}_bucket{{job=~\"$job\"}}[$__rate_interval])))"
    )
}

fn stats() -> Vec<Panel> {
    vec![
        panel("Open incidents", "short", [("", shared(INCIDENTS_OPEN, "job"))]),
        panel("Open requests", "short", [("", shared(REQUESTS_OPEN, "job"))]),
        panel("Open storms", "short", [("", format!("sum({}) or vector(0)", shared(STORMS_OPEN, "rule")))]),
        panel("Requests saved", "short", [("", over_range(REQUESTS_AVOIDED, "job"))]),
        panel(
            "State store available",
            "bool_yes_no",
            [("{{store}}", format!("min by (store) ({STATE_AVAILABLE}{{job=~\"$job\"}})"))],
        ),
        panel("Oldest unpublished request", "s", [("", shared(PUBLISH_OLDEST_PENDING, "job"))]),
    ]
}

fn rows() -> [(&'static str, Vec<Panel>); 6] {
    [
        (
            "Signals",
            vec![
                panel(
                    "Received",
                    "ops",
                    [("{{source}} {{severity}}", rate(SIGNALS_RECEIVED, "source, severity"))],
                ),
                panel("What became of them", "ops", [("{{decision}}", rate(DECISIONS, "decision"))]),
                panel(
                    "Not taken",
                    "ops",
                    [
                        ("{{source}} {{reason}}", rate(SIGNALS_REJECTED, "source, reason")),
                        ("limited by {{scope}}", rate(RATE_LIMITED, "scope")),
                    ],
                ),
            ],
        ),
        (
            "Storms",
            vec![
                panel("Open", "short", [("{{rule}}", shared(STORMS_OPEN, "rule"))]),
                panel("Started", "short", [("{{rule}}", over_range(STORMS_STARTED, "rule"))]),
                panel("Members that joined", "ops", [("{{rule}}", rate(STORM_MEMBERS, "rule"))]),
            ],
        ),
        (
            "Requests",
            vec![
                panel("Published", "ops", [("{{outcome}}", rate(REQUESTS_PUBLISHED, "outcome"))]),
                panel("Not published yet", "short", [("requests", shared(PUBLISH_PENDING, "job"))]),
                panel("Failed writes", "ops", [("{{sink}} {{class}}", rate(PUBLISH_ERRORS, "sink, class"))]),
                panel("Writes, p99", "s", [("{{sink}} {{verb}}", p99(PUBLISH_DURATION, "sink, verb"))]),
                panel("Kubernetes API, p99", "s", [("{{verb}}", p99(KUBE_API_DURATION, "verb"))]),
            ],
        ),
        (
            "State store",
            vec![
                panel(
                    "Calls, p99",
                    "s",
                    [("{{store}} {{operation}}", p99(STATE_OPERATION_DURATION, "store, operation"))],
                ),
                panel("Failed calls", "ops", [("{{store}} {{class}}", rate(STATE_ERRORS, "store, class"))]),
                panel(
                    "Outages",
                    "short",
                    [
                        ("{{store}} outages", over_range(STATE_OUTAGES, "store")),
                        ("{{store}} seconds", over_range(STATE_OUTAGE_SECONDS, "store")),
                        ("{{store}} losses", over_range(STATE_LOSSES, "store")),
                    ],
                ),
            ],
        ),
        (
            "Senders and readers",
            vec![
                panel("Answers", "reqps", [("{{route}} {{status}}", rate(HTTP_REQUESTS, "route, status"))]),
                panel("Answers, p99", "s", [("{{route}}", p99(HTTP_REQUEST_DURATION, "route"))]),
                panel(
                    "Being answered",
                    "short",
                    [("{{instance}}", format!("sum by (instance) ({HTTP_IN_FLIGHT}{{job=~\"$job\"}})"))],
                ),
                panel("Who is asking", "ops", [("{{method}} {{outcome}}", rate(AUTH, "method, outcome"))]),
                panel("Reviews, p99", "s", [("{{method}}", p99(AUTH_DURATION, "method"))]),
            ],
        ),
        (
            "Operation",
            vec![
                panel(
                    "Policies",
                    "ops",
                    [("{{policy}} {{outcome}}", rate(POLICY_EVALUATIONS, "policy, outcome"))],
                ),
                panel(
                    "Configuration",
                    "short",
                    [
                        ("reloads: {{outcome}}", over_range(CONFIG_RELOADS, "outcome")),
                        ("last one taken", format!("min({CONFIG_LAST_RELOAD_SUCCESSFUL}{{job=~\"$job\"}})")),
                        ("events watched", format!("max({KUBERNETES_EVENTS_WATCHED}{{job=~\"$job\"}})")),
                    ],
                ),
                panel(
                    "The certificate is valid for",
                    "s",
                    [("{{instance}}", format!("{TLS_CERTIFICATE_NOT_AFTER}{{job=~\"$job\"}} - time()"))],
                ),
                panel(
                    "Versions",
                    "short",
                    [("{{version}}", format!("count by (version) ({BUILD}{{job=~\"$job\"}})"))],
                ),
            ],
        ),
    ]
}

/// The dashboard as Grafana imports it, for any Prometheus data source.
pub fn dashboard() -> Value {
    let mut layout = Layout::default();
    for panel in stats() {
        layout.place("stat", STAT, &panel);
    }
    for (title, panels) in rows() {
        layout.row(title);
        for panel in panels {
            layout.place("timeseries", GRAPH, &panel);
        }
    }
    json!({
        "uid": "seawall",
        "title": "Seawall",
        "tags": ["seawall"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-6h", "to": "now" },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source" },
            {
                "name": "job", "type": "query", "label": "Job", "datasource": datasource(),
                "query": format!("label_values({BUILD}, job)"), "refresh": 2, "includeAll": true, "multi": true,
                "allValue": ".+", "current": { "text": "All", "value": "$__all" },
            },
        ] },
        "panels": layout.panels,
    })
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// Puts panels side by side, and below when there is no room.
#[derive(Default)]
struct Layout {
    panels: Vec<Value>,
    x: usize,
    y: usize,
    /// Of the panels that stand side by side.
    height: usize,
}

impl Layout {
    fn row(&mut self, title: &str) {
        self.next_line();
        let place = json!({ "x": 0, "y": self.y, "w": COLUMNS, "h": 1 });
        let id = self.panels.len() + 1;
        self.panels
            .push(json!({ "id": id, "type": "row", "title": title, "collapsed": false, "gridPos": place }));
        self.y += 1;
    }

    fn next_line(&mut self) {
        self.y += std::mem::take(&mut self.height);
        self.x = 0;
    }

    fn place(&mut self, kind: &str, (width, height): (usize, usize), panel: &Panel) {
        if self.x + width > COLUMNS {
            self.next_line();
        }
        let lines = panel.lines.iter().zip('A'..);
        let targets: Vec<_> = lines.map(|((legend, expr), letter)| {
            json!({ "refId": letter, "expr": expr, "legendFormat": legend, "datasource": datasource() })
        }).collect();
        self.panels.push(json!({
            "id": self.panels.len() + 1,
            "type": kind,
            "title": panel.title,
            "datasource": datasource(),
            "gridPos": { "x": self.x, "y": self.y, "w": width, "h": height },
            "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0 }, "overrides": [] },
            "targets": targets,
        }));
        self.x += width;
        self.height = height;
    }
}
