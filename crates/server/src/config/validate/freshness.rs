//! The section `freshness`.

use std::time::Duration;

use seawall_ingest::Freshness;

use super::Check;
use crate::config::tree::FreshnessSection;

impl Check<'_> {
    pub(super) fn freshness(&mut self, written: &FreshnessSection) -> Option<Freshness> {
        let max_age = Duration::from(self.lasting(written.max_age, "freshness.maxAge"));
        let max_skew = Duration::from(written.max_skew);
        written.required.then_some(Freshness { max_age, max_skew })
    }
}
