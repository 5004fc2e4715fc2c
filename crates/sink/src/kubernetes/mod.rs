//! Requests as resources of the Kubernetes API.

mod api;
mod definition;
mod object;
mod open;
mod probe;
mod rebuild;
mod report;
mod schema;
mod watch;
mod write;

use std::time::Duration;

use backon::ExponentialBuilder;

pub(crate) use api::Objects;
pub(crate) use definition::check_definition;
pub(crate) use object::Version;
pub(crate) use probe::probe;
pub(crate) use rebuild::Rebuilder;
pub(crate) use watch::Watcher;
pub use write::NamespacePolicy;
pub(crate) use write::{Writer, Written, place_of};

/// For what has to be done sooner or later, and never given up.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times()
    .with_jitter();
