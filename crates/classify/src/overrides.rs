//! Environments that are written down in a ConfigMap.

use std::collections::{BTreeMap, HashMap};

use compact_str::CompactString;
use seawall_engine::normalise::is_environment;
use seawall_model::matches_pattern;

/// The entry that holds patterns. A ConfigMap's keys allow no asterisk, and a namespace's name has no dot.
const PATTERNS: &str = "patterns.yaml";

/// What a ConfigMap says: a namespace and its environment in each entry, and patterns in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    namespaces: HashMap<CompactString, CompactString>,
    /// The longest first: it says most.
    patterns: Vec<(CompactString, CompactString)>,
}

impl Overrides {
    /// The environment of a namespace: by its name, else by the longest pattern that matches.
    pub fn of(&self, namespace: &str) -> Option<CompactString> {
        let by_name = self.namespaces.get(namespace);
        let by_pattern = || self.patterns.iter().find(|(pattern, _)| matches_pattern(pattern, namespace));
        by_name.or_else(|| by_pattern().map(|(_, environment)| environment)).cloned()
    }

    /// How many namespaces and patterns are written down.
    pub fn len(&self) -> usize {
        self.namespaces.len() + self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries of the ConfigMap say now, and what is wrong with them, one sentence each. An entry that makes no sense
    /// is left out; patterns that cannot be read leave the old ones as they are.
    #[must_use]
    pub fn updated<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a (impl AsRef<str> + 'a, impl AsRef<str> + 'a)>,
    ) -> (Self, Vec<String>) {
        let mut updated = Self::default();
        let mut complaints = Vec::new();
        for (key, value) in entries {
            let (key, value) = (key.as_ref(), value.as_ref());
            if key == PATTERNS {
                updated.patterns = patterns(value, &mut complaints).unwrap_or_else(|| self.patterns.clone());
            } else if let Some(environment) = usable(key, value, &mut complaints) {
                updated.namespaces.insert(key.into(), environment);
            }
        }
        (updated, complaints)
    }
}

/// Nothing when the text cannot be read.
fn patterns(text: &str, complaints: &mut Vec<String>) -> Option<Vec<(CompactString, CompactString)>> {
    let read: Option<BTreeMap<String, String>> = match serde_saphyr::from_str(text) {
        Ok(read) => read,
        Err(error) => {
            complaints.push(format!("{PATTERNS} is no map of patterns and environments: {error}"));
            return None;
        }
    };
    let mut patterns: Vec<(CompactString, CompactString)> = Vec::new();
    for (pattern, environment) in read.unwrap_or_default() {
        if let Some(environment) = usable(&pattern, &environment, complaints) {
            patterns.push((pattern.into(), environment));
        }
    }
    patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
    Some(patterns)
}

fn usable(name: &str, environment: &str, complaints: &mut Vec<String>) -> Option<CompactString> {
    let environment = environment.trim();
    if is_environment(environment) {
        return Some(environment.into());
    }
    complaints.push(format!("`{name}`: the name of an environment has 1 to 63 bytes, on one line"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> (Overrides, Vec<String>) {
        Overrides::default().updated(entries)
    }

    #[test]
    fn a_name_comes_before_patterns_and_a_long_pattern_before_a_short_one() {
        let entries = [
            ("shop-1", "production"),
            (PATTERNS, "\"*\": other\nshop-*: staging\nshop-eu-*: canary\n'*-test': development\n"),
        ];
        let (overrides, complaints) = read(&entries);
        assert_eq!((overrides.len(), complaints.len()), (5, 0), "{complaints:?}");
        for (namespace, environment) in [
            ("shop-1", "production"),
            ("shop-2", "staging"),
            ("shop-eu-1", "canary"),
            ("web-test", "development"),
            ("web", "other"),
            ("", "other"),
        ] {
            assert_eq!(overrides.of(namespace).unwrap(), environment, "{namespace}");
        }
        assert_eq!(read(&entries[..1]).0.of("shop-2"), None);
    }

    #[test]
    fn an_entry_that_makes_no_sense_is_named_and_harms_no_other() {
        let long = "x".repeat(64);
        let entries =
            [("a", ""), ("b", long.as_str()), ("c", " production\n"), (PATTERNS, "d*: ''\ne*: staging")];
        let (overrides, complaints) = read(&entries);
        assert_eq!(
            ["a", "b", "c", "d1", "e1"].map(|name| overrides.of(name)),
            [None, None, Some("production".into()), None, Some("staging".into())]
        );
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints[0].starts_with("`a`: "), "{complaints:?}");
    }

    #[test]
    fn patterns_that_cannot_be_read_leave_the_old_ones_as_they_are() {
        let (before, _) = read(&[(PATTERNS, "shop-*: staging")]);
        let (after, complaints) = before.updated(&[(PATTERNS, "shop-*: ["), ("web", "production")]);
        assert_eq!(after.of("shop-1").unwrap(), "staging");
        assert_eq!(after.of("web").unwrap(), "production");
        assert!(complaints[0].starts_with("patterns.yaml is no map"), "{complaints:?}");
        let nothing: [(&str, &str); 0] = [];
        assert!(after.updated(&nothing).0.is_empty(), "what is no longer there is gone");
    }
}
