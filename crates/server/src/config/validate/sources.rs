//! The section `sources`.

use std::time::Duration;

use seawall_ingest::EventSettings;

use super::Check;
use crate::config::tree::{KubernetesEvents, SignalSources};

const LEASE: &str = "sources.kubernetesEvents.lease";

impl Check<'_> {
    /// Nothing when events are not watched.
    pub(super) fn sources(&mut self, sources: &SignalSources) -> Option<EventSettings> {
        let events = &sources.kubernetes_events;
        let lease = Duration::from(events.lease);
        if lease < EventSettings::SHORTEST || lease.subsec_nanos() != 0 {
            let message = format!(
                "{} is not taken; a lease lasts whole seconds, at least {}",
                events.lease,
                EventSettings::SHORTEST.as_secs()
            );
            self.fail(LEASE, message);
        }
        if !events.enabled && *events != KubernetesEvents::default() {
            self.warn("sources.kubernetesEvents", "is not used; `enabled: true` is missing");
        }
        events.enabled.then_some(EventSettings { lease })
    }
}
