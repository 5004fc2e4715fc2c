//! The sample configuration works as it is, and with everything that is offered in comments.

use seawall_server::config::{Config, Flags, Sources};

fn sample() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/seawall.yaml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_sample_configuration_is_valid_without_warnings() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/seawall.yaml");
    let sources = Sources { file: Some(path.into()), env: Vec::new(), flags: Flags::default() };
    let loaded = sources.load().unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.settings.policy, seawall_model::Policy::default());
}

#[test]
fn the_opt_in_rules_of_the_sample_are_valid() {
    let enabled: String = sample()
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
