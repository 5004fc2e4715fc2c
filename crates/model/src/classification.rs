//! Severity, and the two tables that turn it into priority and remediation path.

use serde::{Deserialize, Serialize};

/// Ordered from harmless to worst, so that `max` is "the worst one seen".
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    #[default]
    Warning,
    Critical,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// `P0` is the most urgent.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
pub enum Priority {
    P0,
    P1,
    P2,
    P3,
}

impl Priority {
    pub const ALL: [Self; 4] = [Self::P0, Self::P1, Self::P2, Self::P3];

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
        }
    }
}

#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RemediationPath {
    Aggressive,
    Moderate,
    Conservative,
    Manual,
}

impl RemediationPath {
    pub const ALL: [Self; 4] = [Self::Aggressive, Self::Moderate, Self::Conservative, Self::Manual];

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aggressive => "aggressive",
            Self::Moderate => "moderate",
            Self::Conservative => "conservative",
            Self::Manual => "manual",
        }
    }
}

/// How urgent a signal of this severity is in this environment.
pub fn priority_of(severity: Severity, environment: &str) -> Priority {
    use Priority::{P0, P1, P2, P3};
    let [production, staging, development, other] = match severity {
        Severity::Critical => [P0, P1, P2, P1],
        Severity::Warning => [P1, P2, P2, P2],
        Severity::Info => [P2, P2, P2, P3],
    };
    match environment {
        "production" => production,
        "staging" => staging,
        "development" => development,
        _ => other,
    }
}

/// How boldly a remediator may act on a request of this priority in this environment.
pub fn remediation_path_of(environment: &str, priority: Priority) -> RemediationPath {
    use RemediationPath::{Aggressive, Conservative, Manual, Moderate};
    let [p0, p1, p2, p3] = match environment {
        "production" => [Aggressive, Conservative, Conservative, Manual],
        "staging" => [Moderate, Moderate, Manual, Manual],
        "development" => [Aggressive, Moderate, Manual, Manual],
        "unknown" => [Conservative, Conservative, Conservative, Manual],
        _ => [Moderate, Moderate, Conservative, Manual],
    };
    match priority {
        Priority::P0 => p0,
        Priority::P1 => p1,
        Priority::P2 => p2,
        Priority::P3 => p3,
    }
}
