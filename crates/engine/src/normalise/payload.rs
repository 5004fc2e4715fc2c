//! What a request shows of an alert or event when the whole of it is too much.

use std::collections::BTreeMap;

use seawall_model::{Detail, Payload, cut};
use serde::{Deserialize, Serialize};

use super::Event;

/// Room for everything but the pairs.
const ADDRESS: usize = 2 * 1024;
const TIME: usize = 64;
/// Room for the names of fields, quotes and commas.
const FRAME: usize = 256;
const LABELS: usize = Detail::MAX_PAYLOAD / 2;
const ANNOTATIONS: usize = Detail::MAX_PAYLOAD - LABELS - ADDRESS - 3 * TIME - FRAME;

type Pairs = BTreeMap<String, String>;

#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Shortened {
    status: Option<String>,
    labels: Option<Pairs>,
    annotations: Option<Pairs>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
}

/// Keeps the text of one alert by `keep`; one over [`Detail::MAX_PAYLOAD`] with fewer and shorter labels and
/// annotations, so that it fits.
pub fn bounded_alert(raw: &str, keep: impl FnOnce(&[u8]) -> Payload) -> Payload {
    if raw.len() <= Detail::MAX_PAYLOAD {
        return keep(raw.as_bytes());
    }
    // It was read before it came here; showing nothing is better than losing it over its looks.
    let mut alert: Shortened = serde_json::from_str(raw).unwrap_or_default();
    for (text, limit) in [
        (&mut alert.status, TIME),
        (&mut alert.starts_at, TIME),
        (&mut alert.ends_at, TIME),
        (&mut alert.generator_url, ADDRESS),
    ] {
        *text = text.as_deref().map(|text| shorten(text, limit));
    }
    alert.labels = alert.labels.map(|pairs| fit(pairs, LABELS));
    alert.annotations = alert.annotations.map(|pairs| fit(pairs, ANNOTATIONS));
    Payload::from(bytes::Bytes::from(serde_json::to_vec(&alert).unwrap_or_default()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShortenedEvent<'a> {
    kind: &'static str,
    #[serde(rename = "type")]
    event_type: String,
    reason: String,
    message: String,
    involved_object: ShortenedObject,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    times: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShortenedObject {
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
}

/// Keeps the text of an event by `keep`; one over [`Detail::MAX_PAYLOAD`] with its main parts, shortened.
pub fn bounded_event(raw: &str, event: &Event<'_>, keep: impl FnOnce(&[u8]) -> Payload) -> Payload {
    const NAME: usize = 1024;
    if raw.len() <= Detail::MAX_PAYLOAD {
        return keep(raw.as_bytes());
    }
    let shortened = ShortenedEvent {
        kind: "Event",
        event_type: shorten(event.event_type, TIME),
        reason: shorten(event.reason, NAME),
        message: shorten(event.message, Detail::MAX_PAYLOAD / 2),
        involved_object: ShortenedObject {
            api_version: shorten(event.api_version, NAME),
            kind: shorten(event.kind, NAME),
            namespace: shorten(event.namespace, NAME),
            name: shorten(event.name, NAME),
        },
        times: event.times.into_iter().filter(|time| !time.is_empty() && time.len() <= TIME).collect(),
    };
    Payload::from(bytes::Bytes::from(serde_json::to_vec(&shortened).unwrap_or_default()))
}

/// As many pairs as fit into `room` bytes of JSON, values cut, the shortest first: those say most per byte.
fn fit(pairs: Pairs, mut room: usize) -> Pairs {
    let cut_pairs = pairs.into_iter().map(|(name, value)| (name, cut(&value, Detail::MAX_VALUE).to_owned()));
    let mut sized: Vec<_> =
        cut_pairs.map(|(name, value)| (written(&name) + written(&value) + 2, name, value)).collect();
    sized.sort_unstable();
    let mut kept = Pairs::new();
    for (size, name, value) in sized {
        let Some(left) = room.checked_sub(size) else { break };
        room = left;
        kept.insert(name, value);
    }
    kept
}

/// A beginning of `text` that takes at most `room` bytes of JSON.
fn shorten(text: &str, room: usize) -> String {
    let mut length = room.saturating_sub(2);
    while written(cut(text, length)) > room {
        length /= 2;
    }
    cut(text, length).to_owned()
}

/// Bytes that a text takes in JSON, quotes and escapes included.
fn written(text: &str) -> usize {
    serde_json::to_vec(text).map_or(usize::MAX, |json| json.len())
}
