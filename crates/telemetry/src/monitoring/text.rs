//! The rules as files.

use std::fmt::Write;

use super::{RUNBOOK, Rule, rules};

const HEAD: &str = "\
# Alerts about Seawall. Generated from the source: UPDATE_GOLDEN=1 cargo test -p seawall-server writes this file.
#
# Route them past Seawall: what tells that it is away must not need it. `docs/runbook.md` is where the links point; say where
# you serve it.
";

/// A rule file of Prometheus.
pub fn rules_file() -> String {
    let mut text = HEAD.to_owned();
    groups(&mut text, "");
    text
}

/// The same for the Prometheus Operator.
pub fn prometheus_rule() -> String {
    let mut text = HEAD.to_owned();
    text.push_str(
        "apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: seawall\n  labels:\n    app.kubernetes.io/name: seawall\n\
         spec:\n",
    );
    groups(&mut text, "  ");
    text
}

fn groups(text: &mut String, indent: &str) {
    let mut body = String::from("groups:\n  - name: seawall\n    rules:\n");
    rules().iter().for_each(|rule| write_rule(&mut body, rule));
    for line in body.lines() {
        let _ = writeln!(text, "{indent}{line}");
    }
}

fn write_rule(text: &mut String, rule: &Rule) {
    let _ = writeln!(text, "      - alert: {}", rule.alert);
    text.push_str("        expr: |-\n");
    for line in rule.expr.lines() {
        let _ = writeln!(text, "          {line}");
    }
    let _ = writeln!(text, "        for: {}", rule.lasting);
    let _ = writeln!(text, "        labels:\n          severity: {}", rule.severity.as_str());
    text.push_str("        annotations:\n");
    let link = format!("{RUNBOOK}#{}", rule.anchor());
    let annotations = [("summary", rule.summary), ("description", rule.description), ("runbook_url", &link)];
    for (name, value) in annotations {
        let _ = writeln!(text, "          {name}: {}", quoted(value));
    }
}

/// A text of one line as YAML takes it, whatever is in it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
