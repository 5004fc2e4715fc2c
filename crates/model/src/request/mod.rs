//! The `RemediationRequest`: the thing that costs money downstream.

mod build;
mod phase;
mod spec;

pub use build::{Affected, RequestDoc, RequestState, StormState, build_request};
pub use phase::Phase;
pub use spec::{
    AffectedResource, Deduplication, RemediationRequest, RemediationRequestSpec, RemediationRequestStatus,
    StormAggregation, TargetResource, TimeoutConfig,
};

/// The custom resource definition as YAML, generated from the types.
pub fn crd_yaml() -> Result<String, serde_json::Error> {
    use kube::CustomResourceExt;
    // JSON is YAML; the pretty form is what `kubectl apply -f` and a reader are both content with.
    serde_json::to_string_pretty(&RemediationRequest::crd()).map(|text| text + "\n")
}
