//! What was decided about one signal.

use std::sync::Arc;

use crate::{RequestRef, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionKind {
    /// A new incident whose request exists in the sink.
    Created,
    /// A new incident whose request is durable but not in the sink yet.
    Accepted,
    /// A further signal of an open incident.
    Duplicate,
    /// A new member of a storm.
    Aggregated,
    /// The problem is over, or was never known.
    Resolved,
}

impl DecisionKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Aggregated => "aggregated",
            Self::Resolved => "resolved",
        }
    }
}

/// The outcome of deciding one signal. Every signal gets exactly one.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Decision {
    pub kind: DecisionKind,
    /// The request the signal counts on; nothing while it is held (its name is not decided) and for a resolved signal
    /// of an unknown problem.
    pub request: Option<RequestRef>,
    /// Firing signals of this incident since `first_seen`.
    pub count: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub storm: Option<StormSummary>,
    /// Name of the rule of a storm that this very signal opened.
    pub opened_storm: bool,
}

/// The storm a signal belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct StormSummary {
    pub rule: Arc<str>,
    pub storm_type: &'static str,
    pub pattern: Arc<str>,
    /// Distinct fingerprints in the storm, this one included.
    pub alert_count: u64,
}
