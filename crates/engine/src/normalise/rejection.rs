//! Why something does not become a signal.

use compact_str::CompactString;

use super::{MAX_LABELS, MAX_PART};

/// Why one alert or event cannot be taken; a sentence for the person who sends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the alert has no name: give it a label `alertname` that is not empty")]
    NoName,
    #[error("the event has no `reason`, which is its name")]
    NoReason,
    #[error(
        "the event does not say what it is about: `involvedObject` (or `regarding`) needs `kind` and `name`"
    )]
    NoObject,
    #[error("the {part} has {bytes} bytes and {MAX_PART} are taken: shorten it where it is defined")]
    TooLong { part: &'static str, bytes: usize },
    #[error("the alert has {labels} labels and {MAX_LABELS} are taken: drop those that are not needed")]
    TooManyLabels { labels: usize },
    #[error("it has {bytes} bytes and {limit} are taken: shorten its annotations")]
    TooLarge { bytes: usize, limit: usize },
    #[error("it is not what the format says: {problem}")]
    Malformed { problem: Box<str> },
}

impl Rejection {
    /// The reason for metrics and programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoName => "no_name",
            Self::NoReason => "no_reason",
            Self::NoObject => "no_object",
            Self::TooLong { .. } => "too_long",
            Self::TooManyLabels { .. } => "too_many_labels",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// Nothing is wrong with it; it reports no problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events of type `{event_type}` report no problem, only `Warning` and `Error` do")]
pub struct Suppressed {
    pub event_type: CompactString,
}

/// Why something does not become a signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Suppressed(#[from] Suppressed),
    #[error(transparent)]
    Rejected(#[from] Rejection),
}
