use seawall_model::{Detail, Field, Priority, RemediationPath, Severity};

use super::*;

#[test]
fn cluster_and_extra_labels_are_part_of_the_identity() {
    let normaliser =
        normaliser(|config, _| config.extra_labels = vec!["tier".into(), "shard".into(), "tier".into()]);
    let signal = |text: &str| try_normalise(&normaliser, text).unwrap();
    // eu:Down:default:Pod:a:shard=7:tier=front
    let whole = signal("alertname=Down, pod=a, tier=front, shard=7, cluster=eu");
    assert_eq!(
        whole.fingerprint.to_string(),
        "576848931f6a2eed20e0569796e0439f54ea3d057b14d236d87965bec8cace75"
    );
    assert_eq!(whole.identity.cluster, "eu");
    let empty = signal("alertname=Down, pod=a, tier=, cluster=");
    assert_eq!(empty.fingerprint, signal("alertname=Down, pod=a").fingerprint);
}

#[test]
fn a_separator_inside_a_part_is_escaped() {
    // eu\:1:HighErrorRate:default:Unknown:HighErrorRate
    let signal = normalise("alertname=HighErrorRate, cluster=eu:1");
    assert_eq!(
        signal.fingerprint.to_string(),
        "b5717a7f469cb82b83ab1e173da877efcdf476cf6539428e4607d3af065ed7c9"
    );
}

#[test]
fn severity_and_other_labels_are_not_part_of_the_identity() {
    let one = normalise("alertname=A, pod=p, severity=critical, team=x");
    let other = normalise("team=y, severity=info, pod=p, alertname=A");
    assert_eq!(one.fingerprint, other.fingerprint);
}

#[test]
fn many_words_for_severity_become_three() {
    for (words, expected) in [
        ("critical page error sev1 p1 high CRITICAL Page P1", Severity::Critical),
        ("info none low Info", Severity::Info),
        ("warning sev2 major informational ", Severity::Warning),
    ] {
        for word in words.split(' ') {
            let signal = normalise(&format!("alertname=A, severity={word}"));
            assert_eq!(signal.severity, expected, "{word}");
        }
    }
    let own = normaliser(|config, _| config.severities = [("Höchste".into(), Severity::Critical)].into());
    let severity =
        |word: &str| try_normalise(&own, &format!("alertname=A, severity={word}")).unwrap().severity;
    assert_eq!(severity("HÖCHSTE"), Severity::Critical);
    assert_eq!(severity("critical"), Severity::Warning);
}

#[test]
fn the_namespace_says_the_environment_and_both_say_priority_and_path() {
    let normaliser = normaliser(|config, _| {
        config.environments = [("prod-copy".into(), "staging".into()), ("shop".into(), "live".into())].into();
    });
    for (namespace, environment, priority, path) in [
        ("prod", "production", Priority::P0, RemediationPath::Aggressive),
        ("production-eu", "production", Priority::P0, RemediationPath::Aggressive),
        ("staging-2", "staging", Priority::P1, RemediationPath::Moderate),
        ("dev", "development", Priority::P2, RemediationPath::Manual),
        ("preprod", "unknown", Priority::P1, RemediationPath::Conservative),
        ("prod-copy", "staging", Priority::P1, RemediationPath::Moderate),
        ("shop", "live", Priority::P1, RemediationPath::Moderate),
    ] {
        let signal =
            try_normalise(&normaliser, &format!("alertname=A, severity=critical, namespace={namespace}"))
                .unwrap();
        assert_eq!(signal.environment, environment, "{namespace}");
        assert_eq!((signal.priority, signal.path), (priority, path), "{namespace}");
    }
}

#[test]
fn an_alert_is_over_when_it_says_so_or_when_its_end_has_passed() {
    let labels = labels("alertname=A");
    let resolved = |status: &str, ends_at: &str| {
        let alert = Alert { status, labels: &labels, starts_at: "", ends_at };
        normaliser(|_, _| ())
            .alert(&alert, Payload::default(), &Arc::new(Context::default()), "test", RECEIVED)
            .unwrap()
            .resolved
    };
    assert!(resolved("resolved", "") && resolved("Resolved", "2999-01-01T00:00:00Z"));
    assert!(resolved("firing", "2027-01-15T07:59:59Z") && resolved("", &RECEIVED.to_string()));
    assert!(!resolved("firing", "0001-01-01T00:00:00Z") && !resolved("", "2027-01-15T08:00:01Z"));
    assert!(!resolved("", "0001-01-01T00:00:00.000Z") && !resolved("", "soon"));
}

#[test]
fn what_fires_since_nobody_knows_when_fires_since_it_was_received() {
    let labels = labels("alertname=A");
    let firing_time = |starts_at: &str| {
        let alert = Alert { status: "firing", labels: &labels, starts_at, ends_at: "" };
        normaliser(|_, _| ())
            .alert(&alert, Payload::default(), &Arc::new(Context::default()), "test", RECEIVED)
            .unwrap()
            .firing_time
    };
    for none in ["", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "yesterday", "99999999999"] {
        assert_eq!(firing_time(none), RECEIVED, "{none}");
    }
    assert_eq!(firing_time("2027-01-15T09:00:00.5+02:00").to_string(), "2027-01-15T07:00:00.500Z");
}

#[test]
fn storm_rules_find_their_labels() {
    let normaliser = normaliser(|_, policy| {
        let fields = ["owner", "node", "namespace", "pod", "zone", "zone"];
        policy.rules[0].group_by = fields.into_iter().map(Field::parse).collect();
    });
    let values = |text: &str| {
        let signal = try_normalise(&normaliser, text).unwrap();
        let values = signal.grouping.iter().map(|(field, value)| format!("{}={value}", field.as_str()));
        values.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(values("alertname=A, statefulset=db, owner_name=x, zone=a, node=n"), "owner=db node=n zone=a");
    assert_eq!(values("alertname=A, zone=, exported_pod=web-1, pod=scraper"), "pod=web-1");
    assert_eq!(values("alertname=A, exported_namespace=prod, pod=scraper, zone=a"), "zone=a");
    let exporters = "alertname=A, job=kube-state-metrics, pod=kube-state-metrics-1, deployment=cart";
    assert_eq!(values(exporters), "owner=cart");
    assert_eq!(values(&format!("alertname=A, zone={}", "x".repeat(MAX_PART + 1))), "");
}

#[test]
fn common_labels_hold_where_an_alert_does_not_say_otherwise() {
    let normaliser = normaliser(|_, _| ());
    let (common, own) =
        (labels("alertname=Common, namespace=shop, pod=common"), labels("pod=, deployment=cart"));
    let mut body = normaliser.body("test", RECEIVED, Arc::default(), &common);
    let signal = body.alert(&firing(&own), Payload::default()).unwrap();
    assert_eq!((signal.identity.name.as_str(), about(&signal).as_str()), ("Common", "shop/Deployment/cart"));
    let signal = body.alert(&firing(&[]), Payload::default()).unwrap();
    assert_eq!(about(&signal), "shop/Pod/common");
}

#[test]
fn what_cannot_be_identified_is_rejected_with_what_to_do() {
    let reject = |text: &str| try_normalise(&normaliser(|_, _| ()), text).unwrap_err();
    let long = "x".repeat(MAX_PART + 1);
    assert_eq!(reject("alertname=, pod=p"), Rejection::NoName);
    assert_eq!(
        reject(&format!("alertname={long}")),
        Rejection::TooLong { part: "name", bytes: MAX_PART + 1 }
    );
    assert_eq!(
        reject(&format!("alertname=A, pod={long}")).to_string(),
        "the resource's name has 2049 bytes and 2048 are taken: shorten it where it is defined"
    );
    let many = (0..=MAX_LABELS).map(|number| format!(", l{number}=x")).collect::<String>();
    assert_eq!(reject(&format!("alertname=A{many}")).code(), "too_many_labels");
    assert!(try_normalise(&normaliser(|_, _| ()), &format!("alertname={}", "x".repeat(MAX_PART))).is_ok());
}

#[test]
fn control_characters_are_not_shown_but_still_tell_problems_apart() {
    let one = normalise("alertname=A\0, pod=web\u{1b}[31m");
    let other = normalise("alertname=A\u{7f}, pod=web\u{9b}[31m");
    assert_eq!(one.identity.name, "A\u{fffd}");
    assert_eq!(
        (&one.identity.resource, &other.identity.resource),
        (&"web\u{fffd}[31m".into(), &"web\u{fffd}[31m".into())
    );
    assert_ne!(one.fingerprint, other.fingerprint);
    assert_eq!(normalise("alertname=Größe").identity.name, "Größe");
}

#[test]
fn an_alert_that_is_too_long_to_keep_keeps_its_short_labels() {
    let pairs = |letter: &str, count: usize| {
        (0..count).map(|number| format!(r#","{letter}{number}":"{}""#, "\\n".repeat(700))).collect::<String>()
    };
    let raw = format!(
        r#"{{"status":"firing","labels":{{"alertname":"A"{}}},"annotations":{{"summary":"s"{}}},"startsAt":"2027-01-15T07:00:00Z","generatorURL":"http://p/{}"}}"#,
        pairs("l", 40),
        pairs("a", 40),
        "x".repeat(5_000),
    );
    let payload = bounded_alert(&raw, |_| Payload::default());
    let text = payload.text();
    assert!(text.len() <= Detail::MAX_PAYLOAD && text.len() > Detail::MAX_PAYLOAD / 2, "{}", text.len());
    let kept: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&kept["labels"]["alertname"], &kept["annotations"]["summary"]), (&"A".into(), &"s".into()));
    assert_eq!(kept["startsAt"], "2027-01-15T07:00:00Z");
    assert!(kept["generatorURL"].as_str().unwrap().len() > 2_000);
}

/// Sets down environments, and puts what it was given into the path.
#[derive(Debug)]
struct Scripted(&'static str);

impl Classify for Scripted {
    fn environment(&self, namespace: &str) -> Option<CompactString> {
        (namespace == "shop").then(|| self.0.into())
    }

    fn refine(&self, signal: &mut Signal) {
        if signal.identity.name == "Refined" {
            signal.path = RemediationPath::Manual;
        }
    }

    fn is_slow(&self) -> bool {
        true
    }
}

#[test]
fn what_is_set_down_for_a_namespace_comes_before_the_table_and_both_before_the_patterns() {
    let asking = |set_down| {
        let table = |config: &mut NormaliserConfig, _: &mut Policy| {
            config.environments = [("shop".into(), "staging".into())].into();
        };
        normaliser(table).asking(Arc::new(Scripted(set_down)))
    };
    let of = |set_down, text: &str| try_normalise(&asking(set_down), text).unwrap();
    let signal = of("production", "alertname=A, namespace=shop, severity=critical");
    assert_eq!((signal.environment.as_str(), signal.priority), ("production", Priority::P0));
    assert_eq!(signal.path, RemediationPath::Aggressive);
    assert_eq!(of("production", "alertname=A, namespace=dev-1").environment, "development");
    for unusable in ["", "a\nb", "1234567890123456789012345678901234567890123456789012345678901234"] {
        assert_eq!(of(unusable, "alertname=A, namespace=shop").environment, "staging", "{unusable:?}");
    }
}

#[test]
fn who_refines_a_signal_has_the_last_word() {
    let asking = normaliser(|_, _| ()).asking(Arc::new(Scripted("")));
    assert!(asking.is_slow() && !normaliser(|_, _| ()).is_slow());
    let path = |text: &str| try_normalise(&asking, text).unwrap().path;
    assert_eq!(path("alertname=Refined, namespace=prod, severity=critical"), RemediationPath::Manual);
    assert_eq!(path("alertname=Other, namespace=prod, severity=critical"), RemediationPath::Aggressive);
}
