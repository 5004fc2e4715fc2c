use seawall_model::Severity;

use super::*;

const CORE: &str = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"web-1.17","namespace":"prod"},"involvedObject":{"kind":"Pod","namespace":"prod","name":"web-1","uid":"u","apiVersion":"v1","fieldPath":"spec.containers{app}"},
    "reason":"OOMKilled","message":"Memory cgroup out of memory","source":{"component":"kubelet","host":"worker-1"},"firstTimestamp":"2027-01-15T07:00:00Z","lastTimestamp":"2027-01-15T07:10:00Z","count":3,"type":"Warning","eventTime":null,"series":null,"reportingComponent":"","reportingInstance":""}"#;

#[test]
fn a_core_event_becomes_a_signal() {
    let items = items(Kind::Event, CORE);
    let signal = signal(&items[0]);
    assert_eq!((about(&items[0]).as_str(), signal.severity), ("prod/Pod/web-1", Severity::Critical));
    assert_eq!(signal.identity.name, "OOMKilled");
    assert_eq!(signal.firing_time.to_string(), "2027-01-15T07:10:00.000Z");
    let (labels, annotations, _) = signal.detail.expand();
    assert_eq!((labels["reason"].as_str(), labels["type"].as_str()), ("OOMKilled", "Warning"));
    assert_eq!(annotations["message"], "Memory cgroup out of memory");
}

#[test]
fn an_event_of_the_new_group_is_the_same_event() {
    let new = r#"{"apiVersion":"events.k8s.io/v1","kind":"Event","regarding":{"kind":"Pod","namespace":"prod","name":"web-1","apiVersion":"v1"},"reason":"OOMKilled","note":"n","type":"Warning",
        "eventTime":"2027-01-15T07:00:00.000000Z","series":{"count":7,"lastObservedTime":"2027-01-15T07:20:00.123456Z"},"deprecatedSource":{"host":"worker-1"},"deprecatedLastTimestamp":"2027-01-15T07:10:00Z"}"#;
    let (new, core) = (items(Kind::Event, new), items(Kind::Event, CORE));
    assert_eq!(signal(&new[0]).fingerprint, signal(&core[0]).fingerprint);
    assert_eq!(signal(&new[0]).firing_time.to_string(), "2027-01-15T07:20:00.123Z");
    assert_eq!(signal(&new[0]).detail.expand().1["message"], "n");
}

#[test]
fn events_that_are_no_problem_are_suppressed() {
    let items = items(Kind::Event, CORE.replace("Warning", "Normal"));
    assert!(about(&items[0]).starts_with("suppressed: events of type `Normal` report no problem"));
}

#[test]
fn events_that_are_wrong_say_why() {
    let one = |body: String| about(&items(Kind::Event, body)[0]);
    assert!(
        one(CORE.replace(r#""OOMKilled""#, "5"))
            .contains("`reason`: invalid type: integer `5`, expected a text")
    );
    assert!(one(CORE.replace(r#""name":"web-1","#, "")).starts_with("no_object"));
    assert!(
        one(r#"{"type":"Warning","reason":"a","involvedObject":["v1","Pod","d","n"]}"#.to_owned())
            .contains("expected an object")
    );
    assert!(one(r#"{"type":"Warning"}"#.to_owned()).starts_with("no_reason"));
    let problem = |body: &str| read(Kind::Event, body).unwrap_err().to_string();
    assert!(problem(r#"{"kind":"Pod"}"#).contains("another kind of object"));
    assert!(problem("[]").contains("an event is an object"));
    assert!(problem("{").contains("line 1, column 1"));
}

#[test]
fn an_event_that_is_too_long_is_shortened_or_refused() {
    let long = |length: usize| CORE.replace("Memory cgroup", &"x".repeat(length));
    let items = items(Kind::Event, long(100_000));
    assert!(signal(&items[0]).detail.payload.text().len() <= seawall_model::Detail::MAX_PAYLOAD);
    assert!(signal(&items[0]).detail.expand().1["message"].starts_with("xxx"));
    assert!(matches!(read(Kind::Event, long(MAX_TEXT)), Err(BodyError::TooLarge { .. })));
}
