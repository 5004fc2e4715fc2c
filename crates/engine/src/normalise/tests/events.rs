use seawall_model::{Detail, Field, Severity};

use super::*;

const OOM: Event<'_> = Event {
    event_type: "Warning",
    reason: "OOMKilled",
    message: "Memory cgroup out of memory",
    kind: "Pod",
    name: "web-1",
    namespace: "prod",
    api_version: "v1",
    host: "worker-1",
    times: ["", "2027-01-15T07:00:00Z", "2027-01-15T07:30:00.123456Z", "soon", "", "2027-01-15T07:10:00Z"],
};

fn take(event: &Event<'_>) -> Result<Signal, NotTaken> {
    let normaliser = normaliser(|_, policy| policy.rules[0].group_by = vec![Field::Node, Field::Owner]);
    normaliser.event(event, Payload::default(), &Arc::default(), "kubernetes-event", RECEIVED)
}

#[test]
fn an_event_is_about_the_involved_object() {
    let signal = take(&OOM).unwrap();
    assert_eq!((about(&signal).as_str(), signal.severity), ("prod/Pod/web-1", Severity::Critical));
    // OOMKilled:prod:Pod:web-1
    let printed = "f91a1469813c6a1b642f80b393b8f4e6a17e48045efb08431dd0ca79f86158e3";
    assert_eq!(signal.fingerprint.to_string(), printed);
    assert_eq!(signal.firing_time.to_string(), "2027-01-15T07:30:00.123Z");
    assert_eq!(signal.api_version.as_deref(), Some("v1"));
    assert_eq!(signal.grouping, [(Field::Node, "worker-1".into())]);
    assert!(!signal.resolved);
}

#[test]
fn an_event_about_a_node_is_in_no_namespace() {
    let event = Event { kind: "Node", name: "worker-2", namespace: "default", host: "", ..OOM };
    let signal = take(&Event { reason: "NodeNotReady", ..event }).unwrap();
    assert_eq!(about(&signal), "/Node/worker-2");
    assert_eq!(signal.grouping, [(Field::Node, "worker-2".into())]);
}

#[test]
fn an_event_about_a_workload_has_it_as_owner() {
    let signal = take(&Event { kind: "Deployment", name: "cart", host: "", ..OOM }).unwrap();
    assert_eq!(signal.grouping, [(Field::Owner, "cart".into())]);
}

#[test]
fn some_reasons_and_all_errors_are_critical() {
    let severity = |event: Event<'_>| take(&event).unwrap().severity;
    for reason in
        ["OOMKilled", "NodeNotReady", "FailedScheduling", "Evicted", "FailedMount", "NetworkNotReady"]
    {
        assert_eq!(severity(Event { reason, ..OOM }), Severity::Critical, "{reason}");
    }
    assert_eq!(severity(Event { reason: "BackOff", ..OOM }), Severity::Warning);
    assert_eq!(severity(Event { reason: "BackOff", event_type: "Error", ..OOM }), Severity::Critical);
}

#[test]
fn events_that_report_no_problem_are_suppressed() {
    for event_type in ["Normal", "", "Notice\n"] {
        let not_taken = take(&Event { event_type, reason: "", ..OOM }).unwrap_err();
        assert!(matches!(not_taken, NotTaken::Suppressed(_)), "{event_type}");
        assert!(!not_taken.to_string().contains('\n'));
    }
}

#[test]
fn events_that_say_too_little_are_rejected() {
    assert_eq!(take(&Event { reason: "", ..OOM }), Err(Rejection::NoReason.into()));
    for event in [Event { name: "", ..OOM }, Event { kind: "", ..OOM }] {
        assert!(matches!(take(&event), Err(NotTaken::Rejected(Rejection::NoObject))));
    }
}

#[test]
fn an_event_that_is_too_long_to_keep_keeps_its_main_parts() {
    let message = "\u{1}".repeat(100_000);
    let event = Event { message: &message, ..OOM };
    let payload = bounded_event(&"x".repeat(Detail::MAX_PAYLOAD + 1), &event, |_| Payload::default());
    let text = payload.text();
    assert!(text.len() <= Detail::MAX_PAYLOAD && text.len() > Detail::MAX_PAYLOAD / 4, "{}", text.len());
    let kept: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&kept["reason"], &kept["involvedObject"]["name"]), (&"OOMKilled".into(), &"web-1".into()));
}
