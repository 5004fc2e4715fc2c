//! What is known about a signal's class beside the tables.

use std::fmt;

use compact_str::CompactString;
use seawall_model::Signal;

/// The longest name of an environment, in bytes: it is the value of a label of requests.
const MAX_ENVIRONMENT: usize = 63;

/// Asked about every signal, on the path of every alert. Without it the tables decide alone.
///
/// A trait, so that whoever knows (labels of namespaces, policies) may use what this crate must not link; what it is given
/// and may say is plain data, and it must not wait for anything.
pub trait Classify: fmt::Debug + Send + Sync {
    /// The environment that somebody has set down for a namespace. Comes before the table and the patterns; what is no
    /// name of an environment ([`is_environment`]) counts as not set.
    fn environment(&self, namespace: &str) -> Option<CompactString>;

    /// Has the last word about a signal that is complete.
    fn refine(&self, signal: &mut Signal);

    /// Whether [`Self::refine`] takes longer than everything else that is done to a signal.
    fn is_slow(&self) -> bool;
}

/// Whether a text can be the name of an environment: 1 to 63 bytes, nothing that terminals obey.
pub fn is_environment(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ENVIRONMENT && !text.chars().any(char::is_control)
}
