use super::*;

/// As Alertmanager 0.25 writes it.
const WEBHOOK: &str = r#"{"receiver":"seawall","status":"firing","alerts":[
  {"status":"firing","labels":{"alertname":"KubePodCrashLooping","namespace":"prod","pod":"web-1","severity":"critical"},"annotations":{"summary":"Pod \"web-1\"\nis crash looping"},"startsAt":"2027-01-15T07:00:00.5Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus/graph?g0.expr=x\u0026g0.tab=1","fingerprint":"8d2b7e0f6a41c953"},
  {"status":"resolved","labels":{"alertname":"KubeNodeNotReady","node":"worker-1","namespace":"monitoring"},"annotations":{},"startsAt":"2027-01-15T07:00:00Z","endsAt":"2027-01-15T07:30:00Z","generatorURL":"","fingerprint":"aa2b7e0f6a41c953"}
 ],"groupLabels":{"team":"shop"},"commonLabels":{"team":"shop","namespace":"common"},"commonAnnotations":{"runbook":"https://r"},"externalURL":"http://alertmanager:9093","version":"4","groupKey":"{}:{team=\"shop\"}","truncatedAlerts":3}"#;

#[test]
fn a_webhook_gives_a_signal_for_each_alert() {
    let parsed = read(Kind::Webhook, WEBHOOK).unwrap();
    assert_eq!(abouts(&parsed.items), ["prod/Pod/web-1", "/Node/worker-1"]);
    assert_eq!(parsed.truncated_alerts, 3);
    let first = signal(&parsed.items[0]);
    assert_eq!(first.detail.source, "alertmanager");
    assert_eq!(first.firing_time.to_string(), "2027-01-15T07:00:00.500Z");
    assert!(!first.resolved && signal(&parsed.items[1]).resolved);
}

#[test]
fn what_is_shown_of_an_alert_is_its_own_over_what_is_common() {
    let items = items(Kind::Webhook, WEBHOOK);
    let detail = &signal(&items[0]).detail;
    let (labels, annotations, generator) = detail.expand();
    assert_eq!((labels["namespace"].as_str(), labels["team"].as_str()), ("prod", "shop"));
    assert_eq!(annotations["summary"], "Pod \"web-1\"\nis crash looping");
    assert_eq!(annotations["runbook"], "https://r");
    assert_eq!(generator, "http://prometheus/graph?g0.expr=x&g0.tab=1");
    assert_eq!(detail.context.receiver, "seawall");
    assert_eq!(detail.context.group_key, r#"{}:{team="shop"}"#);
    assert_eq!(detail.context.external_url, "http://alertmanager:9093");
}

#[test]
fn common_labels_behind_the_alerts_hold_for_them() {
    let body = r#"{"alerts":[{"labels":{"pod":"web-1"}},{"labels":{"alertname":"Own","namespace":"own"}},{}],
        "commonLabels":{"alertname":"Common","namespace":"shop"}}"#;
    let items = items(Kind::Webhook, body);
    assert_eq!(abouts(&items), ["shop/Pod/web-1", "own/Unknown/Own", "shop/Unknown/Common"]);
    assert_eq!(signal(&items[0]).detail.expand().0["alertname"], "Common");
}

#[test]
fn grafana_says_more_and_is_understood() {
    let body = r#"{"receiver":"seawall","status":"firing","orgId":1,"alerts":[{"status":"firing","labels":{"alertname":"High","grafana_folder":"shop","instance":"db:9100"},
        "annotations":{"summary":"x"},"startsAt":"2027-01-15T07:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://g","fingerprint":"c6eadffa33fcdf37",
        "silenceURL":"http://g","dashboardURL":"","panelURL":"","values":{"A":1e999,"B":null},"valueString":"[ var='A' ]"}],
        "groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://g","version":"1","groupKey":"k","truncatedAlerts":0,"title":"t","state":"alerting","message":"m"}"#;
    assert_eq!(abouts(&items(Kind::Webhook, body)), ["default/Instance/db:9100"]);
}

#[test]
fn prometheus_posts_a_bare_list() {
    let body = r#" [{"annotations":{"summary":"x"},"endsAt":"2027-01-15T08:04:00Z","startsAt":"2027-01-15T07:00:00.1Z","generatorURL":"http://p","labels":{"alertname":"Down","instance":"a:1"}},
        {"labels":{"alertname":"Down","instance":"b:1"},"endsAt":"2027-01-15T07:59:00Z"}] "#;
    let items = items(Kind::List, body);
    assert_eq!(abouts(&items), ["default/Instance/a:1", "default/Instance/b:1"]);
    assert_eq!((signal(&items[0]).resolved, signal(&items[1]).resolved), (false, true));
    assert_eq!(signal(&items[0]).detail.source, "prometheus");
}

#[test]
fn one_bad_alert_is_rejected_alone_and_says_why() {
    let body = r#"{"alerts":[
        {"labels":{"alertname":"A"}}, 5, null, "x", [{"labels":{"alertname":"A"}}], {"labels":{"pod":"p"}},
        {"labels":{"alertname":"A","n":1}}, {"labels":{"alertname":"A","n":null}}, {"labels":["a"]}, {"labels":"a"},
        {"labels":{"alertname":"A"},"annotations":{"a":{}}}, {"labels":{"alertname":"A"},"startsAt":17},
        {"labels":{"alertname":"A"},"labels":{"alertname":"B"}}, {"labels":{"alertname":"\ud800"}},
        {"labels":{"alertname":"B"}}]}"#;
    let abouts = abouts(&items(Kind::Webhook, body));
    let malformed = |problem: &str| format!("malformed: it is not what the format says: {problem}");
    let expected = [
        "default/Unknown/A".to_owned(),
        malformed("an alert is an object"),
        malformed("an alert is an object"),
        malformed("an alert is an object"),
        malformed("an alert is an object"),
        "no_name: the alert has no name: give it a label `alertname` that is not empty".to_owned(),
        malformed("`labels.n`: invalid type: integer `1`, expected a text"),
        malformed("`labels.n`: invalid type: null, expected a text"),
        malformed("`labels`: invalid type: sequence, expected an object of texts"),
        malformed("`labels`: invalid type: string \"a\", expected an object of texts"),
        malformed("`annotations.a`: invalid type: map, expected a text"),
        malformed("`startsAt`: invalid type: integer `17`, expected a text"),
        malformed("duplicate field `labels`"),
        malformed("`labels.alertname`: unexpected end of hex escape"),
        "default/Unknown/B".to_owned(),
    ];
    assert_eq!(abouts, expected);
}

#[test]
fn nothing_may_be_null_or_left_out() {
    for body in [
        r#"{}"#,
        r#"{"alerts":null}"#,
        r#"{"alerts":[]}"#,
        r#"{"version":"4","status":"firing"}"#,
        r#"{"alerts":[],"commonLabels":null,"receiver":null,"truncatedAlerts":null}"#,
    ] {
        assert_eq!(items(Kind::Webhook, body), [], "{body}");
    }
    assert_eq!(items(Kind::List, "[]"), []);
    let alert = r#"[{"status":null,"labels":{"alertname":"A"},"annotations":null,"startsAt":null,"endsAt":null,"generatorURL":null}]"#;
    let items = items(Kind::List, alert);
    assert_eq!(signal(&items[0]).firing_time, RECEIVED);
    assert_eq!(signal(&items[0]).detail.expand().0["alertname"], "A");
}

#[test]
fn a_label_that_is_given_twice_has_its_last_value() {
    let items = items(Kind::List, r#"[{"labels":{"alertname":"A","pod":"one","pod":"two"}}]"#);
    assert_eq!(about(&items[0]), "default/Pod/two");
    assert_eq!(signal(&items[0]).detail.expand().0["pod"], "two");
}

#[test]
fn fields_for_showing_may_be_anything() {
    let alert = r#"{"labels":{"alertname":"A"}}"#;
    for rest in [
        r#""receiver":5"#,
        r#""groupKey":{"a":[1,2]}"#,
        r#""externalURL":true,"truncatedAlerts":"many""#,
        r#""truncatedAlerts":-1"#,
        r#""truncatedAlerts":[7]"#,
    ] {
        let parsed = read(Kind::Webhook, format!(r#"{{{rest},"alerts":[{alert}],{rest} }}"#)).unwrap();
        assert_eq!((parsed.items.len(), parsed.truncated_alerts), (1, 0), "{rest}");
    }
    let parsed = read(Kind::Webhook, format!(r#"{{"alerts":[{alert}],"truncatedAlerts": 17}}"#)).unwrap();
    assert_eq!(parsed.truncated_alerts, 17);
}
