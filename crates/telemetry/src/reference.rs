//! The reference of all metrics, for people.

use std::fmt::Write;

use crate::catalogue::{FAMILIES, FamilyDescription, LabelDescription};

const INTRODUCTION: &str = "\
# Metrics

<!-- Generated from the source: UPDATE_GOLDEN=1 cargo test -p seawall-server writes this file. -->

`GET /metrics` shows them in the Prometheus text format, at `server.metricsListen` where that is set. No label ever has a fingerprint,
a resource or an address in it.

With Redis, `seawall_incidents_open`, `seawall_requests_open`, `seawall_storms_open` and `seawall_publish_pending` are about what all
replicas share, so take the largest. Everything else is what this replica did, so add it up. Totals begin at 0 with
every start.

[runbook.md](runbook.md) has the alerts that look at them; the rules and a dashboard are in
[`deploy/monitoring`](../deploy/monitoring).

| metric | type | labels | unit | meaning |
|---|---|---|---|---|
";

const VALUES: &str = "
## Values of labels

Where they are not named here, the configuration (`rule`), the path as in [`openapi.json`](openapi.json) (`route`), or HTTP (`method`,
`status`) names them. `route` is `unmatched` for paths that there are not.

| label | of | values |
|---|---|---|
";

/// The reference as Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let (kind, unit, labels) = (family.kind.as_str(), family.unit(), labels.join(", "));
        let _ = writeln!(text, "| `{family}` | {kind} | {labels} | {unit} | {} |", family.sentence());
    }
    text.push_str(VALUES);
    for (label, families) in labels() {
        let values: Vec<_> = label.values.iter().map(|value| format!("`{value}`")).collect();
        let _ = writeln!(text, "| `{}` | {} | {} |", label.name, families.join(", "), values.join(", "));
    }
    text
}

/// Each label that has a fixed set of values, with the families that have it.
fn labels() -> Vec<(&'static LabelDescription, Vec<String>)> {
    let mut found: Vec<(&LabelDescription, Vec<String>)> = Vec::new();
    let each = FAMILIES.iter().flat_map(|family| family.labels.iter().map(move |label| (family, label)));
    for (family, label) in each.filter(|(_, label)| !label.values.is_empty()) {
        let name = name(family);
        match found.iter_mut().find(|(known, _)| known.name == label.name && known.values == label.values) {
            Some((_, families)) => families.push(name),
            None => found.push((label, vec![name])),
        }
    }
    found
}

fn name(family: &FamilyDescription) -> String {
    format!("`{family}`")
}
