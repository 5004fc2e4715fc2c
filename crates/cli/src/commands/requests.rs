//! Requests: listed, shown, watched, worked on.

use anyhow::Context;
use seawall_model::{Clock, RemediationRequest, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::args::{ClientOptions, Format, RequestFilter, RequestName, RequestsCommand, RequestsOptions};
use crate::client::encode;
use crate::output::{print, print_json};
use crate::sse::Events;
use crate::table::{Table, age, shown};

const PATH: &str = "/api/v1/requests";

/// How long a watch waits before it connects again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub async fn requests(options: RequestsOptions) -> anyhow::Result<()> {
    let RequestsOptions { command, filter, client } = options;
    match command.unwrap_or(RequestsCommand::List { filter, client }) {
        RequestsCommand::List { filter, client } => list(&filter, &client).await,
        RequestsCommand::Get { name, client } => get(&name, &client).await,
        RequestsCommand::Watch { filter, client } => watch(&filter, &client).await,
        RequestsCommand::SetPhase { name, phase, message, client } => {
            set_phase(&name, &phase, message, &client).await
        }
    }
}

async fn list(filter: &RequestFilter, options: &ClientOptions) -> anyhow::Result<()> {
    let list = options.connect()?.list(PATH, &filter.parameters()).await?;
    if options.output == Format::Json {
        return print_json(&list);
    }
    print(&request_table(&items(&list)?, SystemClock.now()))
}

/// The requests of a list.
pub fn items(list: &Value) -> anyhow::Result<Vec<RemediationRequest>> {
    serde_json::from_value(list["items"].clone()).context("what answers does not list requests")
}

/// One line per request.
pub fn request_table(requests: &[RemediationRequest], now: Timestamp) -> String {
    if requests.is_empty() {
        return "No requests.\n".to_owned();
    }
    let mut table = Table::new(&[
        "NAMESPACE",
        "NAME",
        "SIGNAL",
        "SEVERITY",
        "PRIORITY",
        "PHASE",
        "STORM",
        "ALERTS",
        "AGE",
    ]);
    for request in requests {
        table.row(columns(request, now));
    }
    table.render()
}

fn columns(request: &RemediationRequest, now: Timestamp) -> [String; 9] {
    let spec = &request.spec;
    [
        request.metadata.namespace.clone().unwrap_or_default(),
        request.metadata.name.clone().unwrap_or_default(),
        spec.signal_name.clone(),
        spec.severity.as_str().to_owned(),
        spec.priority.as_str().to_owned(),
        phase(request),
        if spec.is_storm { "true".to_owned() } else { String::new() },
        spec.deduplication.occurrence_count.to_string(),
        age(spec.deduplication.first_seen, now),
    ]
}

/// The phase a worker has reported, or what became of the request without one.
fn phase(request: &RemediationRequest) -> String {
    let reported = request.status.as_ref().and_then(|status| status.overall_phase.clone());
    match reported {
        Some(phase) => phase,
        None if request.spec.superseded_by.is_some() => "(superseded)".to_owned(),
        None if request.spec.resolved_at.is_some() => "(resolved)".to_owned(),
        None => String::new(),
    }
}

async fn get(name: &RequestName, options: &ClientOptions) -> anyhow::Result<()> {
    let document: Value = options.connect()?.get(&path(name)?, &Vec::new()).await?;
    match options.output {
        Format::Json => print_json(&document),
        Format::Table => print(&detail(&serde_json::from_value(document)?, SystemClock.now())),
    }
}

fn path(name: &RequestName) -> anyhow::Result<String> {
    let (namespace, name) = name.parts()?;
    Ok(format!("{PATH}/{}/{}", encode(namespace), encode(name)))
}

/// Everything about one request that a person asks for.
fn detail(request: &RemediationRequest, now: Timestamp) -> String {
    let spec = &request.spec;
    let target = &spec.target_resource;
    let mut lines = vec![
        ("Request", full_name(request)),
        ("Signal", format!("{} ({})", spec.signal_name, spec.signal_type)),
        ("About", format!("{} {}", target.kind, resource_name(target.namespace.as_deref(), &target.name))),
        ("Severity", format!("{}, {}, {}", spec.severity.as_str(), spec.environment, spec.priority.as_str())),
        ("Remediation", spec.remediation_path.as_str().to_owned()),
        ("Phase", phase(request)),
        ("Alerts", spec.deduplication.occurrence_count.to_string()),
        ("First seen", seen(spec.deduplication.first_seen, now)),
        ("Last seen", seen(spec.deduplication.last_seen, now)),
        ("Fingerprint", spec.signal_fingerprint.clone()),
    ];
    let optional = |lines: &mut Vec<(&'static str, String)>, label, value: Option<String>| {
        lines.extend(value.map(|value| (label, value)));
    };
    let status = request.status.as_ref();
    optional(&mut lines, "Message", status.and_then(|status| status.message.clone()));
    optional(&mut lines, "Resolved", spec.resolved_at.map(|at| seen(at, now)));
    optional(&mut lines, "Superseded by", spec.superseded_by.clone());
    let related = (!spec.related_requests.is_empty()).then(|| spec.related_requests.join(", "));
    optional(&mut lines, "Related", related);
    if let Some(storm) = &spec.storm_aggregation {
        lines.push(("Storm", format!("{} (rule {})", storm.pattern, storm.rule)));
        lines.push(("Problems", storm.alert_count.to_string()));
        optional(&mut lines, "Ended", storm.ended_at.map(|at| seen(at, now)));
        optional(&mut lines, "Continued by", storm.successor_ref.clone());
    }
    let width = lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut text: String =
        lines.iter().map(|(label, value)| format!("{label:width$}  {}\n", shown(value))).collect();
    if let Some(storm) = &spec.storm_aggregation {
        let mut table = Table::new(&["KIND", "NAMESPACE", "NAME", "ALERTS", "LAST SEEN"]);
        for resource in &storm.affected_resources {
            table.row([
                resource.kind.clone(),
                resource.namespace.clone().unwrap_or_default(),
                resource.name.clone(),
                resource.count.to_string(),
                age(resource.last_seen, now),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render());
        if storm.truncated {
            text.push_str("The list is a sample; the numbers above are exact.\n");
        }
    }
    text
}

fn seen(at: Timestamp, now: Timestamp) -> String {
    format!("{at} ({} ago)", age(at, now))
}

pub fn resource_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) if !namespace.is_empty() => format!("{namespace}/{name}"),
        _ => name.to_owned(),
    }
}

pub fn full_name(request: &RemediationRequest) -> String {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    resource_name(request.metadata.namespace.as_deref(), name)
}

async fn set_phase(
    name: &RequestName,
    phase: &str,
    message: Option<String>,
    options: &ClientOptions,
) -> anyhow::Result<()> {
    let mut status = json!({ "overallPhase": phase });
    if let Some(message) = message {
        status["message"] = message.into();
    }
    let path = format!("{}/status", path(name)?);
    let patched: Value = options.connect()?.patch(&path, &json!({ "status": status })).await?;
    match options.output {
        Format::Json => print_json(&patched),
        Format::Table => {
            let request: RemediationRequest = serde_json::from_value(patched)?;
            print(&format!("{} is {}\n", shown(&full_name(&request)), shown(&self::phase(&request))))
        }
    }
}

async fn watch(filter: &RequestFilter, options: &ClientOptions) -> anyhow::Result<()> {
    let client = options.connect()?;
    let mut parameters = filter.parameters();
    parameters.push(("watch", "true".to_owned()));
    let mut last: Option<String> = None;
    // A server that cannot be reached at first is a mistake; one that goes away later comes back.
    let mut stream = client.stream(PATH, &parameters, None).await?;
    loop {
        let mut events = Events::new(stream);
        while let Some(event) = events.next().await {
            print_event(&event.kind, &event.data, options.output)?;
            last = event.id.or(last);
        }
        eprintln!("seawall: the stream of {} ended; connecting again", options.server);
        stream = loop {
            sleep(AGAIN_AFTER).await;
            if let Ok(stream) = client.stream(PATH, &parameters, last.as_deref()).await {
                break stream;
            }
        };
    }
}

fn print_event(kind: &str, data: &str, format: Format) -> anyhow::Result<()> {
    let object: Value = serde_json::from_str(data).context("an event is not JSON")?;
    if format == Format::Json {
        return print(&format!("{}\n", json!({ "type": kind, "object": object })));
    }
    let request: RemediationRequest = serde_json::from_value(object)?;
    print(&event_line(kind, &request))
}

/// One line per event; a table whose rows are not known yet.
fn event_line(kind: &str, request: &RemediationRequest) -> String {
    let storm = if request.spec.is_storm { " storm" } else { "" };
    let alerts = request.spec.deduplication.occurrence_count;
    let phase = phase(request);
    let phase = if phase.is_empty() { String::new() } else { format!(" {}", shown(&phase)) };
    format!(
        "{kind:<8}  {}  {}  {alerts} alert{}{storm}{phase}\n",
        shown(&full_name(request)),
        shown(&request.spec.signal_name),
        if alerts == 1 { "" } else { "s" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:05:00Z";

    fn request(spec: Value, status: Value) -> RemediationRequest {
        let mut document = json!({
            "apiVersion": "remediation.kubernaut.io/v1alpha1", "kind": "RemediationRequest",
            "metadata": {"namespace": "prod", "name": "rr-00aa-1"},
            "spec": {
                "signalFingerprint": "00aa", "signalName": "PodCrashLooping", "severity": "critical",
                "environment": "production", "priority": "P0", "remediationPath": "aggressive",
                "signalType": "prometheus-alert", "signalSource": "alertmanager", "targetType": "kubernetes",
                "targetResource": {"kind": "Pod", "name": "web-1", "namespace": "prod"},
                "firingTime": "2026-01-01T00:00:00Z", "receivedTime": "2026-01-01T00:00:00Z",
                "deduplication": {"isDuplicate": true, "firstSeen": "2026-01-01T00:00:00Z",
                    "lastSeen": "2026-01-01T00:04:00Z", "occurrenceCount": 20},
                "isStorm": false,
            },
            "status": status,
        });
        document["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(document).unwrap()
    }

    fn storm() -> RemediationRequest {
        let aggregation = json!({
            "rule": "namespace-rate", "pattern": "PodCrashLooping in prod", "groupBy": {"namespace": "prod"},
            "alertCount": 15, "occurrenceCount": 20, "truncated": true, "aggregationWindow": "1m",
            "firstSeen": "2026-01-01T00:00:00Z", "lastSeen": "2026-01-01T00:04:00Z",
            "affectedResources": [{"kind": "Pod", "name": "web-1", "namespace": "prod",
                "firstSeen": "2026-01-01T00:00:00Z", "lastSeen": "2026-01-01T00:04:00Z", "count": 3}],
        });
        request(
            json!({"isStorm": true, "stormAggregation": aggregation}),
            json!({"overallPhase": "Executing"}),
        )
    }

    #[test]
    fn requests_are_shown_one_per_line() {
        let now = Timestamp::parse(NOW).unwrap();
        let superseded = request(json!({"supersededBy": "rr-00aa-1"}), Value::Null);
        let resolved = request(json!({"resolvedAt": NOW}), Value::Null);
        assert_eq!(
            request_table(&[storm(), superseded, resolved], now),
            "\
NAMESPACE  NAME       SIGNAL           SEVERITY  PRIORITY  PHASE         STORM  ALERTS  AGE
prod       rr-00aa-1  PodCrashLooping  critical  P0        Executing     true   20      5m
prod       rr-00aa-1  PodCrashLooping  critical  P0        (superseded)  -      20      5m
prod       rr-00aa-1  PodCrashLooping  critical  P0        (resolved)    -      20      5m
"
        );
        assert_eq!(request_table(&[], now), "No requests.\n");
    }

    #[test]
    fn one_request_is_shown_with_its_storm() {
        assert_eq!(
            detail(&storm(), Timestamp::parse(NOW).unwrap()),
            "\
Request      prod/rr-00aa-1
Signal       PodCrashLooping (prometheus-alert)
About        Pod prod/web-1
Severity     critical, production, P0
Remediation  aggressive
Phase        Executing
Alerts       20
First seen   2026-01-01T00:00:00.000Z (5m ago)
Last seen    2026-01-01T00:04:00.000Z (60s ago)
Fingerprint  00aa
Storm        PodCrashLooping in prod (rule namespace-rate)
Problems     15

KIND  NAMESPACE  NAME   ALERTS  LAST SEEN
Pod   prod       web-1  3       60s
The list is a sample; the numbers above are exact.
"
        );
    }

    #[test]
    fn events_of_a_watch_are_shown_one_per_line() {
        assert_eq!(
            event_line("MODIFIED", &storm()),
            "MODIFIED  prod/rr-00aa-1  PodCrashLooping  20 alerts storm Executing\n"
        );
    }
}
