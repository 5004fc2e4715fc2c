//! The way out of Seawall: requests as resources of the Kubernetes API.
//!
//! Makes the cluster equal to what the state store says should exist, and tells the store what others do there. It must
//! never decide anything about alerts, write the status of a request, take fields from another field manager, make an object
//! again that somebody deleted, or have two writers for one object.
//!
//! ```text
//! StateStore::unpublished ─► publisher: coalesce, back off, breaker ─► kubernetes: apply, look ─► StateStore::placed
//! StateStore::patch_status, deleted ◄── kubernetes: watch
//! StateStore::incomplete ─► kubernetes: list ─► StateStore::adopt
//! StateStore::placements ─► existing: who waits for a 201
//! ```

mod existing;
mod kubernetes;
mod places;
mod publisher;
mod settings;
mod sink;
mod status;

pub use kubernetes::NamespacePolicy;
pub use settings::{KubernetesSettings, PublishSettings};
pub use sink::KubernetesSink;
