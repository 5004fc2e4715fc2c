//! Why something was decided as it was.

use anyhow::Context;
use seawall_model::{RemediationRequest, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::requests::resource_name;
use super::storms::{Reference, Storm};
use crate::args::{ExplainOptions, Format};
use crate::client::{Client, encode};
use crate::output::{print, print_json};
use crate::table::{Table, shown};

/// What of an explanation is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    fingerprint: String,
    identity: Identity,
    open: bool,
    request_ref: Option<Reference>,
    storm: Option<Storm>,
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Deserialize)]
struct Identity {
    #[serde(default)]
    cluster: String,
    alertname: String,
    namespace: String,
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
pub struct Decision {
    at: Timestamp,
    pub decision: String,
    #[serde(default)]
    rule: String,
    pub reason: String,
}

pub async fn explain(options: ExplainOptions) -> anyhow::Result<()> {
    let client = options.client.connect()?;
    let fingerprint = match options.subject.split_once('/') {
        None => options.subject.clone(),
        Some((namespace, name)) => {
            let path = format!("/api/v1/requests/{}/{}", encode(namespace), encode(name));
            client.get::<RemediationRequest>(&path, &Vec::new()).await?.spec.signal_fingerprint
        }
    };
    let document = explanation(&client, &fingerprint).await?;
    match options.client.output {
        Format::Json => print_json(&document),
        Format::Table => {
            let explanation = serde_json::from_value(document).context("what answers does not explain")?;
            print(&text(&explanation))
        }
    }
}

/// The explanation as the server gives it.
pub async fn explanation(client: &Client, fingerprint: &str) -> anyhow::Result<Value> {
    client.get(&format!("/api/v1/explain/{}", encode(fingerprint)), &Vec::new()).await
}

fn text(explanation: &Explanation) -> String {
    let Identity { cluster, alertname, namespace, kind, name } = &explanation.identity;
    let about = resource_name(Some(namespace), name);
    let mut lines = vec![
        ("Problem", format!("{alertname} of {kind} {about}")),
        ("Fingerprint", explanation.fingerprint.clone()),
    ];
    if !cluster.is_empty() {
        lines.push(("Cluster", cluster.clone()));
    }
    let state = if explanation.open {
        "open: a further alert is a duplicate"
    } else {
        "closed: a further alert is new"
    };
    lines.push(("State", state.to_owned()));
    if let Some(request) = &explanation.request_ref {
        lines.push(("Request", format!("{}/{}", request.namespace, request.name)));
    }
    if let Some(storm) = &explanation.storm {
        lines.push(("Storm", format!("{} (rule {})", storm.pattern, storm.rule)));
    }
    let mut text: String =
        lines.iter().map(|(label, value)| format!("{label:11}  {}\n", shown(value))).collect();
    let mut table = Table::new(&["WHEN", "DECISION", "RULE", "WHY"]);
    for decision in &explanation.decisions {
        table.row([
            decision.at.to_string(),
            decision.decision.clone(),
            decision.rule.clone(),
            decision.reason.clone(),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_names_the_problem_the_rule_and_the_reason() {
        let explanation: Explanation = serde_json::from_value(serde_json::json!({
            "kind": "Explanation", "fingerprint": "ab", "open": true,
            "identity": {"alertname": "NodeDown", "namespace": "", "kind": "Node", "name": "n1"},
            "requestRef": {"namespace": "default", "name": "rr-1"},
            "decisions": [{"at": "2026-01-01T00:00:00Z", "decision": "created", "reason": "the first of its group"}]
        }))
        .unwrap();
        assert_eq!(
            text(&explanation),
            "Problem      NodeDown of Node n1\n\
             Fingerprint  ab\n\
             State        open: a further alert is a duplicate\n\
             Request      default/rr-1\n\n\
             WHEN                      DECISION  RULE  WHY\n\
             2026-01-01T00:00:00.000Z  created   -     the first of its group\n"
        );
    }
}
