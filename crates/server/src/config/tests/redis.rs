//! The Redis store.

use std::time::Duration;

use seawall_store::{Credentials, RedisDurability, RedisMode, RedisOptions};

use super::{load, message};
use crate::config::{Config, Flags, Loaded, StateSettings};

fn loaded(yaml: &str) -> Loaded {
    load(yaml, &[], Flags::default()).unwrap()
}

fn options(loaded: &Loaded) -> &RedisOptions {
    match &loaded.settings.state {
        StateSettings::Redis(options) => options,
        embedded @ StateSettings::Embedded { .. } => panic!("{embedded} instead of Redis"),
    }
}

/// A section `redis` with these lines in it, each on a line of its own from the fourth on.
fn section(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("state:\n  kind: redis\n  redis:\n{lines}")
}

/// What is warned about, without file, line and column.
fn warnings(loaded: &Loaded) -> Vec<&str> {
    loaded.warnings.iter().map(|warning| &warning[warning.find("state.").unwrap()..]).collect()
}

#[test]
fn one_address_is_enough() {
    let loaded = loaded(&section(&["urls: [redis://redis:6379]"]));
    assert_eq!(options(&loaded), &RedisOptions::standalone("redis://redis:6379"));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.settings.state.to_string(), "Redis at redis://redis:6379");
}

#[test]
fn every_key_reaches_the_store() {
    let yaml = "server: {timeouts: {request: 20s}}\n".to_owned()
        + &section(&[
            "urls: ['rediss://node-0:7000', 'rediss://node-1:7000']",
            "mode: sentinel",
            "sentinelMaster: mymaster",
            "username: seawall",
            "passwordFile: /etc/seawall/password",
            "tlsCa: /etc/seawall/ca.pem",
            "keyPrefix: alerts",
            "timeout: 2s",
            "connections: 8",
            "durability: wait",
            "waitReplicas: 2",
            "waitTimeout: 3s",
            "publishLease: 30s",
        ]);
    let loaded = loaded(&yaml);
    let expected = RedisOptions {
        urls: vec!["rediss://node-0:7000".to_owned(), "rediss://node-1:7000".to_owned()],
        mode: RedisMode::Sentinel { master: "mymaster".to_owned() },
        key_prefix: "alerts".to_owned(),
        credentials: Credentials {
            username: Some("seawall".to_owned()),
            password_file: Some("/etc/seawall/password".into()),
        },
        tls_ca: Some("/etc/seawall/ca.pem".into()),
        timeout: Duration::from_secs(2),
        connections: 8,
        durability: RedisDurability::Wait { replicas: 2, timeout: Duration::from_secs(3) },
        lease: Duration::from_secs(30),
        look: RedisOptions::standalone("").look,
        remember_answers: Duration::from_secs(40),
    };
    assert_eq!(options(&loaded), &expected);
    assert_eq!(
        loaded.settings.state.to_string(),
        "Redis `mymaster` of the Sentinels at rediss://node-0:7000, rediss://node-1:7000"
    );
}

#[test]
fn replicas_look_around_at_least_once_in_a_lease() {
    let short = loaded(&section(&["urls: [redis://redis]", "publishLease: 3s"]));
    assert_eq!(options(&short).look, Duration::from_secs(3));
}

#[test]
fn variables_carry_every_key_and_lists_with_commas() {
    let env = [
        ("SEAWALL_STATE__KIND", "redis"),
        ("SEAWALL_STATE__REDIS__URLS", "redis://a:7000, redis://b:7000"),
        ("SEAWALL_STATE__REDIS__MODE", "cluster"),
        ("SEAWALL_STATE__REDIS__PASSWORD_FILE", "/run/secrets/redis"),
        ("SEAWALL_STATE__REDIS__DURABILITY", "aof"),
        ("SEAWALL_STATE__REDIS__WAIT_TIMEOUT", "500ms"),
    ];
    let loaded = load("", &env, Flags::default()).unwrap();
    let options = options(&loaded);
    assert_eq!(options.urls, ["redis://a:7000", "redis://b:7000"]);
    assert_eq!(options.mode, RedisMode::Cluster);
    assert_eq!(options.durability, RedisDurability::Aof { timeout: Duration::from_millis(500) });
    assert_eq!(options.credentials.password_file, Some("/run/secrets/redis".into()));
}

#[test]
fn addresses_that_cannot_work_are_refused_with_what_to_write() {
    const ONE: &str = "urls: [redis://redis:6379]";
    for (lines, expected) in [
        (
            &[][..],
            "2:3: state.redis.urls: `state.kind: redis` needs an address, for example `[redis://redis:6379]`",
        ),
        (
            &["mode: cluster"],
            "4:5: state.redis.urls: `mode: cluster` needs addresses of some nodes, for example `[redis://node-0:6379]`",
        ),
        (
            &["urls: [redis://a, redis://b]"],
            "4:11: state.redis.urls: there are 2 addresses, but a server by itself has one; set `state.redis.mode` to \
             `sentinel` or `cluster`, or leave one address",
        ),
        (
            &["urls: [http://a]"],
            "4:12: state.redis.urls[0]: `http://a` is not an address of Redis or Valkey; write for example \
             `redis://redis:6379`, or with TLS `rediss://redis:6379`",
        ),
        (&["urls: ['redis://:6379']"], "4:12: state.redis.urls[0]: `redis://:6379` has no host"),
        (
            &["urls: [redis://a/1]", "mode: cluster"],
            "4:12: state.redis.urls[0]: chooses a database, but a cluster has only one; leave it out",
        ),
        (
            &["urls: [redis://a, rediss://b]", "mode: cluster"],
            "4:23: state.redis.urls[1]: differs from the first address in using TLS; write all with `redis://` or all \
             with `rediss://`",
        ),
        (
            &["urls: ['redis://:x@a', redis://b]", "mode: cluster"],
            "4:28: state.redis.urls[1]: has another user, password or database than the first address; write them alike",
        ),
        (
            &["urls: [redis://a]", "mode: sentinel", "sentinelMaster: main"],
            "4:12: state.redis.urls[0]: has no port; the addresses are those of the Sentinels, which usually listen on \
             26379",
        ),
        (
            &["urls: ['redis://app:secret@a']", "username: other"],
            "4:12: state.redis.urls[0]: names a user, and so does `state.redis.username`; leave one of them out",
        ),
        (
            &["urls: ['redis://:secret@a']", "passwordFile: /p"],
            "4:12: state.redis.urls[0]: has a password in it, and there is `state.redis.passwordFile`; take it out of \
             the address",
        ),
        (&[ONE, "username: ''"], "5:15: state.redis.username: a name is expected, not empty text"),
        (&[ONE, "passwordFile: ''"], "5:19: state.redis.passwordFile: a file is expected, not empty text"),
        (
            &[ONE, "tlsCa: /ca.pem"],
            "5:12: state.redis.tlsCa: is for TLS, but the addresses are `redis://`; write `rediss://`",
        ),
    ] {
        assert_eq!(message(&section(lines)), format!("seawall.yaml:{expected}"));
    }
}

#[test]
fn keys_that_do_not_go_together_are_refused() {
    const ONE: &str = "urls: ['redis://redis:6379']";
    for (lines, expected) in [
        (
            &[ONE, "mode: sentinel"][..],
            "state.redis.sentinelMaster: `mode: sentinel` needs the name by which the Sentinels know the primary, for \
             example `mymaster`",
        ),
        (
            &[ONE, "sentinelMaster: main"],
            "state.redis.sentinelMaster: is only for `mode: sentinel`; set `state.redis.mode`, or leave it out",
        ),
        (
            &[ONE, "waitReplicas: 2"],
            "state.redis.waitReplicas: is only for `durability: wait`; set `state.redis.durability`, or leave it out",
        ),
        (
            &[ONE, "durability: aof", "waitReplicas: 2"],
            "state.redis.waitReplicas: is only for `durability: wait`; set `state.redis.durability`, or leave it out",
        ),
        (
            &[ONE, "waitTimeout: 2s"],
            "state.redis.waitTimeout: is only for `durability: wait` or `aof`; set `state.redis.durability`, or leave it \
             out",
        ),
        (
            &[ONE, "timeout: 15s", "publishLease: 1m"],
            "state.redis.timeout: 15s must be shorter than `server.timeouts.request` (15s), within which senders are \
             answered",
        ),
        (
            &[ONE, "durability: wait", "waitTimeout: 14s"],
            "state.redis.waitTimeout: `timeout` (1s) and `waitTimeout` (14s) together must be shorter than \
             `server.timeouts.request` (15s), within which senders are answered",
        ),
        (
            &[ONE, "publishLease: 1s"],
            "state.redis.publishLease: 1s must be longer than `state.redis.timeout` (1s), or it ends while a call is on \
             its way",
        ),
        (&[ONE, "keyPrefix: ''"], "state.redis.keyPrefix: text is expected, for example `seawall`"),
        (
            &[ONE, "keyPrefix: 'a{b}'"],
            "state.redis.keyPrefix: must not contain '{', which means something else in keys",
        ),
        (
            &[ONE, "keyPrefix: 'a b'"],
            "state.redis.keyPrefix: must not contain ' ', which means something else in keys",
        ),
        (&[ONE, "connections: 0"], "state.redis.connections: must be at least 1"),
        (&[ONE, "connections: 1000"], "state.redis.connections: 1000 is too many; at most 128"),
        (&[ONE, "timeout: 0s"], "state.redis.timeout: must be longer than zero"),
        (&[ONE, "publishLease: 0s"], "state.redis.publishLease: must be longer than zero"),
        (&[ONE, "durability: wait", "waitReplicas: 0"], "state.redis.waitReplicas: must be at least 1"),
        (&[ONE, "durability: aof", "waitTimeout: 0s"], "state.redis.waitTimeout: must be longer than zero"),
    ] {
        let said = message(&section(lines));
        assert_eq!(said.split_once(": ").unwrap().1, expected);
    }
    let long = format!("keyPrefix: {}", "x".repeat(65));
    assert!(message(&section(&[ONE, &long])).ends_with("state.redis.keyPrefix: has 65 bytes; at most 64"));
}

#[test]
fn sentinels_may_have_a_login_of_their_own() {
    let loaded = loaded(&section(&[
        "urls: ['redis://watcher:s3cret@a:26379']",
        "mode: sentinel",
        "sentinelMaster: main",
        "username: seawall",
        "passwordFile: /etc/seawall/password",
    ]));
    assert_eq!(
        warnings(&loaded),
        ["state.redis.urls[0]: has the Sentinels' password in it; let nobody read it who need not"]
    );
}

#[test]
fn a_password_in_an_address_is_warned_about_and_never_shown() {
    let loaded = loaded(&section(&["urls: ['redis://app:s3cret@redis:6379/2']"]));
    assert_eq!(
        warnings(&loaded),
        [
            "state.redis.urls[0]: has a password in it, where others may read it; put it into a file and name that with \
          `state.redis.passwordFile`"
        ]
    );
    assert_eq!(options(&loaded).urls, ["redis://app:s3cret@redis:6379/2"]);
    assert_eq!(loaded.settings.state.to_string(), "Redis at redis://redis:6379/2");
    for shown in [
        loaded.to_yaml(),
        loaded.to_json().to_string(),
        loaded.warnings.join(" "),
        format!("{loaded:?}"),
        loaded.settings.state.to_string(),
    ] {
        assert!(shown.contains("redis") && !shown.contains("s3cret"), "{shown}");
    }
    assert!(loaded.to_yaml().contains("redis://***@redis:6379/2"), "{}", loaded.to_yaml());
}

#[test]
fn a_password_is_not_shown_by_mistakes_either() {
    for yaml in [
        section(&["urls: redis://:s3cret@redis"]),
        section(&["urls: [[redis://:s3cret@redis]]"]),
        section(&["urls: ['redis://:s3cret@redis:port']"]),
        section(&["urls: ['redis://:s3cret@']"]),
        section(&["timeout: redis://:s3cret@redis"]),
        section(&["mode: redis://:s3cret@redis"]),
        section(&["'redis://:s3cret@redis': yes"]),
        section(&["urls: [redis://:s3cret@redis", "mode: cluster"]),
    ] {
        let said = message(&yaml);
        assert!(!said.contains("s3cret"), "{said}");
    }
    let env = [("SEAWALL_STATE__KIND", "redis"), ("SEAWALL_STATE__REDIS__URLS", "redis://:s3cret@a/x,b")];
    let said = load("", &env, Flags::default()).unwrap_err();
    assert!(said.contains("SEAWALL_STATE__REDIS__URLS") && !said.contains("s3cret"), "{said}");
}

#[test]
fn a_changed_password_is_a_changed_key() {
    let config = |url: &str| Config::from_yaml(&section(&[&format!("urls: ['{url}']")])).unwrap();
    let (one, other) = (config("redis://:one@redis"), config("redis://:two@redis"));
    assert_eq!(one.keys_that_differ(&other), ["state.redis.urls"]);
    assert_eq!(one.keys_that_differ(&one), Vec::<String>::new());
}

#[test]
fn what_is_configured_for_the_other_store_is_warned_about() {
    let yaml = "state: {redis: {urls: ['redis://redis']}}";
    assert_eq!(warnings(&loaded(yaml)), ["state.redis.urls: is not used; `state.kind: redis` is missing"]);
    let flags = Flags { data_dir: Some("data".into()), ..Flags::default() };
    let with_directory = load(&section(&["urls: [redis://redis]"]), &[], flags).unwrap();
    assert_eq!(
        with_directory.warnings,
        [
            "--data-dir: state.embedded.path: is not used with `state.kind: redis`, which keeps nothing on this disk"
        ]
    );
}

#[test]
fn a_rule_across_namespaces_makes_one_partition_and_that_is_said() {
    let yaml = section(&["urls: [redis://redis]"]) + "storm: {rules: [{name: nodes, groupBy: [node]}]}";
    let loaded = loaded(&yaml);
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert!(warning.ends_with(
        "storm.rules[0].groupBy: the rule does not group by `namespace`, so storms span namespaces and one noisy \
         namespace can draw in others; with the Redis store it makes the whole cluster one partition, whose alerts are \
         decided one after the other"
    ));
}

#[test]
fn what_is_shown_of_it_reads_as_the_same_configuration() {
    let loaded = loaded(&section(&["urls: ['redis://redis:6379']", "keyPrefix: a", "durability: aof"]));
    let again = load(&loaded.to_yaml(), &[], Flags::default()).unwrap();
    assert_eq!(again.config, loaded.config);
    assert_eq!(again.warnings, Vec::<String>::new());
}
