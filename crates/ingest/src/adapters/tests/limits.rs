use seawall_model::Detail;

use super::*;

#[track_caller]
fn refused(kind: Kind, body: impl AsRef<[u8]>) -> String {
    read(kind, body).unwrap_err().to_string()
}

#[test]
fn what_is_no_json_is_refused_with_the_position() {
    assert_eq!(
        refused(Kind::Webhook, "{\"alerts\":[\n {\"labels\":{}},\n ]}"),
        "the body is not valid JSON at line 3, column 2: trailing comma"
    );
    for body in [
        "{",
        "{\"alerts\":[{}}",
        "{\"alerts\":[{}]",
        "{} x",
        "nul",
        "{\"a\":1,}",
        "{\"alerts\":[01]}",
        "{\"alerts\":[{\"a\":\"\u{1}\"}]}",
        "{\"alerts\":[{\"a\":\"\\x\"}]}",
        "{\"receiver\":\"a}",
        "{\"commonLabels\":{]}",
    ] {
        let problem = refused(Kind::Webhook, body);
        assert!(problem.starts_with("the body is not valid JSON at line 1, column "), "{body}: {problem}");
    }
    for (body, problem) in
        [("[{}] []", "trailing characters"), ("[{]", "key must be a string"), ("[1,]", "trailing")]
    {
        assert!(refused(Kind::List, body).contains(problem), "{body}");
    }
}

#[test]
fn both_ways_name_the_same_position() {
    let body = "{\"alerts\":[\n {\"labels\":{\"a\" 1}}]}";
    let streamed = stream_alertmanager(body.as_bytes(), &normaliser(), RECEIVED, MOST).unwrap_err();
    assert_eq!(streamed.to_string(), refused(Kind::Webhook, body));
}

#[test]
fn another_format_is_refused_with_a_hint() {
    assert!(refused(Kind::Webhook, "[]").contains("bare lists go to /api/v2/alerts"));
    assert!(refused(Kind::List, r#"{"alerts":[]}"#).contains("webhooks go to /webhook/prometheus"));
    assert!(refused(Kind::Webhook, r#"{"kind":"Event","reason":"x"}"#).contains("missing field `alerts`"));
    for body in [
        "5",
        "\"x\"",
        "null",
        "true",
        r#"{"alerts":{}}"#,
        r#"{"alerts":"x"}"#,
        r#"{"alerts":[],"alerts":[]}"#,
    ] {
        let problem = refused(Kind::Webhook, body);
        assert!(problem.starts_with("the body is not the declared format"), "{body}: {problem}");
    }
    assert!(
        refused(Kind::Webhook, r#"{"commonLabels":{"a":1}}"#)
            .contains("`commonLabels`: invalid type: integer")
    );
    assert!(refused(Kind::Webhook, r#"{"commonAnnotations":[]}"#).contains("`commonAnnotations`"));
}

#[test]
fn an_empty_body_is_said_to_be_empty() {
    for body in ["", " \n\t", "\u{feff}"] {
        assert_eq!(refused(Kind::Webhook, body), "the body is empty");
        assert_eq!(refused(Kind::Event, body), "the body is empty");
        let streamed = stream_prometheus(body.as_bytes(), &normaliser(), RECEIVED, MOST).unwrap_err();
        assert_eq!(streamed.to_string(), "the body is empty");
    }
}

#[test]
fn a_byte_order_mark_does_not_matter() {
    assert_eq!(items(Kind::List, "\u{feff}[{\"labels\":{\"alertname\":\"A\"}}]").len(), 1);
    assert_eq!(items(Kind::Webhook, "\u{feff}{\"alerts\":[]}"), []);
}

#[test]
fn what_is_not_utf8_is_refused_wherever_it_stands() {
    for body in [
        &b"[{\"labels\":{\"alertname\":\"\xff\"}}]"[..],
        b"{\"title\":\"\xc3\"}",
        b"[]\xe2\x82",
        b"\xff\xfe[\0]\0",
    ] {
        let kind = if body.starts_with(b"{") { Kind::Webhook } else { Kind::List };
        assert!(refused(kind, body).starts_with("the body is not UTF-8 text at byte "));
    }
}

#[test]
fn more_alerts_than_are_taken_are_counted_and_refused() {
    let body = format!("[{}]", ["{}"; 7].join(","));
    assert!(matches!(
        read_with(Kind::List, body.as_bytes(), 6),
        Err(BodyError::TooMany { limit: 6, received: 7 })
    ));
    assert_eq!(read_with(Kind::List, body.as_bytes(), 7).unwrap().items.len(), 7);
    let streamed = stream_prometheus(body.as_bytes(), &normaliser(), RECEIVED, 6);
    assert!(matches!(streamed, Err(BodyError::TooMany { limit: 6, received: 7 })));
}

#[test]
fn deep_nesting_is_refused_wherever_it_stands() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let alert =
        |levels: usize| format!(r#"{{"alerts":[{{"labels":{{"alertname":"A"}},"x":{}}}]}}"#, nested(levels));
    let field = |levels: usize| format!(r#"{{"title":{},"alerts":[]}}"#, nested(levels));
    assert_eq!(items(Kind::Webhook, alert(MAX_DEPTH - 3)).len(), 1);
    assert_eq!(items(Kind::Webhook, field(MAX_DEPTH - 1)), []);
    for body in [alert(MAX_DEPTH - 2), field(MAX_DEPTH), alert(200_000)] {
        assert_eq!(refused(Kind::Webhook, body), "the body is nested deeper than 128 levels");
    }
    let event = |levels: usize| format!(r#"{{"type":"Normal","x":{}}}"#, nested(levels));
    assert_eq!(items(Kind::Event, event(MAX_DEPTH - 1)).len(), 1);
    assert!(refused(Kind::Event, event(MAX_DEPTH)).contains("nested"));
}

#[test]
fn huge_numbers_and_many_labels_do_not_matter() {
    let digits = "9".repeat(10_000);
    let body = format!(r#"[{{"labels":{{"alertname":"A"}},"value":{digits}e{digits}}}]"#);
    assert_eq!(about(&items(Kind::List, body)[0]), "default/Unknown/A");
    let labels = (0..100_000).map(|number| format!(r#","l{number}":"""#)).collect::<String>();
    let body = format!(r#"[{{"labels":{{"alertname":"B"}}}},{{"labels":{{"alertname":"A"{labels}}}}}]"#);
    let abouts = abouts(&items(Kind::List, body));
    assert!(abouts[1].starts_with("too_large") || abouts[1].starts_with("too_many_labels"), "{}", abouts[1]);
    assert_eq!(abouts[0], "default/Unknown/B");
}

#[test]
fn an_endless_alert_is_rejected_alone() {
    let long = "x".repeat(MAX_TEXT);
    let body = format!(r#"[{{"labels":{{"alertname":"A","x":"{long}"}}}},{{"labels":{{"alertname":"B"}}}}]"#);
    let abouts = abouts(&items(Kind::List, body));
    assert!(abouts[0].starts_with("too_large: it has 10486"), "{}", abouts[0]);
    assert_eq!(abouts[1], "default/Unknown/B");
}

#[test]
fn an_alert_that_is_too_long_to_keep_is_shown_shortened() {
    let long = "a long text ".repeat(2_000);
    let alert = format!(
        r#"{{"labels":{{"alertname":"A","pod":"p"}},"annotations":{{"summary":"s","text":"{long}"}}}}"#
    );
    for count in [1, 20] {
        let items = items(Kind::List, format!("[{}]", vec![alert.as_str(); count].join(",")));
        let detail = &signal(&items[count - 1]).detail;
        assert!(detail.payload.text().len() <= Detail::MAX_PAYLOAD);
        let (labels, annotations, _) = detail.expand();
        assert_eq!((labels["pod"].as_str(), annotations["summary"].as_str()), ("p", "s"));
        assert!(annotations["text"].len() > 1_000);
    }
}

#[test]
fn an_endless_envelope_is_refused_or_ignored() {
    let long = "x".repeat(MAX_TEXT + 1);
    assert!(
        refused(Kind::Webhook, format!(r#"{{"commonLabels":{{"a":"{long}"}}}}"#))
            .contains("commonLabels is longer")
    );
    assert_eq!(
        items(Kind::Webhook, format!(r#"{{"alerts":[],"message":"{long}","receiver":"{long}"}}"#)),
        []
    );
    let name = "x".repeat(scanner::Scanner::MAX_NAME * 2);
    let streamed = stream_alertmanager(
        format!(r#"{{"alerts":[],"{name}":1}}"#).as_bytes(),
        &normaliser(),
        RECEIVED,
        MOST,
    );
    assert!(matches!(streamed, Err(BodyError::TooLarge { what: "the name of a field", .. })));
}

#[test]
fn a_sender_that_goes_away_is_no_end_of_a_body() {
    struct Gone;
    impl Read for Gone {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
    for streamed in [
        stream_prometheus("[]".as_bytes().chain(Gone), &normaliser(), RECEIVED, MOST),
        stream_alertmanager("{".as_bytes().chain(Gone), &normaliser(), RECEIVED, MOST),
        stream_kubernetes_event("{}".as_bytes().chain(Gone), &normaliser(), RECEIVED, MOST),
    ] {
        assert!(matches!(streamed, Err(BodyError::Read(_))), "{streamed:?}");
    }
}
