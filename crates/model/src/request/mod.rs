//! The `RemediationRequest`: the thing that costs money downstream.

mod build;
pub mod mark;
mod phase;
mod read;
mod spec;
mod text;

pub use build::{Affected, RequestDoc, RequestState, StormState, build_request};
pub use phase::Phase;
pub use read::{ReadRequestError, RecoveredRequest, read_request};
pub use spec::{
    AffectedResource, Condition, ConditionStatus, Deduplication, RemediationRequest, RemediationRequestSpec,
    RemediationRequestStatus, StormAggregation, TargetResource, TargetType, TimeoutConfig,
};

/// The custom resource definition as YAML, generated from the types.
pub fn crd_yaml() -> Result<String, serde_json::Error> {
    use kube::CustomResourceExt;
    // JSON is YAML; the pretty form is what `kubectl apply -f` and a reader are both content with.
    serde_json::to_string_pretty(&RemediationRequest::crd()).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Every field that a schema names, also within lists and maps.
    fn fields(schema: &Value, found: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            found.push(name.clone());
            fields(field, found);
        }
        for inner in ["items", "additionalProperties"].iter().filter_map(|inner| schema.get(inner)) {
            fields(inner, found);
        }
    }

    #[test]
    fn no_field_of_the_definition_has_one_letter_which_old_readers_of_yaml_take_for_yes_or_no() {
        let definition: Value = serde_json::from_str(&crd_yaml().unwrap()).unwrap();
        let mut found = Vec::new();
        fields(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut found);
        assert!(found.len() > 60, "{found:?}");
        let words = |name: &String| name.len() > 1 && !["on", "off", "yes", "no"].contains(&name.as_str());
        assert!(found.iter().all(words), "{found:?}");
    }
}
