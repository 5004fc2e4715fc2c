//! What Seawall tells about itself: metric families and logs.
//!
//! Everything is a value that is handed around; there are no global metrics. It must never know a store, a route or a
//! connection: whoever owns those takes typed handles from here once and counts on them, and hands in plain numbers for
//! what is read rather than counted. Labels are bounded: never a fingerprint, a resource or an address.
//!
//! `catalogue` describes every family once. What is registered, the reference, the alert rules and the dashboard take the
//! names from there.
//!
//! ```text
//! handles (counters, histograms) ──┐
//!                                  ├─► Metrics::render ─► Prometheus text format
//! StateSnapshot, read per scrape ──┘
//! ```

mod catalogue;
mod families;
mod logging;
mod metrics;
pub mod monitoring;
mod reference;
mod render;
mod state;

pub use catalogue::{FAMILIES, FamilyDescription, FamilyKind, LabelDescription};
pub use families::{
    AuthMetrics, AuthOutcome, DecisionLabel, RouteMetrics, SinkMetrics, SourceMetrics, StoreMetrics,
    StormMetrics,
};
pub use logging::{LogFormat, LoggingError, init_logging};
pub use metrics::Metrics;
pub use reference::reference;
pub use state::StateSnapshot;
