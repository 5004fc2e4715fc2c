//! What ships for those who watch over Seawall: alert rules, the same for the Prometheus Operator, and a dashboard.
//!
//! Pure texts, made from the names in `catalogue`. They are checked in under `deploy/`, where a test compares them.

mod dashboard;
mod rules;
mod text;

pub use dashboard::dashboard;
pub use rules::{Rule, Severity, rules};
pub use text::{prometheus_rule, rules_file};

/// Refusals of a sink that time does not cure: somebody has to change something.
pub(crate) const REFUSALS: [&str; 5] =
    ["forbidden", "foreign_manager", "invalid", "kind_missing", "unauthorized"];

/// Reasons of rejected signals that have an alert of their own, or that the sender repeats: nothing is lost.
const NOT_THE_SENDERS_FAULT: [&str; 4] = ["internal", "not_durable", "not_reviewed", "rate_limited"];

/// Where the runbook is, until somebody says where they serve it.
pub const RUNBOOK: &str = "docs/runbook.md";
