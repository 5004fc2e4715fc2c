//! What Seawall notes about a request on its resource, beside the spec.

/// `namespace/name` of the request that a resource shows, where it is not the resource's own.
pub const REQUEST: &str = "remediation.kubernaut.io/request";
/// [`RequestState::epoch`](crate::RequestState).
pub const EPOCH: &str = "remediation.kubernaut.io/epoch";
/// [`RequestState::sequence`](crate::RequestState).
pub const SEQUENCE: &str = "remediation.kubernaut.io/sequence";
/// The label that names the namespace that a request would be in if it could.
pub const ORIGIN: &str = "kubernaut.io/origin-namespace";
