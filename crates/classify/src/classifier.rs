//! Everything that is asked about a signal, together.

use std::sync::Arc;

use compact_str::CompactString;
use seawall_engine::normalise::Classify;
use seawall_model::Signal;
use seawall_telemetry::Metrics;

use crate::{Known, Policies};

/// Cheap to make: a reload makes a new one with the new policies and the same knowledge.
#[derive(Debug)]
pub struct Classifier {
    known: Arc<Known>,
    policies: Option<Arc<Policies>>,
    metrics: Arc<Metrics>,
}

impl Classifier {
    pub fn new(known: Arc<Known>, policies: Option<Arc<Policies>>, metrics: Arc<Metrics>) -> Self {
        Self { known, policies, metrics }
    }
}

impl Classify for Classifier {
    fn environment(&self, namespace: &str) -> Option<CompactString> {
        self.known.environment(namespace)
    }

    fn refine(&self, signal: &mut Signal) {
        if let Some(policies) = &self.policies {
            policies.refine(signal, |policy, outcome| self.metrics.policy_evaluation(policy, outcome));
        }
    }

    fn is_slow(&self) -> bool {
        self.policies.is_some()
    }
}
