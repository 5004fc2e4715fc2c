//! How far the work on a request has come, as far as deciding is concerned.

use serde::{Deserialize, Serialize};

/// The classes of `status.overallPhase` that make a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Empty or `Pending`: nobody is working on it, silence alone decides.
    #[default]
    Waiting,
    /// `Processing` or `Analyzing`: taken up, nothing executed yet.
    Studied,
    /// Anything later, and any name that is not known: still open, and no longer ours to turn into a storm.
    Acting,
    /// Terminal: the incident is released.
    Finished,
}

impl Phase {
    /// Names are compared without case, spaces, `-` and `_`.
    pub fn parse(name: &str) -> Self {
        let folded: String =
            name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
        match folded.as_str() {
            "" | "pending" => Self::Waiting,
            "processing" | "analyzing" | "analysing" => Self::Studied,
            "completed" | "failed" | "timedout" | "timeout" | "skipped" | "cancelled" | "canceled" => {
                Self::Finished
            }
            _ => Self::Acting,
        }
    }

    /// Whether a storm may still make this request its own.
    pub const fn is_early(self) -> bool {
        matches!(self, Self::Waiting | Self::Studied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_compared_without_case_spaces_and_dashes() {
        for name in ["TimedOut", "timed out", "TIMED_OUT", "timed-out", "Timeout", "Canceled"] {
            assert_eq!(Phase::parse(name), Phase::Finished, "{name}");
        }
        assert_eq!(Phase::parse(" pending "), Phase::Waiting);
        assert_eq!(Phase::parse("Analysing"), Phase::Studied);
        assert_eq!(Phase::parse("Levitating"), Phase::Acting);
    }
}
