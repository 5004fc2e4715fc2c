//! The sample configurations work as they are, and with everything that is offered in comments.

use std::path::PathBuf;

use seawall_server::config::{Config, Flags, Loaded, Settings, Sources, StateSettings};
use seawall_store::{RedisMode, RedisOptions};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn sample(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn loaded(name: &str) -> Loaded {
    let sources = Sources { file: Some(path(name)), env: Vec::new(), flags: Flags::default() };
    let loaded = sources.load().unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    loaded
}

#[test]
fn the_sample_configuration_is_valid_without_warnings() {
    assert_eq!(loaded("seawall.yaml").settings.policy, seawall_model::Policy::default());
}

fn redis(settings: &Settings) -> &RedisOptions {
    match &settings.state {
        StateSettings::Redis(options) => options,
        other @ StateSettings::Embedded { .. } => panic!("{other:?}"),
    }
}

/// The key of a line `key: value`; nothing for prose.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.trim_start().split_once(": ")?;
    key.chars().all(|c| c.is_ascii_alphanumeric()).then_some(key)
}

#[test]
fn the_sample_for_redis_is_valid_with_everything_it_offers() {
    let shipped = loaded("redis.yaml").settings;
    assert_eq!(redis(&shipped).mode, RedisMode::Standalone);
    let text = sample("redis.yaml");
    let mut offered = Vec::new();
    for block in text.split("\n\n").filter(|block| block.starts_with("    # ")) {
        let offer: Vec<&str> = block
            .lines()
            .filter_map(|line| line.strip_prefix("    # "))
            .filter(|line| key(line).is_some())
            .collect();
        // What is offered stands in for what the sample has.
        let kept = text.lines().filter(|line| !offer.iter().any(|offered| key(offered) == key(line)));
        let yaml: String = kept.map(|line| format!("{line}\n")).collect();
        let yaml = offer.iter().fold(yaml, |yaml, line| format!("{yaml}    {line}\n"));
        let settings = Config::from_yaml(&yaml).unwrap().validated(false).unwrap();
        let options = redis(&settings);
        offered.push(format!("{}, {:?}", settings.state, options.durability));
    }
    assert_eq!(
        offered,
        [
            "Redis at rediss://redis:6379, Memory",
            "Redis `mymaster` of the Sentinels at redis://sentinel-0:26379, redis://sentinel-1:26379, \
             redis://sentinel-2:26379, Memory",
            "the Redis cluster at redis://node-0:6379, redis://node-1:6379, redis://node-2:6379, Memory",
            "Redis at redis://redis:6379, Wait { replicas: 1, timeout: 1s }",
            "Redis at redis://redis:6379, Aof { timeout: 1s }",
        ]
    );
}

#[test]
fn the_opt_in_rules_of_the_sample_are_valid() {
    let enabled: String = sample("seawall.yaml")
        .lines()
        .map(|line| match line.trim_start().strip_prefix("# ") {
            Some(rest) if rest.starts_with("- name:") || rest.starts_with("  ") => {
                line.replacen("# ", "", 1) + "\n"
            }
            _ => line.to_owned() + "\n",
        })
        .collect();
    let settings = Config::from_yaml(&enabled).unwrap().validated(false).unwrap();
    let names: Vec<&str> = settings.policy.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["namespace-rate", "namespace-flood", "node-cascade", "cluster-flood"]);
}
