//! Looking at the state store before, or while, a server uses it.
//!
//! It changes nothing and keeps nobody out; what it finds is for people to act on.

mod embedded;

use seawall_model::Field;
pub use seawall_store::doctor::{Finding, Level};

use crate::config::{Settings, StateSettings};

/// What is to be known about the state store that `settings` name, the most basic things first.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    match &settings.state {
        StateSettings::Embedded { path } => embedded::examine(path),
        StateSettings::Redis(options) => {
            let mut findings = seawall_store::doctor::examine(options).await;
            if settings.policy.rules.iter().any(|rule| !rule.group_by.contains(&Field::Namespace)) {
                findings.push(Finding {
                    level: Level::Warning,
                    what: "a storm rule does not group by `namespace`, so the whole cluster is one partition"
                        .to_owned(),
                    advice: Some(
                        "group it by `namespace`, too, unless its storms shall span namespaces".to_owned(),
                    ),
                });
            }
            findings
        }
    }
}
