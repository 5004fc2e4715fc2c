//! The section `auth`.

use std::time::Duration;

use seawall_ingest::ReviewSettings;
use seawall_model::Policy;

use super::Check;
use crate::config::tree::{Config, KubernetesAuth};

/// A review takes milliseconds. Whoever waits longer is better told to come again than kept.
const REVIEW_WITHIN: Duration = Duration::from_secs(5);

impl Check<'_> {
    /// Nothing when nobody is asked who they are.
    pub(super) fn auth(&mut self, config: &Config, policy: &Policy) -> Option<ReviewSettings> {
        let kubernetes = &config.auth.kubernetes;
        if kubernetes.audience.as_deref().is_some_and(|audience| audience.trim().is_empty()) {
            self.fail("auth.kubernetes.audience", "a name is expected, not empty text");
        }
        let cache_ttl = self.lasting(kubernetes.cache_ttl, "auth.kubernetes.cacheTtl").into();
        if !kubernetes.is_enabled() {
            let unused = KubernetesAuth { enabled: kubernetes.enabled, ..KubernetesAuth::default() };
            if *kubernetes != unused {
                self.warn("auth.kubernetes", "is not used; `enabled: true` is missing");
            }
            return None;
        }
        // What comes after the review needs time too, and both happen after the body has been read.
        let deadline = REVIEW_WITHIN.min(Duration::from(config.server.timeouts.request) / 2);
        Some(ReviewSettings {
            audience: kubernetes.audience.clone(),
            cache_ttl,
            deadline,
            fallback_namespace: policy.fallback_namespace.clone(),
        })
    }
}
