//! Kubernetes Events.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use seawall_engine::normalise::{Event, Normaliser, NotTaken, bounded_event};
use seawall_model::{Payload, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::alert::explain;
use super::scanner::is_deep;
use super::text::{Object, Text};
use super::{BodyError, Item, MAX_TEXT, ParsedBody, slice};

const SOURCE: &str = "kubernetes-event";

/// An event of core/v1 or events.k8s.io/v1; they differ in names only.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EventText<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow, rename = "type")]
    event_type: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    note: Text<'a>,
    #[serde(borrow)]
    involved_object: Object<ObjectText<'a>>,
    #[serde(borrow)]
    regarding: Object<ObjectText<'a>>,
    #[serde(borrow)]
    source: Object<SourceText<'a>>,
    #[serde(borrow)]
    deprecated_source: Object<SourceText<'a>>,
    #[serde(borrow)]
    series: Object<SeriesText<'a>>,
    #[serde(borrow)]
    event_time: Text<'a>,
    #[serde(borrow)]
    last_timestamp: Text<'a>,
    #[serde(borrow)]
    first_timestamp: Text<'a>,
    #[serde(borrow)]
    deprecated_last_timestamp: Text<'a>,
    #[serde(borrow)]
    deprecated_first_timestamp: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectText<'a> {
    #[serde(borrow)]
    api_version: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SourceText<'a> {
    #[serde(borrow)]
    host: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SeriesText<'a> {
    #[serde(borrow)]
    last_observed_time: Text<'a>,
}

impl EventText<'_> {
    fn event(&self) -> Event<'_> {
        let object = if self.involved_object.0.kind.0.is_empty() {
            &self.regarding.0
        } else {
            &self.involved_object.0
        };
        Event {
            event_type: &self.event_type.0,
            reason: &self.reason.0,
            message: first(&self.message, &self.note),
            kind: &object.kind.0,
            name: &object.name.0,
            namespace: &object.namespace.0,
            api_version: &object.api_version.0,
            host: first(&self.source.0.host, &self.deprecated_source.0.host),
            times: [
                &self.event_time.0,
                &self.series.0.last_observed_time.0,
                &self.last_timestamp.0,
                &self.first_timestamp.0,
                &self.deprecated_last_timestamp.0,
                &self.deprecated_first_timestamp.0,
            ],
        }
    }
}

/// The first text that is not empty.
fn first<'t>(one: &'t Text<'_>, other: &'t Text<'_>) -> &'t str {
    if one.0.is_empty() { &other.0 } else { &one.0 }
}

pub(super) fn parse(
    body: &Bytes,
    normaliser: &Normaliser,
    received: Timestamp,
) -> Result<ParsedBody, BodyError> {
    if body.len() > MAX_TEXT {
        return Err(BodyError::TooLarge { what: "the event", limit: MAX_TEXT });
    }
    let text = slice::text(body)?.trim_ascii();
    let _: IgnoredAny = serde_json::from_str(text)?;
    if is_deep(text, 0) {
        return Err(BodyError::TooDeep);
    }
    if !text.starts_with('{') {
        return Err(BodyError::format("an event is an object"));
    }
    let item = match serde_json::from_str::<EventText<'_>>(text) {
        Err(error) => Item::Rejected(explain::<EventText<'_>>(text, &error)),
        Ok(event) if !matches!(&*event.kind.0, "" | "Event") => {
            return Err(BodyError::format("it is another kind of object than an `Event`"));
        }
        Ok(event) => {
            let event = event.event();
            let payload = bounded_event(text, &event, |_| Payload::from(body.slice_ref(text.as_bytes())));
            match normaliser.event(&event, payload, &Arc::default(), SOURCE, received) {
                Ok(signal) => Item::Signal(signal),
                Err(NotTaken::Suppressed(reason)) => Item::Suppressed(reason),
                Err(NotTaken::Rejected(reason)) => Item::Rejected(reason),
            }
        }
    };
    Ok(ParsedBody { items: vec![item], truncated_alerts: 0 })
}

/// An event is small, so reading it while it arrives is reading it and then parsing it.
pub(super) fn stream(
    body: impl Read,
    normaliser: &Normaliser,
    received: Timestamp,
) -> Result<ParsedBody, BodyError> {
    let mut whole = Vec::new();
    body.take(MAX_TEXT as u64 + 1).read_to_end(&mut whole).map_err(BodyError::Read)?;
    parse(&whole.into(), normaliser, received)
}
