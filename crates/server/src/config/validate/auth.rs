//! The section `auth`.

use std::sync::Arc;
use std::time::Duration;

use seawall_ingest::{Identities, ReviewSettings};

use super::Check;
use crate::config::identities::read_identities;
use crate::config::tree::{Config, KubernetesAuth};

/// A review takes milliseconds. Whoever waits longer is better told to come again than kept.
const REVIEW_WITHIN: Duration = Duration::from_secs(5);

impl Check<'_> {
    /// Nothing without a file, or when it cannot be used, which is noted with the place in it.
    pub(super) fn identities(&mut self, config: &Config) -> Option<Arc<Identities>> {
        match read_identities(config.auth.identities_file.as_deref()?) {
            Ok(identities) => {
                let shows_nothing = config.server.tls.client_ca.is_none();
                for known in identities.0.iter().filter(|it| shows_nothing && it.certificate.is_some()) {
                    let name = &known.name;
                    self.warn(
                        "auth.identitiesFile",
                        &format!("`{name}` cannot show a certificate; `server.tls.clientCA` is missing"),
                    );
                }
                Some(Arc::new(identities))
            }
            Err(errors) => {
                self.errors.extend(errors.0);
                None
            }
        }
    }

    /// Nothing when the cluster is not asked who is asking.
    pub(super) fn reviews(&mut self, config: &Config) -> Option<ReviewSettings> {
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
        Some(ReviewSettings { audience: kubernetes.audience.clone(), cache_ttl, deadline })
    }
}
