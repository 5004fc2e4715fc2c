//! From the many words for how bad it is to three.

use std::collections::BTreeMap;

use compact_str::CompactString;
use seawall_model::Severity;

/// Words in lower case and what they mean; a handful, so that comparing is faster than hashing.
#[derive(Debug)]
pub(super) struct Severities(Vec<(CompactString, Severity)>);

impl Severities {
    pub(super) fn new(words: &BTreeMap<CompactString, Severity>) -> Self {
        Self(words.iter().map(|(word, severity)| (word.to_lowercase(), *severity)).collect())
    }

    /// Words that nobody has explained are warnings.
    pub(super) fn of(&self, word: &str) -> Severity {
        if !word.is_ascii() {
            return self.find(&CompactString::from(word).to_lowercase());
        }
        self.find(word)
    }

    fn find(&self, word: &str) -> Severity {
        let known = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        known.map_or(Severity::Warning, |(_, severity)| *severity)
    }
}
