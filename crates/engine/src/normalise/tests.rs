//! What the common Kubernetes chart, node exporters and people's own rules send, and what it is about.

mod alerts;
mod details;
mod events;

use std::borrow::Cow;
use std::sync::Arc;

use seawall_model::{Context, Payload, Policy, Signal, Timestamp};

use super::*;

const RECEIVED: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn normaliser(change: impl FnOnce(&mut NormaliserConfig, &mut Policy)) -> Normaliser {
    let (mut config, mut policy) = (NormaliserConfig::default(), Policy::default());
    change(&mut config, &mut policy);
    Normaliser::new(&config, &policy)
}

/// `alertname=Down, pod=web-1` as labels.
fn labels(text: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let pairs = text.split(", ").filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))).collect()
}

fn firing<'a>(labels: &'a Labels<'a>) -> Alert<'a> {
    Alert { status: "firing", labels, starts_at: "2027-01-15T07:00:00Z", ends_at: "0001-01-01T00:00:00Z" }
}

fn try_normalise(normaliser: &Normaliser, text: &str) -> Result<Signal, Rejection> {
    let labels = labels(text);
    normaliser.alert(&firing(&labels), Payload::default(), &Arc::new(Context::default()), "test", RECEIVED)
}

fn normalise(text: &str) -> Signal {
    try_normalise(&normaliser(|_, _| ()), text).unwrap()
}

/// `namespace/Kind/name`.
fn about(signal: &Signal) -> String {
    let identity = &signal.identity;
    format!("{}/{}/{}", identity.namespace, identity.kind, identity.resource)
}
