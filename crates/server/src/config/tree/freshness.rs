//! The section `freshness`.

use schemars::JsonSchema;
use seawall_ingest::Freshness;
use serde::{Deserialize, Serialize};

use crate::config::units::Period;

/// Whether senders have to say when they sent, so that nobody sends again later what was overheard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "Freshness")]
pub struct FreshnessSection {
    /// Whether webhooks need the header `X-Timestamp`: Unix seconds or an RFC 3339 time. Without one, with one that is no time,
    /// and outside of the limits below a body is answered 400. Alertmanager and Prometheus cannot send it; a proxy in front may.
    pub required: bool,
    /// How old it may be.
    pub max_age: Period,
    /// How far ahead of our clock it may be.
    pub max_skew: Period,
}

impl Default for FreshnessSection {
    fn default() -> Self {
        let Freshness { max_age, max_skew } = Freshness::default();
        Self { required: false, max_age: max_age.into(), max_skew: max_skew.into() }
    }
}
