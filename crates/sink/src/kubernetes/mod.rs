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

pub(crate) use api::Objects;
pub(crate) use definition::check_definition;
pub(crate) use object::Version;
pub(crate) use probe::probe;
pub(crate) use rebuild::Rebuilder;
pub(crate) use watch::Watcher;
pub use write::NamespacePolicy;
pub(crate) use write::{Writer, Written, place_of};
