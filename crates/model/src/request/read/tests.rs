//! The way there and back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::build_request;
use super::*;
use crate::{Priority, RemediationPath, Severity, Timestamp};

/// A storm's request as a cluster shows it, with what the server and others added.
const EXAMPLE: &str = include_str!("example.json");

fn example() -> RemediationRequest {
    serde_json::from_str(EXAMPLE).unwrap()
}

fn changed(change: impl FnOnce(&mut RemediationRequest)) -> Result<RecoveredRequest, String> {
    let mut resource = example();
    change(&mut resource);
    read_request(&resource).map_err(|error| error.to_string())
}

#[test]
fn a_storm_in_a_cluster_reads_back_as_what_it_was() {
    let read = read_request(&example()).unwrap();
    assert_eq!(read.doc.identity.fingerprint(), read.doc.fingerprint);
    let RecoveredRequest { doc, state, status, .. } = &read;
    assert_eq!(doc.reference.to_string(), "shop/rr-6c6c7d0bb51b98ba-1793696343");
    assert_eq!(doc.previous.unwrap().generation, 1_793_610_002);
    assert_eq!(
        (doc.identity.cluster.as_str(), doc.identity.resource.as_str()),
        ("east-1", "checkout-7d9f8b6c4-x2x9k")
    );
    assert_eq!(doc.received_time.to_string(), "2026-11-03T08:59:03.118Z");
    assert_eq!(doc.detail.context.group_key, r#"{}:{namespace="shop"}"#);
    assert_eq!(doc.detail.context.common_labels, r#"{"prometheus":"monitoring/k8s"}"#);
    assert_eq!((state.epoch, state.sequence, state.occurrences), (4, 4_398_046_511_391, 61));
    assert_eq!((state.related.len(), state.superseded_by), (1, None));
    let storm = state.storm.as_ref().unwrap();
    assert_eq!((storm.window, storm.alert_count, storm.truncated), (60_000, 40, true));
    assert_eq!((storm.affected.len(), storm.affected[1].count), (2, 2));
    assert_eq!(storm.supersedes[0].to_string(), "rr-00c41d7a9be2f350-1793696344");
    assert_eq!(status.as_ref().unwrap().overall_phase.as_deref(), Some("Analyzing"));

    let again = serde_json::to_value(build_request(doc, state, status.as_ref())).unwrap();
    let before: Value = serde_json::from_str(EXAMPLE).unwrap();
    assert_eq!(again["spec"], before["spec"]);
    assert_eq!(again["status"], json!(example().status));
    for (kind, name) in
        [("annotations", mark::EPOCH), ("annotations", mark::SEQUENCE), ("labels", "kubernaut.io/storm")]
    {
        assert_eq!(again["metadata"][kind][name], before["metadata"][kind][name]);
    }
}

#[test]
fn a_displaced_resource_shows_the_request_that_it_stands_for() {
    let read = changed(|resource| {
        let request = format!("shop/{}", resource.metadata.name.as_ref().unwrap());
        resource.metadata.annotations.as_mut().unwrap().insert(mark::REQUEST.to_owned(), request);
        resource.metadata.namespace = Some("seawall".to_owned());
        resource.metadata.name = Some("rr-6c6c7d0bb51b98ba-1793696344".to_owned());
    });
    assert_eq!(read.unwrap().doc, read_request(&example()).unwrap().doc);
}

#[test]
fn what_is_no_request_of_ours_is_said_in_a_sentence() {
    type Change = fn(&mut RemediationRequest);
    let cases: [(Change, &str); 11] = [
        (|it| it.metadata.name = None, "has no name"),
        (|it| it.metadata.namespace = None, "has no namespace"),
        (|it| it.metadata.name = Some("mine".to_owned()), "`mine` is none that Seawall gives"),
        (|it| it.metadata.name = Some("rr-00c41d7a9be2f350-1".to_owned()), "belongs to another problem"),
        (|it| it.metadata.namespace = Some("copies".to_owned()), "looks like a copy"),
        (|it| it.spec.signal_fingerprint.make_ascii_uppercase(), "which is no fingerprint"),
        (|it| it.spec.signal_type = "carrier-pigeon".to_owned(), "`carrier-pigeon`, which this version"),
        (|it| it.spec.storm_aggregation = None, "there is no `stormAggregation`"),
        (|it| it.spec.superseded_by = Some("another".to_owned()), "`supersededBy` is `another`"),
        (
            |it| it.spec.storm_aggregation.as_mut().unwrap().aggregation_window = "1m30".to_owned(),
            "`1m30`, which is no length",
        ),
        (
            |it| {
                let annotations = it.metadata.annotations.as_mut().unwrap();
                annotations.insert(mark::REQUEST.to_owned(), "shop".to_owned());
            },
            "is `shop`, which names no request",
        ),
    ];
    for (change, expected) in cases {
        let error = changed(change).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_only_shown_keeps_no_request_from_being_read() {
    let read = changed(|it| {
        it.spec.original_payload = None;
        it.metadata.annotations = None;
    });
    let read = read.unwrap();
    assert_eq!((read.state.epoch, read.state.sequence), (0, 0));
    assert_eq!(read.doc.detail.expand(), read_request(&example()).unwrap().doc.detail.expand());
    let read = changed(|it| {
        it.spec.original_payload = Some("?".to_owned());
        it.spec.provider_data = Some("?".to_owned());
    });
    let (labels, ..) = read.unwrap().doc.detail.expand();
    assert_eq!(labels, example().spec.signal_labels);
}

#[test]
fn a_name_that_is_cut_is_found_whole_in_the_alert() {
    let (name, cluster) = ("ü".repeat(400), "c".repeat(300));
    let identity = Identity {
        cluster: cluster.as_str().into(),
        namespace: "shop".into(),
        name: name.as_str().into(),
        kind: "Pod".into(),
        resource: "web-1".into(),
    };
    let fingerprint = Fingerprint::of(Some(&cluster), [&name, "shop", "Pod", "web-1"], []);
    let read = |labels: Value| {
        let RecoveredRequest { mut doc, state, .. } = read_request(&example()).unwrap();
        doc.identity = identity.clone();
        doc.fingerprint = fingerprint;
        doc.reference.id.prefix = fingerprint.prefix();
        doc.detail.payload = Bytes::from(json!({ "labels": labels }).to_string()).into();
        read_request(&build_request(&doc, &state, None)).unwrap()
    };
    let found = read(json!({ "alertname": name, "where": cluster }));
    assert_eq!(found.doc.identity.fingerprint(), found.doc.fingerprint);
    assert_eq!(found.doc.identity, identity);

    let lost = read(json!({ "alertname": name }));
    assert_ne!(lost.doc.identity.fingerprint(), lost.doc.fingerprint);
    assert_eq!((lost.doc.identity.cluster.len(), lost.doc.fingerprint), (253, fingerprint));
    assert_eq!(read(json!({})).doc.identity.name, "ü".repeat(126));
}

#[test]
fn lengths_of_time_are_read_with_their_units() {
    for (text, expected) in [("0s", 0), ("1m", 60_000), ("1m30s250ms", 90_250), ("2d1h", 176_400_000)] {
        assert_eq!(millis(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "5",
        "m",
        "1m5",
        "1y",
        "-1s",
        "1 s",
        "99999999999999999999s",
        "9223372036854775807d",
        "9223372036854775807ms1ms",
    ] {
        assert_eq!(millis(text), None, "{text}");
    }
}

/// Texts as identities have them, some with characters that the API server does not keep.
fn text(odd: bool) -> BoxedStrategy<String> {
    let plain = "[a-z0-9:/\\\\ü名 -]{1,20}";
    match odd {
        false => plain.boxed(),
        true => {
            prop_oneof![4 => plain, 1 => "[a-z\u{2028}\u{fffe}\u{fffd}]{1,20}", 1 => "[aü]{240,700}"].boxed()
        }
    }
}

type Pairs = BTreeMap<String, String>;

/// An alert's own labels or annotations and the common ones. Of odd ones there are more than are shown, or their names and
/// values are anything that can be received. Not both: which of too many are shown depends on their names.
fn pairs(odd: bool) -> BoxedStrategy<(Pairs, Pairs)> {
    let plain = || prop::collection::btree_map("[a-z_]{1,12}", "[ -~ü]{0,30}", 0..6);
    let many = || prop::collection::btree_map("[a-z_]{2,12}", "[ -~]{0,9}", 30..80);
    let strange = || {
        let names = "[a-z\u{1}\u{7f}\"]{1,4}[a-z]{3,320}";
        prop::collection::btree_map(names, "(?s).{0,30}|[ü]{500,520}", 0..4)
    };
    let plain = (plain(), plain());
    match odd {
        false => plain.boxed(),
        true => prop_oneof![2 => plain, 1 => (many(), many()), 1 => (strange(), strange())].boxed(),
    }
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0i64..4_000_000_000_000).prop_map(Timestamp::from_millis)
}

fn id() -> impl Strategy<Value = RequestId> {
    any::<(u64, u32)>().prop_map(|(prefix, generation)| RequestId { prefix, generation })
}

fn namespace(odd: bool) -> BoxedStrategy<String> {
    prop_oneof![3 => "[a-z0-9]{1,20}", 1 => Just(String::new()), 1 => text(odd)].boxed()
}

fn identity(odd: bool) -> impl Strategy<Value = Identity> {
    let cluster = prop_oneof![Just(String::new()), text(odd)];
    (cluster, namespace(odd), text(odd), text(odd), text(odd)).prop_map(
        |(cluster, namespace, name, kind, resource)| Identity {
            cluster: cluster.into(),
            namespace: namespace.into(),
            name: name.into(),
            kind: kind.into(),
            resource: resource.into(),
        },
    )
}

fn detail(odd: bool) -> impl Strategy<Value = Detail> {
    let event = ("[A-Z][a-z]{1,12}", ".{0,40}").prop_map(|(reason, message)| {
        let event = json!({"reason": reason, "type": "Warning", "message": message});
        (SignalType::KubernetesEvent, event.to_string(), Context::default())
    });
    let alert =
        (pairs(odd), pairs(odd)).prop_map(|((labels, common_labels), (annotations, common_annotations))| {
            let url = "http://prom/graph?a=1";
            let alert = json!({"labels": labels, "annotations": annotations, "generatorURL": url});
            let json = |pairs| Bytes::from(serde_json::to_vec(&pairs).unwrap());
            let context = Context {
                common_labels: json(common_labels),
                common_annotations: json(common_annotations),
                ..Context::default()
            };
            (SignalType::PrometheusAlert, alert.to_string(), context)
        });
    let broken = Just((SignalType::PrometheusAlert, "{".to_owned(), Context::default()));
    let received = prop_oneof![6 => alert, 2 => event, u32::from(odd) => broken];
    (received, ".{0,20}", ".{0,20}").prop_map(|((signal_type, payload, context), receiver, group_key)| {
        Detail {
            signal_type,
            source: "alertmanager".into(),
            payload: Bytes::from(payload).into(),
            context: Arc::new(Context {
                receiver,
                group_key,
                external_url: "http://am:9093".to_owned(),
                ..context
            }),
        }
    })
}

/// With how many extra labels the fingerprint was made.
fn doc(odd: bool) -> impl Strategy<Value = (RequestDoc, usize)> {
    let extra = prop::collection::vec(("[a-z]{1,5}", "[a-z]{1,5}"), 0..2);
    let times = (time(), time(), any::<u32>());
    let version = prop::option::of(text(odd));
    (identity(odd), extra, version, "[a-z]{1,10}", times, prop::option::of(id()), detail(odd)).prop_map(
        |(
            identity,
            extra,
            api_version,
            environment,
            (firing_time, received_time, generation),
            previous,
            detail,
        )| {
            let Identity { cluster, namespace, name, kind, resource } = &identity;
            let fingerprint = Fingerprint::of(
                (!cluster.is_empty()).then_some(cluster.as_str()),
                [name, namespace, kind, resource],
                extra.iter().map(|(label, value)| (label.as_str(), value.as_str())),
            );
            let id = RequestId { prefix: fingerprint.prefix(), generation };
            let doc = RequestDoc {
                fingerprint,
                reference: RequestRef::locate(namespace, id, "seawall"),
                identity,
                api_version: api_version.map(Into::into),
                environment: environment.into(),
                firing_time,
                received_time,
                previous,
                detail,
            };
            (doc, extra.len())
        },
    )
}

fn affected_resource(odd: bool) -> impl Strategy<Value = Affected> {
    (text(odd), text(odd), namespace(odd), time(), time(), any::<u32>()).prop_map(
        |(kind, name, namespace, first_seen, last_seen, count)| Affected {
            kind: kind.into(),
            name: name.into(),
            namespace: namespace.into(),
            first_seen,
            last_seen,
            count: count.into(),
        },
    )
}

fn storm_state(odd: bool) -> impl Strategy<Value = StormState> {
    // With long names some two hundred are more than a request may list.
    let affected = prop::collection::vec(affected_resource(odd), 0..if odd { 250 } else { 9 });
    let links = (prop::option::of(id()), prop::collection::vec(id(), 0..4));
    let texts = ("[a-z-]{1,20}", prop_oneof!["rate", "flood"], text(odd));
    let numbers = (0i64..10_000_000_000, 0u64..1 << 40, any::<bool>());
    let times = (time(), time(), prop::option::of(time()));
    (texts, pairs(false).prop_map(|(own, _)| own), affected, numbers, times, links).prop_map(
        |(
            (rule, storm_type, pattern),
            group_by,
            affected,
            (window, alert_count, truncated),
            times,
            links,
        )| {
            StormState {
                rule: rule.into(),
                storm_type: storm_type.into(),
                pattern: pattern.into(),
                window,
                group_by: group_by.into_iter().map(|(field, value)| (field.into(), value.into())).collect(),
                alert_count,
                affected,
                truncated,
                first_seen: times.0,
                last_seen: times.1,
                ended_at: times.2,
                successor: links.0,
                supersedes: links.1,
            }
        },
    )
}

fn request_state(odd: bool) -> impl Strategy<Value = RequestState> {
    let class = (
        prop::sample::select(&[Severity::Info, Severity::Warning, Severity::Critical][..]),
        prop::sample::select(&Priority::ALL[..]),
        prop::sample::select(&RemediationPath::ALL[..]),
    );
    let times = (time(), time(), prop::option::of(time()));
    let links = (prop::option::of(id()), prop::collection::vec(id(), 0..4));
    let numbers = (1u64..1 << 40, any::<u64>(), any::<u64>());
    (class, times, links, numbers, prop::option::of(storm_state(odd))).prop_map(
        |((severity, priority, path), times, links, (occurrences, epoch, sequence), storm)| RequestState {
            severity,
            priority,
            path,
            occurrences,
            first_seen: times.0,
            last_seen: times.1,
            resolved_at: times.2,
            superseded_by: links.0,
            related: links.1,
            storm,
            epoch,
            sequence,
        },
    )
}

/// As the API hands it out.
fn through_json(resource: &RemediationRequest) -> RemediationRequest {
    serde_json::from_str(&serde_json::to_string(resource).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_shows_as_the_same_resource(
        (doc, _) in doc(true),
        state in request_state(true),
        phase in prop::option::of("[A-Z][a-z]{1,9}"),
        displaced in any::<bool>(),
    ) {
        let status = phase.map(|phase| RemediationRequestStatus { overall_phase: Some(phase), ..Default::default() });
        let shown = build_request(&doc, &state, status.as_ref());
        let mut found = through_json(&shown);
        if displaced {
            found.metadata.namespace = Some("elsewhere".to_owned());
            let annotations = found.metadata.annotations.as_mut().unwrap();
            annotations.insert(mark::REQUEST.to_owned(), doc.reference.to_string());
        }
        let read = read_request(&found).unwrap();
        prop_assert_eq!(build_request(&read.doc, &read.state, read.status.as_ref()), shown);
        prop_assert_eq!(read.doc.fingerprint, doc.fingerprint);
        prop_assert_eq!(read.doc.reference, doc.reference);
    }

    #[test]
    fn what_is_shown_whole_is_taken_back_whole((doc, extra) in doc(false), state in request_state(false)) {
        let read = read_request(&through_json(&build_request(&doc, &state, None))).unwrap();
        prop_assert_eq!(&read.state, &state);
        prop_assert_eq!(read.doc.identity.fingerprint() == read.doc.fingerprint, extra == 0);
        prop_assert_eq!(read.doc.detail.expand(), doc.detail.expand());
        // Which pairs were common is not known; together they are the same.
        let detail = Detail { context: Arc::clone(&read.doc.detail.context), ..doc.detail.clone() };
        prop_assert_eq!(&read.doc.detail.context.receiver, &doc.detail.context.receiver);
        prop_assert_eq!(&read.doc.detail.context.group_key, &doc.detail.context.group_key);
        prop_assert_eq!(read.doc, RequestDoc { detail, ..doc });
    }
}
