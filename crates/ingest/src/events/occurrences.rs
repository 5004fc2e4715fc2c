//! From what is new about events to durable decisions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use seawall_model::Signal;
use seawall_telemetry::DecisionLabel;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::counts::News;
use crate::adapters::{self, BodyError, Item, Normaliser, ParsedBody};
use crate::audit::{Context, Subject, decided};
use crate::edge::Edge;
use crate::signals::{Source, Summary, ask_store, count_decided, count_received};

/// Signals in one call of the store: what a large body of alerts has.
const STEP: usize = 1000;
pub(super) const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times()
    .with_jitter();

const SOURCE: Source = Source::KubernetesEvent;

/// A signal, and how often it is still to be decided.
type Turn = (Signal, u32);

/// Decides all of it; `false` when it was stopped before that. Does not give up: nobody sends an event again.
pub(super) async fn decide(edge: &Arc<Edge>, news: Vec<News>, stop: &CancellationToken) -> bool {
    if news.is_empty() {
        return true;
    }
    let Some(turns) = normalise(edge, news).await else { return true };
    let mut turns = VecDeque::from(turns);
    while !turns.is_empty() {
        let step = next_step(&mut turns);
        count_received(edge, SOURCE, &step);
        if !persist(edge, step, stop).await {
            return false;
        }
    }
    true
}

/// Everybody's next occurrence, again and again: an event that happened a thousand times does not keep others waiting.
fn next_step(turns: &mut VecDeque<Turn>) -> Vec<Signal> {
    let mut step = Vec::new();
    while step.len() < STEP
        && let Some((signal, times)) = turns.pop_front()
    {
        step.push(signal.clone());
        if times > 1 {
            turns.push_back((signal, times - 1));
        }
    }
    step
}

async fn persist(edge: &Arc<Edge>, step: Vec<Signal>, stop: &CancellationToken) -> bool {
    let mut failing = false;
    for wait in RETRY.build() {
        if stop.is_cancelled() {
            return false;
        }
        // Not given up half-way, whoever stops: then it would be durable and not noted.
        match ask_store(edge, step.clone()).await {
            Ok(decisions) => {
                if failing {
                    tracing::info!("Kubernetes events are decided again");
                }
                let mut summary = Summary::default();
                decisions.iter().for_each(|decision| summary.count(decision.kind));
                count_decided(edge, SOURCE, &summary, &decisions);
                if let Some(audit) = edge.audit() {
                    let subjects: Vec<_> = step.iter().map(Subject::of).collect();
                    let context =
                        Context { time: edge.now(), source: SOURCE, request_id: None, sender: None };
                    audit.write(decided(context, &subjects, &decisions)).await;
                }
                return true;
            }
            Err(error) if error.is_retryable() => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "Kubernetes events wait for the state store");
                }
            }
            Err(error) => {
                tracing::error!(%error, events = step.len(), "Kubernetes events cannot be decided");
                edge.source(SOURCE).rejected("not_durable", step.len() as u64);
                return true;
            }
        }
        stop.run_until_cancelled(sleep(wait)).await;
    }
    false
}

/// As if each had been posted. Nothing when that broke down, which is a defect: to try it again would end the same way.
async fn normalise(edge: &Arc<Edge>, news: Vec<News>) -> Option<Vec<Turn>> {
    let normaliser = edge.normaliser();
    if !normaliser.is_slow() {
        return Some(take(edge, &normaliser, news));
    }
    // Policies are asked about every one.
    let occurrences: u64 = news.iter().map(|news| u64::from(news.times)).sum();
    let taken = edge.clone();
    let taken = tokio::task::spawn_blocking(move || take(&taken, &normaliser, news)).await;
    taken
        .inspect_err(|error| {
            tracing::error!(%error, occurrences, "Kubernetes events could not be normalised and are not taken");
            edge.source(SOURCE).rejected("internal", occurrences);
            edge.source(SOURCE).decided(DecisionLabel::Rejected, occurrences);
        })
        .ok()
}

fn take(edge: &Edge, normaliser: &Normaliser, news: Vec<News>) -> Vec<Turn> {
    let received = edge.now();
    let counts = edge.source(SOURCE);
    let mut turns = Vec::with_capacity(news.len());
    for News { text, event, times, excess, is_first } in news {
        let reject = |code: &'static str, reason: &dyn std::fmt::Display, times: u32| {
            counts.rejected(code, times.into());
            counts.decided(DecisionLabel::Rejected, times.into());
            if is_first {
                tracing::warn!(event, "a Kubernetes event is not taken: {reason}");
            }
        };
        match adapters::parse_kubernetes_event(text, normaliser, received, 1) {
            Ok(ParsedBody { items, .. }) => {
                for item in items {
                    match item {
                        Item::Signal(signal) => turns.push((signal, times)),
                        Item::Suppressed(_) => counts.decided(DecisionLabel::Suppressed, times.into()),
                        Item::Rejected(reason) => reject(reason.code(), &reason, times),
                    }
                }
            }
            Err(error @ BodyError::TooLarge { .. }) => reject("too_large", &error, times),
            Err(error) => reject("malformed", &error, times),
        }
        if excess > 0 {
            let reason = format!("{excess} of its occurrences are more than are counted at a time");
            reject("too_many_occurrences", &reason, excess);
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use seawall_model::Policy;

    use super::*;

    fn signal(pod: &str) -> Signal {
        let event = format!(
            r#"{{"type":"Warning","reason":"BackOff","regarding":{{"kind":"Pod","namespace":"prod","name":"{pod}"}}}}"#
        );
        let normaliser = Normaliser::new(&Default::default(), &Policy::default());
        let received = seawall_model::Timestamp::from_millis(1_793_530_800_000);
        let parsed = adapters::parse_kubernetes_event(event.into(), &normaliser, received, 1).unwrap();
        match parsed.items.into_iter().next() {
            Some(Item::Signal(signal)) => signal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_that_happened_often_lets_the_others_through() {
        let mut turns = VecDeque::from([(signal("often"), 1500), (signal("once"), 1)]);
        let of =
            |step: &[Signal], pod: &str| step.iter().filter(|signal| signal.identity.resource == pod).count();
        let first = next_step(&mut turns);
        assert_eq!((of(&first, "often"), of(&first, "once")), (STEP - 1, 1));
        let second = next_step(&mut turns);
        assert_eq!((of(&second, "often"), second.len()), (501, 501));
        assert!(turns.is_empty());
    }
}
