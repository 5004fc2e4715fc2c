//! Whatever arrives: no panic, and both ways of reading agree (`read` compares them).

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

/// Names and values that mean something are frequent, so that the interesting code is reached.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "alertname",
        "namespace",
        "exported_namespace",
        "pod",
        "exported_pod",
        "node",
        "job",
        "service",
        "instance",
        "kube-state-metrics",
        "severity",
        "critical",
        "cluster",
        "resolved",
        "2027-01-15T07:00:00Z",
        "Warning",
        "Pod",
        "",
        "\u{0}",
        "a:b\\c",
        "größe",
        "\"",
        "\u{10ffff}",
    ];
    prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,40}"]
}

fn field() -> impl Strategy<Value = String> {
    let known = [
        "alerts",
        "commonLabels",
        "commonAnnotations",
        "receiver",
        "groupKey",
        "truncatedAlerts",
        "labels",
        "annotations",
        "status",
        "startsAt",
        "endsAt",
        "generatorURL",
        "type",
        "reason",
        "involvedObject",
        "regarding",
        "kind",
        "name",
        "series",
        "source",
        "host",
        "eventTime",
    ];
    prop_oneof![6 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => word()]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => word().prop_map(Value::String),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            2 => prop::collection::vec((field(), inner), 0..8).prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
}

fn labels() -> impl Strategy<Value = Value> {
    let pairs = prop::collection::vec((word(), word().prop_map(Value::String)), 0..8);
    let labels = pairs.prop_map(|pairs| Value::Object(Map::from_iter(pairs)));
    prop_oneof![9 => labels, 1 => value()]
}

fn alert() -> impl Strategy<Value = Value> {
    let fields = (labels(), labels(), word(), word(), prop::option::of((field(), value())));
    fields.prop_map(|(labels, annotations, starts, ends, other)| {
        let mut alert = serde_json::json!({
            "labels": labels, "annotations": annotations, "startsAt": starts, "endsAt": ends,
        });
        if let Some((name, value)) = other {
            alert[name] = value;
        }
        alert
    })
}

fn body() -> impl Strategy<Value = Value> {
    let alerts =
        || prop::collection::vec(prop_oneof![9 => alert(), 1 => value()], 0..6).prop_map(Value::Array);
    let webhook = (alerts(), labels(), prop::collection::vec((field(), value()), 0..4));
    let webhook = webhook.prop_map(|(alerts, common, others)| {
        let mut body = Map::from_iter(others);
        body.insert("alerts".to_owned(), alerts);
        body.insert("commonLabels".to_owned(), common);
        Value::Object(body)
    });
    prop_oneof![4 => webhook, 3 => alerts(), 2 => alert(), 1 => value()]
}

const KINDS: [Kind; 3] = [Kind::Webhook, Kind::List, Kind::Event];

proptest! {
    #[test]
    fn json_of_any_shape_is_understood_the_same_in_both_ways(body in body(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) };
        for kind in KINDS {
            if let Ok(parsed) = read(kind, text.as_ref().unwrap()) {
                for item in parsed.items {
                    if let Item::Signal(signal) = item {
                        prop_assert!(!signal.identity.name.is_empty() && !signal.identity.resource.is_empty());
                        signal.detail.expand();
                    }
                }
            }
        }
    }

    #[test]
    fn damaged_json_is_refused_the_same_in_both_ways(
        body in body(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..4),
    ) {
        let mut text = serde_json::to_vec(&body).unwrap();
        for (at, byte, how) in damage {
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => text.truncate(at.max(1)),
            }
        }
        for kind in KINDS {
            let _ = read(kind, &text);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in KINDS {
            let _ = read(kind, &body);
        }
    }
}
