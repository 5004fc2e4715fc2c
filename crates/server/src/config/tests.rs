mod audit;
mod auth;
mod freshness;
mod rate;
mod redis;
mod tls;

use proptest::prelude::*;

use std::time::Duration;

use super::*;

/// Loads `yaml` from a file called `seawall.yaml`, and returns the message without the directory.
fn load(yaml: &str, env: &[(&str, &str)], flags: Flags) -> Result<Loaded, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("seawall.yaml");
    std::fs::write(&file, yaml).unwrap();
    let env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let directory = format!("{}/", dir.path().display());
    Sources { file: Some(file), env, flags }
        .load()
        .map_err(|errors| errors.to_string().replace(&directory, ""))
}

fn message(yaml: &str) -> String {
    load(yaml, &[], Flags::default()).unwrap_err()
}

fn settings(yaml: &str) -> Settings {
    load(yaml, &[], Flags::default()).unwrap().settings
}

#[test]
fn an_empty_file_is_the_default_configuration() {
    for empty in ["", "---\n", "# nothing\n", "storm:\n", "null"] {
        let loaded = load(empty, &[], Flags::default()).unwrap();
        assert_eq!(loaded.config, Config::default(), "{empty:?}");
        assert_eq!(loaded.settings.policy, seawall_model::Policy::default());
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_likely_one() {
    for (yaml, expected) in [
        ("dedup:\n  tll: 5m\n", "seawall.yaml:2:3: dedup.tll: unknown key; did you mean `ttl`?"),
        ("strom: {}\n", "seawall.yaml:1:1: strom: unknown key; did you mean `storm`?"),
        (
            "storm:\n  rules:\n    - name: a\n      groupby: [namespace]\n",
            "seawall.yaml:4:7: storm.rules[0].groupby: unknown key; did you mean `groupBy`?",
        ),
        (
            "dedup:\n  colour: red\n",
            "seawall.yaml:2:3: dedup.colour: unknown key; there are `ttl` and `cooldown`",
        ),
        (
            "sink:\n  store:\n    size: 1\n",
            "seawall.yaml:3:5: sink.store.size: unknown key; there is only `retention`",
        ),
        ("dedup:\n  tll:\n", "seawall.yaml:2:3: dedup.tll: unknown key; did you mean `ttl`?"),
    ] {
        assert_eq!(message(yaml), expected);
    }
}

#[test]
fn the_lease_of_events_lasts_whole_seconds_and_at_least_three() {
    let of = |events: &str| load(&format!("sources: {{kubernetesEvents: {events}}}"), &[], Flags::default());
    let Loaded { settings, warnings, .. } = of("{enabled: true, lease: 1m}").unwrap();
    assert_eq!(settings.events.as_ref().map(|events| events.lease), Some(Duration::from_secs(60)));
    assert!(settings.wants_cluster() && warnings.is_empty(), "{warnings:?}");
    let Loaded { settings, warnings, .. } = of("{lease: 1m}").unwrap();
    assert!(settings.events.is_none() && warnings[0].contains("`enabled: true` is missing"), "{warnings:?}");
    for lease in ["0s", "2s", "3500ms"] {
        let refused = of(&format!("{{enabled: true, lease: {lease}}}")).unwrap_err();
        assert!(
            refused.contains("sources.kubernetesEvents.lease: ") && refused.contains("at least 3"),
            "{refused}"
        );
    }
}

#[test]
fn keys_and_values_of_later_versions_are_named_as_such() {
    for (yaml, expected) in [
        (
            "telemetry:\n  otlpEndpoint: http://localhost:4318\n",
            "seawall.yaml:2:3: telemetry.otlpEndpoint: this key is not available in this version",
        ),
        (
            "state:\n  kind: reddis\n",
            "seawall.yaml:2:9: state.kind: `reddis` is not known; did you mean `redis`?",
        ),
        (
            "sink:\n  kind: stoer\n",
            "seawall.yaml:2:9: sink.kind: `stoer` is not known; did you mean `store`?",
        ),
        (
            "telemetry:\n  logLevel: loud\n",
            "seawall.yaml:2:13: telemetry.logLevel: `loud` is not known; there are `error`, `warn`, `info`, `debug` and `trace`",
        ),
    ] {
        assert_eq!(message(yaml), expected);
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_place() {
    for (yaml, expected) in [
        (
            "dedup:\n  ttl: 5\n",
            "seawall.yaml:2:8: dedup.ttl: `5` has no unit; write for example `5s` or `5m`",
        ),
        ("dedup:\n  ttl: [5m]\n", "seawall.yaml:2:8: dedup.ttl: text is expected, not a list"),
        ("dedup: 5m\n", "seawall.yaml:1:8: dedup: a map of keys is expected, not the text `5m`"),
        (
            "storm:\n  sample: many\n",
            "seawall.yaml:2:11: storm.sample: a whole number is expected, not the text `many`",
        ),
        ("storm:\n  sample: -1\n", "seawall.yaml:2:11: storm.sample: `-1` is below zero"),
        ("storm:\n  sample: 1.5\n", "seawall.yaml:2:11: storm.sample: `1.5` is not a whole number"),
        (
            "storm:\n  sample: 99999999999\n",
            "seawall.yaml:2:11: storm.sample: `99999999999` is too large; at most 4294967295",
        ),
        (
            "storm:\n  rules: namespace\n",
            "seawall.yaml:2:10: storm.rules: a list is expected, not the text `namespace`",
        ),
        (
            "server:\n  limits:\n    bodyBytes: lots\n",
            "seawall.yaml:3:16: server.limits.bodyBytes: `lots` is not a size; write for example `64MiB` or a number of bytes",
        ),
        (
            "server:\n  listen: 8080\n",
            "seawall.yaml:2:11: server.listen: `8080` is not an IP address and a port; write for example `127.0.0.1:8080` or `[::1]:8080`",
        ),
        ("- a\n", "seawall.yaml: a map of keys is expected at the top"),
    ] {
        assert_eq!(message(yaml), expected);
    }
}

#[test]
fn text_that_is_no_yaml_is_refused_with_the_place() {
    for (yaml, expected) in [
        ("dedup:\n  ttl: \"5m\n", "seawall.yaml:3:1: invalid indentation in multiline quoted scalar"),
        ("dedup: {\n", "seawall.yaml:1:8: unclosed bracket '{'"),
        ("dedup:\n  ttl: 5m\n  ttl: 6m\n", "seawall.yaml:3:3: duplicate mapping key: ttl not allowed here"),
        ("dedup:\n\tttl: 5m\n", "seawall.yaml:2:2: tabs disallowed within this context (block indentation)"),
        ("dedup: *nothing\n", "seawall.yaml:1:8: reference to unknown value"),
        ("a: 1\n---\nb: 2\n", "seawall.yaml:3:1: only single YAML document expected but multiple found"),
        ("{[a]: 1}\n", "seawall.yaml:1:2: expected string scalar"),
    ] {
        assert_eq!(message(yaml), expected);
    }
}

#[test]
fn a_zero_that_makes_no_sense_names_its_key() {
    for (yaml, expected) in [
        ("dedup:\n  ttl: 0s\n", "seawall.yaml:2:8: dedup.ttl: must be longer than zero"),
        ("storm:\n  sample: 0\n", "seawall.yaml:2:11: storm.sample: must be at least 1"),
        (
            "server:\n  limits:\n    bodyBytes: 0\n",
            "seawall.yaml:3:16: server.limits.bodyBytes: must be larger than zero",
        ),
        (
            "server:\n  limits:\n    alertsPerBody: 0\n",
            "seawall.yaml:3:20: server.limits.alertsPerBody: must be at least 1",
        ),
        (
            "server:\n  timeouts:\n    idle: 0s\n",
            "seawall.yaml:3:11: server.timeouts.idle: must be longer than zero",
        ),
        (
            "sink:\n  store:\n    retention: 0s\n",
            "seawall.yaml:3:16: sink.store.retention: must be longer than zero",
        ),
        (
            "storm:\n  rules:\n  - {name: a, groupBy: [namespace], threshold: 0}\n",
            "seawall.yaml:3:48: storm.rules[0].threshold: must be at least 1",
        ),
        (
            "storm:\n  rules:\n  - {name: a, groupBy: [namespace], quiet: 0s}\n",
            "seawall.yaml:3:44: storm.rules[0].quiet: must be longer than zero",
        ),
    ] {
        assert_eq!(message(yaml), expected);
    }
}

#[test]
fn a_zero_that_turns_something_off_is_taken() {
    let settings = settings(
        "dedup: {cooldown: 0s}\nserver: {timeouts: {drainDelay: 0s, drain: 0s}}\n\
         storm: {rules: [{name: a, groupBy: [namespace], hold: 0s, holdFirst: 0s}]}\n",
    );
    assert_eq!((settings.policy.cooldown, settings.policy.rules[0].hold), (0, 0));
}

#[test]
fn contradictions_are_all_reported_at_once() {
    let all = message(
        "server:\n  listen: 127.0.0.1:9\n  metricsListen: 127.0.0.1:9\n  limits: {bufferedBytes: 1MiB}\n\
         identity: {extraLabels: [team, team], clusterLabel: ''}\n\
         classify: {severity: {PAGE: critical, page: info}, environments: {shop: ''}}\n\
         storm:\n  sample: 5000\n  rules:\n  - {name: a, groupBy: [namespace], hold: 2m}\n  - {name: a, groupBy: []}\n\
         \x20 - {groupBy: [namespace, namespace, ''], window: 2h}\n",
    );
    let expected = [
        "3:18: server.metricsListen: `127.0.0.1:9` is also `server.listen`; leave the key out to serve metrics there",
        "4:27: server.limits.bufferedBytes: 1MiB is less than `server.limits.bodyBytes` (64MiB), so the largest bodies could never be taken",
        "5:53: identity.clusterLabel: a name is expected, not empty text",
        "5:32: identity.extraLabels[1]: `team` is listed twice",
        "6:73: classify.environments.shop: the name of an environment has 1 to 63 bytes",
        "6:45: classify.severity.page: `page` is listed twice; case does not matter",
        "10:43: storm.rules[0].hold: 2m is not shorter than `window` (1m), inside which the rule trips",
        "11:24: storm.rules[1].groupBy: every rule needs at least one field to group by, for example `namespace`",
        "12:5: storm.rules[2].name: every rule needs a name",
        "12:27: storm.rules[2].groupBy[1]: `namespace` is listed twice",
        "12:38: storm.rules[2].groupBy[2]: a field or label is expected, not empty text",
        "12:5: storm.rules[2].maxDuration: 1h is shorter than `window` (2h)",
        "11:12: storm.rules[1].name: another rule is called `a` too",
        "8:11: storm.sample: 5000 is too many; at most 1000",
    ];
    assert_eq!(all.lines().collect::<Vec<_>>(), expected.map(|line| format!("seawall.yaml:{line}")));
}

#[test]
fn rules_take_defaults_for_keys_left_out() {
    let rules =
        settings("storm:\n  rules:\n  - name: mine\n    groupBy: [owner, team]\n    quiet:\n").policy.rules;
    let group = vec![seawall_model::Field::Owner, seawall_model::Field::Label("team".into())];
    assert_eq!(rules, vec![seawall_model::StormRule::named("mine", group)]);
}

#[test]
fn an_empty_list_of_rules_turns_storms_off() {
    assert_eq!(settings("storm: {rules: []}").policy.rules, Vec::new());
}

#[test]
fn a_rule_across_namespaces_is_warned_about() {
    let warnings =
        load("storm: {rules: [{name: nodes, groupBy: [node]}]}", &[], Flags::default()).unwrap().warnings;
    assert_eq!(
        warnings.iter().map(|warning| warning.split_once("seawall.yaml").unwrap().1).collect::<Vec<_>>(),
        [
            ":1:40: storm.rules[0].groupBy: the rule does not group by `namespace`, so storms span namespaces and one \
          noisy namespace can draw in others; with a store for many replicas it makes the whole cluster one partition"
        ]
    );
}

#[test]
fn options_win_over_variables_over_the_file_over_defaults() {
    let yaml =
        "server: {listen: '127.0.0.1:1'}\ndedup: {ttl: 1m, cooldown: 2m}\nstate: {embedded: {path: file}}\n";
    let env = [
        ("SEAWALL_SERVER__LISTEN", "127.0.0.1:2"),
        ("SEAWALL_DEDUP__TTL", "3m"),
        ("SEAWALL_STATE__EMBEDDED__PATH", "variable"),
        ("SEAWALL_DEDUP__COOLDOWN", ""),
    ];
    let flags = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };
    let loaded = load(yaml, &env, flags).unwrap();
    assert_eq!(loaded.settings.listen.port(), 3);
    assert_eq!(loaded.settings.policy.ttl, 180_000);
    assert_eq!(loaded.settings.policy.cooldown, 120_000);
    assert_eq!(loaded.settings.state.to_string(), "the data directory variable");
    assert_eq!(loaded.settings.policy.retention, seawall_model::Policy::default().retention);
}

#[test]
fn variables_can_carry_lists_and_maps() {
    let env = [
        ("SEAWALL_IDENTITY__EXTRA_LABELS", "team, shard"),
        ("SEAWALL_STORM__RULES", "[{name: a, groupBy: [namespace], threshold: 3}]"),
        ("SEAWALL_CLASSIFY__ENVIRONMENTS", "{shop: production}"),
        ("SEAWALL_STORM__SAMPLE", "7"),
    ];
    let settings = load("", &env, Flags::default()).unwrap().settings;
    assert_eq!(settings.normaliser.extra_labels, ["team", "shard"]);
    assert_eq!(settings.policy.rules[0].threshold, 3);
    assert_eq!(settings.normaliser.environments["shop"], "production");
    assert_eq!(settings.policy.sample, 7);
}

#[test]
fn a_bad_variable_or_option_is_named_instead_of_a_place() {
    for (name, value, expected) in [
        (
            "SEAWALL_DEDUP__TTL",
            "5",
            "SEAWALL_DEDUP__TTL: dedup.ttl: `5` has no unit; write for example `5s` or `5m`",
        ),
        (
            "SEAWALL_DEDUP__TLL",
            "5m",
            "SEAWALL_DEDUP__TLL: matches no key; did you mean `SEAWALL_DEDUP__TTL`?",
        ),
        ("SEAWALL_FOO__BAR", "5m", "SEAWALL_FOO__BAR: matches no key of this version"),
        ("SEAWALL_STORM__SAMPLE", "x", "SEAWALL_STORM__SAMPLE: storm.sample: `x` is not a whole number"),
        (
            "SEAWALL_STORM__RULES",
            "[{nam: a}]",
            "SEAWALL_STORM__RULES: storm.rules[0].nam: unknown key; did you mean `name`?",
        ),
    ] {
        assert_eq!(load("", &[(name, value)], Flags::default()).unwrap_err(), expected);
    }
    let flags = Flags { listen: Some("here".into()), ..Flags::default() };
    assert_eq!(
        load("", &[], flags).unwrap_err(),
        "--listen: server.listen: `here` is not an IP address and a port; write for example `127.0.0.1:8080` or `[::1]:8080`"
    );
}

#[test]
fn variables_of_others_are_ignored() {
    let env =
        [("SEAWALL_PORT", "tcp://10.0.0.1:80"), ("SEAWALL_SERVICE_HOST", "10.0.0.1"), ("SEAWALL_URL", "x")];
    assert_eq!(load("", &env, Flags::default()).unwrap().config, Config::default());
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let sources = Sources { file: Some("/nonexistent/seawall.yaml".into()), ..Sources::default() };
    assert_eq!(
        sources.load().unwrap_err().to_string(),
        "/nonexistent/seawall.yaml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn text_that_looks_like_a_number_stays_as_it_was_written() {
    let config =
        Config::from_yaml("identity: {extraLabels: [1.10, 0x1F, true]}\nclassify: {environments: {7: 007}}")
            .unwrap();
    assert_eq!(config.identity.extra_labels, ["1.10", "0x1F", "true"]);
    assert_eq!(config.classify.environments["7"], "007");
}

#[test]
fn anchors_and_merges_work_and_bombs_do_not() {
    let config = Config::from_yaml(
        "storm:\n  rules:\n  - &base {name: a, groupBy: [namespace], quiet: 1m}\n  - {<<: *base, name: b}\n",
    )
    .unwrap();
    assert_eq!(config.storm.rules[1].quiet, Period::from_millis(60_000));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let item = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", "));
    }
    assert!(Config::from_yaml(&bomb).is_err());
    assert!(Config::from_yaml(&"[".repeat(100_000)).is_err());
    assert!(Config::from_yaml(&"a: {".repeat(10_000)).is_err());
}

#[test]
fn what_a_configuration_serialises_to_reads_as_the_same_configuration() {
    let config =
        Config::from_yaml("dedup: {ttl: 90s}\nstorm: {rules: [{name: a, groupBy: [node]}]}").unwrap();
    assert_eq!(Config::from_yaml(&serde_json::to_string(&config).unwrap()).unwrap(), config);
}

fn yaml_like() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        prop::sample::select(vec![
            "storm", "rules", "dedup", "ttl", "server", "limits", "name", "groupBy", "state", "kind", "null",
            "5m", "0", "-1", "1e9", "true", "~", "64MiB", "&a", "*a", "<<", "!!str", "|", ">", "\"", "'",
            "é", "\u{0}", "%",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    let glue = prop::sample::select(vec![
        ": ", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", ", ", " #", "---\n",
    ]);
    prop::collection::vec((word, glue), 0..24)
        .prop_map(|parts| parts.into_iter().map(|(word, glue)| word + glue).collect())
}

proptest! {
    #[test]
    fn reading_never_panics(text in yaml_like()) {
        if let Ok(config) = Config::from_yaml(&text) {
            let _ = config.validated(false);
        }
    }

    #[test]
    fn reading_never_panics_on_anything(text in "\\PC{0,200}") {
        let _ = Config::from_yaml(&text);
    }

    #[test]
    fn every_length_of_time_reads_as_it_is_shown(millis in 0i64..3_162_240_000_000) {
        let period = Period::from_millis(millis);
        prop_assert_eq!(Period::parse(&period.to_string()), Ok(period));
    }

    #[test]
    fn reading_units_never_panics(text in "\\PC{0,20}") {
        let _ = (Period::parse(&text), Size::parse(&text));
    }
}

#[test]
fn what_is_shown_reads_as_the_same_configuration() {
    let yaml = "dedup: {ttl: 90s}\nclassify: {environments: {'no': x, a b: y}, severity: {bad: critical}}\n\
                storm: {rules: [{name: 'a: #1', groupBy: [node]}]}\nserver: {limits: {bodyBytes: 1000}}\n";
    let loaded = load(yaml, &[("SEAWALL_STORM__SAMPLE", "7")], Flags::default()).unwrap();
    let shown = loaded.to_yaml();
    assert_eq!(Config::from_yaml(&shown).unwrap(), loaded.config, "{shown}");
}

#[test]
fn what_is_shown_says_where_it_comes_from() {
    let yaml = "dedup:\n  ttl: 90s\nstorm:\n  rules:\n  - {name: mine, groupBy: [namespace], threshold: 3}\n";
    let flags = Flags { listen: Some("127.0.0.1:1".into()), ..Flags::default() };
    let loaded = load(yaml, &[("SEAWALL_STORM__SAMPLE", "7")], flags).unwrap();
    let shown = loaded.to_yaml();
    for (line, origin) in [
        ("  listen: \"127.0.0.1:1\"  # ", "--listen"),
        ("  ttl: 1m30s  # ", "seawall.yaml:2:8"),
        ("  cooldown: 5m  # ", "default"),
        ("      threshold: 3  # ", "seawall.yaml:5:51"),
        ("      window: 1m  # ", "default"),
        ("  sample: 7  # ", "SEAWALL_STORM__SAMPLE"),
    ] {
        let found = shown.lines().find(|candidate| candidate.starts_with(line));
        assert!(found.is_some_and(|found| found.ends_with(origin)), "{line}{origin} in\n{shown}");
    }
    let json = loaded.to_json();
    assert_eq!(json["config"]["storm"]["sample"], 7);
    assert_eq!(json["origins"]["storm.sample"], "SEAWALL_STORM__SAMPLE");
    assert_eq!(json["origins"]["server.listen"], "--listen");
    assert_eq!(json["origins"].as_object().unwrap().len(), 6);
}
