//! Whether a schema knows every field of another. Pure.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

/// The fields of `ours` that the server would drop without a word, because `installed` does not know them; as
/// `spec.stormAggregation.pattern`.
pub(crate) fn missing_fields(
    ours: &CustomResourceDefinition,
    installed: &CustomResourceDefinition,
) -> Vec<String> {
    let mut missing = Vec::new();
    for version in &ours.spec.versions {
        let same = installed.spec.versions.iter().find(|other| other.name == version.name && other.served);
        let schema = |version: &'_ _| schema_of(version).cloned();
        match (schema(version), same.map(schema)) {
            (Some(ours), Some(Some(installed))) => compare(&ours, &installed, "", &mut missing),
            (_, None) => missing.push(format!("version {}", version.name)),
            // Without a schema nothing is dropped.
            _ => {}
        }
        let has_status = |subresources: &Option<_>| subresources.is_some();
        if has_status(&version.subresources) && same.is_some_and(|same| !has_status(&same.subresources)) {
            missing.push("the subresource status".to_owned());
        }
    }
    missing
}

/// Takes out of an object what `path` names, as [`missing_fields`] writes it.
pub(crate) fn leave_out(object: &mut Value, path: &str) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(fields) = object.as_object_mut() else { return };
    match (first.strip_suffix("[]"), rest) {
        (Some(list), Some(rest)) => {
            let items = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            items.for_each(|item| leave_out(item, rest));
        }
        (None, Some("*")) => drop(fields.remove(first)),
        (None, Some(rest)) => {
            if let Some(inner) = fields.get_mut(first) {
                leave_out(inner, rest);
            }
        }
        (_, None) => drop(fields.remove(first)),
    }
}

fn schema_of(
    version: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion,
) -> Option<&JSONSchemaProps> {
    version.schema.as_ref()?.open_api_v3_schema.as_ref()
}

fn compare(ours: &JSONSchemaProps, installed: &JSONSchemaProps, path: &str, missing: &mut Vec<String>) {
    if installed.x_kubernetes_preserve_unknown_fields == Some(true) {
        return;
    }
    for (name, inner) in ours.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let same = installed.properties.as_ref().and_then(|properties| properties.get(name));
        match (same, values(installed)) {
            (Some(same), _) => compare(inner, same, &path, missing),
            (None, Some(same)) => compare(inner, same, &path, missing),
            (None, None) if takes_any(installed) => {}
            (None, None) => missing.push(path),
        }
    }
    if let (Some(inner), Some(same)) = (items(ours), items(installed)) {
        compare(inner, same, &format!("{path}[]"), missing);
    }
    match (values(ours), values(installed)) {
        (Some(inner), Some(same)) => compare(inner, same, &format!("{path}.*"), missing),
        (Some(_), None) if !takes_any(installed) => missing.push(format!("{path}.*")),
        _ => {}
    }
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(schema) => Some(schema),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// Of a map whose keys are free.
fn values(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(schema) => Some(schema),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

fn takes_any(schema: &JSONSchemaProps) -> bool {
    matches!(schema.additional_properties, Some(JSONSchemaPropsOrBool::Bool(true)))
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;
    use seawall_model::RemediationRequest;
    use serde_json::json;

    use super::*;

    fn with(change: impl FnOnce(&mut JSONSchemaProps)) -> CustomResourceDefinition {
        let mut definition = RemediationRequest::crd();
        let schema = definition.spec.versions[0].schema.as_mut().unwrap();
        let root = schema.open_api_v3_schema.as_mut().unwrap();
        change(root.properties.as_mut().unwrap().get_mut("spec").unwrap());
        definition
    }

    fn property<'a>(schema: &'a mut JSONSchemaProps, name: &str) -> &'a mut JSONSchemaProps {
        schema.properties.as_mut().unwrap().get_mut(name).unwrap()
    }

    #[test]
    fn a_definition_knows_its_own_fields() {
        let ours = RemediationRequest::crd();
        assert_eq!(missing_fields(&ours, &ours), Vec::<String>::new());
    }

    #[test]
    fn fields_of_an_older_definition_are_named_with_their_path() {
        let older = with(|spec| {
            spec.properties.as_mut().unwrap().remove("relatedRequests");
            let storm = property(spec, "stormAggregation");
            storm.properties.as_mut().unwrap().remove("successorRef");
            let Some(JSONSchemaPropsOrArray::Schema(affected)) =
                &mut property(storm, "affectedResources").items
            else {
                panic!("a list");
            };
            affected.properties.as_mut().unwrap().remove("count");
            property(spec, "signalLabels").additional_properties = None;
        });
        let missing = missing_fields(&RemediationRequest::crd(), &older);
        let expected = [
            "spec.relatedRequests",
            "spec.signalLabels.*",
            "spec.stormAggregation.affectedResources[].count",
            "spec.stormAggregation.successorRef",
        ];
        assert_eq!(missing, expected);
        let mut object = json!({"spec": {
            "signalName": "Down", "relatedRequests": ["rr"], "signalLabels": {"a": "b"},
            "stormAggregation": {"rule": "r", "successorRef": "rr", "affectedResources": [{"kind": "Pod", "count": 1}]},
        }});
        missing.iter().for_each(|path| leave_out(&mut object, path));
        let storm = json!({"rule": "r", "affectedResources": [{"kind": "Pod"}]});
        assert_eq!(object, json!({"spec": {"signalName": "Down", "stormAggregation": storm}}));
    }

    #[test]
    fn a_definition_that_keeps_what_it_does_not_know_is_enough() {
        let open = with(|spec| {
            spec.properties = None;
            spec.x_kubernetes_preserve_unknown_fields = Some(true);
        });
        assert_eq!(missing_fields(&RemediationRequest::crd(), &open), Vec::<String>::new());
    }

    #[test]
    fn another_version_and_a_missing_status_are_named() {
        let mut other = RemediationRequest::crd();
        other.spec.versions[0].subresources = None;
        assert_eq!(missing_fields(&RemediationRequest::crd(), &other), ["the subresource status"]);
        other.spec.versions[0].name = "v1".to_owned();
        assert_eq!(missing_fields(&RemediationRequest::crd(), &other), ["version v1alpha1"]);
    }
}
