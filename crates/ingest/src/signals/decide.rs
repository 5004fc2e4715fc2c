//! From parsed alerts to durable decisions and their answer.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use seawall_model::{Decision, DecisionKind, Severity, Signal};
use seawall_store::{Sink, StoreError};
use seawall_telemetry::DecisionLabel;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::answer::{AnswerWriter, Echo, Outcome, Summary};
use super::{Arrival, Source};
use crate::adapters::{Item, ParsedBody};
use crate::audit::{self, Context, Subject, decided, refused};
use crate::auth::Forbidden;
use crate::edge::{Edge, Held};
use crate::problem::Problem;
use crate::rate::Sender;

/// Bodies of more alerts than this are answered without a result for each.
const MAX_RESULTS: usize = 1000;
/// Rejected alerts that are named however large the body is.
const MAX_REJECTED: usize = 100;

/// What is answered about an alert, beside what is decided about it.
enum Entry {
    Decided(Echo),
    Suppressed(String),
    Rejected(String),
}

/// The alerts of a body, split into what is to be decided and what is to be answered.
struct Batch {
    signals: Vec<Signal>,
    /// With the position in the body; in order.
    entries: Vec<(usize, Entry)>,
    summary: Summary,
    /// Why how many alerts were rejected.
    reasons: Vec<(&'static str, u64)>,
    /// The first of the sentences about alerts that the sender may not send.
    forbidden: Option<String>,
    truncated: bool,
}

impl Batch {
    fn new(parsed: ParsedBody, forbidden: &Forbidden) -> Self {
        let total = parsed.items.len();
        let listed = total <= MAX_RESULTS;
        let mut summary = Summary { total: total as u64, ..Summary::default() };
        let mut entries = Vec::with_capacity(if listed { total } else { 0 });
        let mut reasons = Vec::new();
        let mut first_forbidden = None;
        let mut index = 0;
        // Collected in place: a large body's signals are never there twice.
        let signals = parsed.items.into_iter().filter_map(|item| {
            let at = index;
            index += 1;
            let (code, reason) = match item {
                Item::Signal(signal) => match forbidden.reason(&signal.identity.namespace) {
                    None => {
                        if listed {
                            entries.push((at, Entry::Decided(Echo::of(&signal))));
                        }
                        return Some(signal);
                    }
                    Some(reason) => {
                        first_forbidden.get_or_insert_with(|| reason.clone());
                        ("forbidden", reason)
                    }
                },
                Item::Suppressed(reason) => {
                    summary.suppressed += 1;
                    entries.extend(listed.then(|| (at, Entry::Suppressed(reason.to_string()))));
                    return None;
                }
                Item::Rejected(reason) => (reason.code(), reason.to_string()),
            };
            summary.rejected += 1;
            add_one(&mut reasons, code);
            let named = listed || summary.rejected <= MAX_REJECTED as u64;
            entries.extend(named.then_some((at, Entry::Rejected(reason))));
            None
        });
        let signals = signals.collect();
        Self { signals, entries, summary, reasons, forbidden: first_forbidden, truncated: !listed }
    }
}

impl Batch {
    /// What the audit log says of alerts that are not decided.
    fn refused<'a>(&'a self, context: Context<'a>) -> impl Iterator<Item = audit::Entry<'a>> {
        let suppressed = self.entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Suppressed(reason) => Some(reason.as_str()),
            Entry::Decided(_) | Entry::Rejected(_) => None,
        });
        let rejected = self.entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Rejected(reason) => Some(reason.as_str()),
            Entry::Decided(_) | Entry::Suppressed(_) => None,
        });
        let suppressed = refused(context, "suppressed", suppressed, self.summary.suppressed);
        suppressed.into_iter().chain(refused(context, "rejected", rejected, self.summary.rejected))
    }
}

fn add_one(counts: &mut Vec<(&'static str, u64)>, reason: &'static str) {
    match counts.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, count)) => *count += 1,
        None => counts.push((reason, 1)),
    }
}

/// Decides a body and says what became of it. Runs to its end whether or not the sender still listens.
pub(super) async fn decide(
    edge: Arc<Edge>,
    source: Source,
    parsed: ParsedBody,
    arrival: Arrival,
    held: Held,
) -> Result<Response, Problem> {
    let left_out = parsed.truncated_alerts;
    let counts = edge.source(source);
    let forbidden = arrival.caller.forbidden(&edge, namespaces(&parsed)).await;
    let forbidden =
        forbidden.inspect_err(|_| counts.rejected("not_reviewed", namespaces(&parsed).count() as u64))?;
    let mut batch = Batch::new(parsed, &forbidden);
    // Only the operator of the sender can do something about those.
    counts.rejected("left_out_by_sender", left_out);
    counts.decided(DecisionLabel::Rejected, batch.summary.rejected);
    counts.decided(DecisionLabel::Suppressed, batch.summary.suppressed);
    for (reason, count) in &batch.reasons {
        counts.rejected(reason, *count);
    }
    let context = Context {
        time: arrival.received,
        source,
        request_id: Some(&arrival.id),
        sender: arrival.sender.as_ref(),
    };
    if let Some(audit) = edge.audit() {
        audit.write(batch.refused(context)).await;
    }
    if let Some(reason) = batch.forbidden.take_if(|_| batch.signals.is_empty()) {
        return Err(all_forbidden(reason, batch.summary.total));
    }
    if batch.summary.rejected > 0 && batch.summary.rejected == batch.summary.total {
        return Err(all_rejected(&batch));
    }
    count_received(&edge, source, &batch.signals);
    let signals = std::mem::take(&mut batch.signals);
    let subjects: Option<Vec<_>> = edge.audit().map(|_| signals.iter().map(Subject::of).collect());
    let mut decisions = made_durable(&edge, source, arrival.sender.clone(), signals).await?;
    drop(held);
    if let Some(sink) = edge.sink() {
        wait_for_sink(sink.as_ref(), &mut decisions).await;
    }
    if let Some((audit, subjects)) = edge.audit().zip(subjects) {
        audit.write(decided(context, &subjects, &decisions)).await;
    }
    for decision in &decisions {
        batch.summary.count(decision.kind);
    }
    count_decided(&edge, source, &batch.summary, &decisions);
    let writer = AnswerWriter::new(&arrival.id, arrival.received, batch.entries.len());
    let mut outcomes = outcomes(&batch.entries, &decisions);
    let body = match outcomes.next() {
        Some((_, only)) if batch.summary.total == 1 => writer.single(&only),
        first => writer.several(first.into_iter().chain(outcomes), batch.truncated, &batch.summary),
    };
    Ok(json_bytes(status_of(source, &batch.summary), body))
}

/// Those that the alerts of a body are about, each as often as there are alerts.
fn namespaces(parsed: &ParsedBody) -> impl Iterator<Item = &str> {
    parsed.items.iter().filter_map(|item| match item {
        Item::Signal(signal) => Some(&*signal.identity.namespace),
        Item::Suppressed(_) | Item::Rejected(_) => None,
    })
}

/// What became of the alerts that are answered one by one, with their position in the body.
fn outcomes<'a>(
    entries: &'a [(usize, Entry)],
    decisions: &'a [Decision],
) -> impl Iterator<Item = (usize, Outcome<'a>)> {
    // Only entries that were sent to the store have a decision, and they come in the same order.
    let mut decided = decisions.iter();
    entries.iter().filter_map(move |(index, entry)| {
        let outcome = match entry {
            Entry::Decided(echo) => Outcome::Decided(echo, decided.next()?),
            Entry::Suppressed(reason) => Outcome::Suppressed(reason),
            Entry::Rejected(reason) => Outcome::Rejected(reason),
        };
        Some((*index, outcome))
    })
}

/// Has the signals decided, measures that, and counts a failure of the store.
pub(crate) async fn ask_store(edge: &Edge, signals: Vec<Signal>) -> Result<Vec<Decision>, StoreError> {
    let began = Instant::now();
    let decided = edge.store().decide(signals).await;
    edge.store_metrics.decide.observe(began.elapsed().as_secs_f64());
    decided.inspect_err(|error| edge.note_store_error(error))
}

/// Has the signals decided when it is the sender's turn.
async fn made_durable(
    edge: &Edge,
    source: Source,
    sender: Option<Sender>,
    signals: Vec<Signal>,
) -> Result<Vec<Decision>, Problem> {
    let Some(first) = signals.first() else { return Ok(Vec::new()) };
    let sent = signals.len();
    let not_taken = || edge.source(source).rejected("not_durable", sent as u64);
    let turn = edge.turns().next(sender, &first.identity.namespace, sent).await;
    let _turn = turn.inspect_err(|_| not_taken())?;
    match ask_store(edge, signals).await {
        Ok(decisions) if decisions.len() == sent => Ok(decisions),
        Ok(decisions) => {
            tracing::error!(sent, decided = decisions.len(), "state store lost count of a batch");
            Err(Problem::internal())
        }
        Err(error) => {
            not_taken();
            Err(error.into())
        }
    }
}

/// Created is what exists, where it exists. What does not in time is durable all the same, and follows.
async fn wait_for_sink(sink: &dyn Sink, decisions: &mut [Decision]) {
    let is_created = |decision: &&mut Decision| decision.kind == DecisionKind::Created;
    let mut requests: Vec<_> =
        decisions.iter_mut().filter(is_created).filter_map(|decision| decision.request.clone()).collect();
    if requests.is_empty() {
        return;
    }
    // A storm that one body opens is created once and may be named twice.
    requests.sort_unstable();
    requests.dedup();
    let existing = sink.existing(requests).await.into_iter();
    let places: HashMap<_, _> = existing.map(|existing| (existing.request, existing.place)).collect();
    for decision in decisions.iter_mut().filter(is_created) {
        match decision.request.as_ref().and_then(|request| places.get(request)) {
            Some(place) => decision.request = Some(place.clone()),
            None => decision.kind = DecisionKind::Accepted,
        }
    }
}

fn all_rejected(batch: &Batch) -> Problem {
    let rejected = batch.entries.iter().filter_map(|(index, entry)| match entry {
        Entry::Rejected(reason) => Some((*index, reason)),
        _ => None,
    });
    let named: Vec<_> = rejected
        .clone()
        .take(MAX_REJECTED)
        .map(|(index, reason)| json!({"index": index, "message": reason}))
        .collect();
    let first = rejected.map(|(_, reason)| reason.as_str()).next().unwrap_or_default();
    let detail = match batch.summary.total {
        1 => format!("the alert is invalid: {first}"),
        total => format!("all {total} alerts are invalid, the first one: {first}"),
    };
    Problem::new(StatusCode::BAD_REQUEST, "invalid-alerts", "No valid alert", detail).with("rejected", named)
}

/// Not one alert is about a namespace that its sender may send about.
fn all_forbidden(first: String, total: u64) -> Problem {
    match total {
        1 => Problem::forbidden(first),
        total => Problem::forbidden(format!("none of {total} alerts is taken: {first}")),
    }
}

fn status_of(source: Source, summary: &Summary) -> StatusCode {
    match source {
        // What Prometheus expects of an Alertmanager.
        Source::Prometheus => StatusCode::OK,
        _ if summary.created > 0 => StatusCode::CREATED,
        _ => StatusCode::ACCEPTED,
    }
}

pub(crate) fn count_received(edge: &Edge, source: Source, signals: &[Signal]) {
    let mut by_severity = [0; 3];
    for signal in signals {
        by_severity[signal.severity as usize] += 1;
    }
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        edge.source(source).received(severity, by_severity[severity as usize]);
    }
}

pub(crate) fn count_decided(edge: &Edge, source: Source, summary: &Summary, decisions: &[Decision]) {
    use seawall_model::DecisionKind::{Accepted, Aggregated, Created, Duplicate, Resolved};
    let counts = [
        (Created, summary.created),
        (Accepted, summary.accepted),
        (Duplicate, summary.duplicate),
        (Aggregated, summary.aggregated),
        (Resolved, summary.resolved),
    ];
    for (kind, count) in counts {
        edge.source(source).decided(DecisionLabel::Decided(kind), count);
    }
    if summary.aggregated + summary.created > 0 {
        count_storms(edge, decisions);
    }
}

/// A signal that opens a storm brings those that were waiting for it along; later ones come one by one.
fn count_storms(edge: &Edge, decisions: &[Decision]) {
    use seawall_model::DecisionKind::Aggregated;
    let mut by_rule: Vec<(&str, u64, u64)> = Vec::new();
    for decision in decisions {
        let Some(storm) = &decision.storm else { continue };
        let (started, joined) = match (decision.opened_storm, decision.kind) {
            (true, _) => (1, storm.alert_count),
            (false, Aggregated) => (0, 1),
            _ => continue,
        };
        match by_rule.iter_mut().find(|(rule, ..)| *rule == &*storm.rule) {
            Some(counts) => (counts.1, counts.2) = (counts.1 + started, counts.2 + joined),
            None => by_rule.push((&storm.rule, started, joined)),
        }
    }
    for (rule, started, joined) in by_rule {
        let counters = edge.metrics().storm(rule);
        counters.started.inc_by(started);
        counters.members.inc_by(joined);
    }
}

pub(crate) fn json_response(status: StatusCode, body: &impl Serialize, size: usize) -> Response {
    let mut json = Vec::with_capacity(size);
    if let Err(error) = serde_json::to_writer(&mut json, body) {
        tracing::error!(%error, "answer could not be written");
        return Problem::internal().into_response();
    }
    json_bytes(status, json)
}

fn json_bytes(status: StatusCode, json: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
