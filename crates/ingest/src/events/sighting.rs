//! What of an event matters for counting it.

use std::fmt;

use bytes::Bytes;
use seawall_model::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// When an event was seen, by the names of events.k8s.io/v1.
const TIMES: [&str; 4] =
    ["/eventTime", "/series/lastObservedTime", "/deprecatedLastTimestamp", "/deprecatedFirstTimestamp"];
/// When the API server got it, which may be long after.
const WRITTEN: &str = "/metadata/creationTimestamp";

/// Which event it is: the beginning of the hash of its uid, so that remembering one costs the same whatever a uid is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EventKey([u8; 16]);

/// An event as it was seen once.
pub(super) struct Sighting {
    pub(super) key: EventKey,
    /// How often it has happened until now.
    pub(super) count: u32,
    /// When it happened last; nothing when nobody says.
    pub(super) last_seen: Option<Timestamp>,
    event: Value,
}

impl Sighting {
    pub(super) fn new(mut event: Value) -> Self {
        let uid = event.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
        let key = key(uid);
        let count = ["/series/count", "/deprecatedCount"].iter().find_map(|path| number(&event, path));
        let time = |path: &&str| event.pointer(path).and_then(Value::as_str).and_then(Timestamp::parse);
        let last_seen = TIMES.iter().filter_map(time).max().or_else(|| time(&WRITTEN));
        if let Some(metadata) = event.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            // Who wrote which field says nothing about the problem, and is half of the text.
            metadata.remove("managedFields");
        }
        Self { key, count: count.unwrap_or(1), last_seen, event }
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.event.pointer("/metadata/resourceVersion").and_then(Value::as_str)
    }

    /// The same as somebody would post it.
    pub(super) fn text(&self) -> Bytes {
        self.event.to_string().into()
    }
}

/// For logs: where the event is.
impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |path| self.event.pointer(path).and_then(Value::as_str).unwrap_or_default();
        write!(f, "{}/{}", part("/metadata/namespace"), part("/metadata/name"))
    }
}

fn key(uid: &str) -> EventKey {
    let hash: [u8; 32] = Sha256::digest(uid.as_bytes()).into();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    EventKey(key)
}

/// A count that is there and says something: servers write 0 for "not set".
fn number(event: &Value, path: &str) -> Option<u32> {
    let number = event.pointer(path)?.as_u64().filter(|number| *number > 0)?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_series_says_how_often_before_the_old_count_and_without_both_it_was_once() {
        let count = |event: Value| Sighting::new(event).count;
        assert_eq!(count(json!({"series": {"count": 7}, "deprecatedCount": 3})), 7);
        assert_eq!(count(json!({"series": null, "deprecatedCount": 3})), 3);
        assert_eq!(count(json!({"series": {"count": 0}, "deprecatedCount": 0})), 1);
        assert_eq!(count(json!({"deprecatedCount": -3})), 1);
        assert_eq!(count(json!({"series": {"count": 1u64 << 40}})), u32::MAX);
        assert_eq!(count(json!({})), 1);
    }

    #[test]
    fn the_newest_time_counts_and_events_are_told_apart_by_their_uid() {
        let event = |uid: &str| {
            Sighting::new(json!({
                "metadata": {"uid": uid, "creationTimestamp": "2027-01-15T07:30:00Z", "managedFields": [{}]},
                "eventTime": null, "series": {"lastObservedTime": "2027-01-15T07:20:00.5Z"},
                "deprecatedLastTimestamp": "2027-01-15T07:10:00Z",
            }))
        };
        let one = event("a");
        assert_eq!(one.last_seen.unwrap().to_string(), "2027-01-15T07:20:00.500Z");
        assert!(one.key == event("a").key && one.key != event("b").key);
        let only_written =
            json!({"metadata": {"creationTimestamp": "2027-01-15T07:30:00Z"}, "eventTime": null});
        let only_written = Sighting::new(only_written).last_seen.unwrap();
        assert_eq!(only_written.to_string(), "2027-01-15T07:30:00.000Z");
        assert!(!one.text().windows(7).any(|text| text == b"managed"));
    }
}
