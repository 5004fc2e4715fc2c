//! Which environment a namespace belongs to.

use std::collections::BTreeMap;

use compact_str::CompactString;
use hashbrown::HashMap;

/// Beginnings of names that say what a namespace is for.
const PATTERNS: [(&str, &str); 3] = [("prod", "production"), ("staging", "staging"), ("dev", "development")];
const UNKNOWN: CompactString = CompactString::const_new("unknown");

#[derive(Debug)]
pub(super) struct Environments(HashMap<CompactString, CompactString>);

impl Environments {
    pub(super) fn new(configured: &BTreeMap<CompactString, CompactString>) -> Self {
        Self(
            configured
                .iter()
                .map(|(namespace, environment)| (namespace.clone(), environment.clone()))
                .collect(),
        )
    }

    pub(super) fn of(&self, namespace: &str) -> CompactString {
        if let Some(environment) = self.0.get(namespace) {
            return environment.clone();
        }
        let matching = PATTERNS.iter().find(|(beginning, _)| namespace.starts_with(beginning));
        matching.map_or(UNKNOWN, |(_, environment)| CompactString::const_new(environment))
    }
}
