//! Who owns which field.

use serde_json::{Value, json};

use super::api::{Api, object, request, request_with};

/// Only what names the object, and this.
fn only(name: &str, pointer: &str, value: Value) -> Value {
    let whole = request(name);
    let mut request = json!({ "apiVersion": whole["apiVersion"], "kind": whole["kind"] });
    request["metadata"] = json!({ "name": name });
    let mut at = &mut request;
    for part in pointer.trim_start_matches('/').split('/') {
        at = &mut at[part];
    }
    *at = value;
    request
}

pub async fn fields_of_others_are_not_touched(api: &Api, namespace: &str) {
    let path = object(namespace, "rr");
    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let note = json!({ "metadata": { "labels": { "team": "shop" }, "annotations": { "note": "mine" } } });
    api.merge(&format!("{path}?fieldManager=person"), &note).await.expect(200);
    let labels = only("rr", "/metadata/labels", json!({ "robot": "yes" }));
    api.apply_as("robot", "", namespace, "rr", &labels).await.expect(200);

    let worse = request_with("rr", "/spec/severity", json!("critical"));
    let changed = api.apply(namespace, "rr", &worse).await.expect(200);
    let metadata = &changed.body["metadata"];
    assert_eq!(
        metadata["labels"],
        json!({ "kubernaut.io/severity": "warning", "robot": "yes", "team": "shop" })
    );
    assert_eq!(metadata["annotations"], json!({ "note": "mine" }));
    let owners = metadata["managedFields"].as_array().unwrap();
    let mut owners: Vec<_> =
        owners.iter().map(|owner| (owner["manager"].as_str(), owner["operation"].as_str())).collect();
    owners.sort_unstable();
    let apply = Some("Apply");
    assert_eq!(owners, [(Some("person"), Some("Update")), (Some("robot"), apply), (Some("seawall"), apply)]);
}

pub async fn a_field_of_another_manager_is_a_conflict_unless_forced(api: &Api, namespace: &str) {
    let path = object(namespace, "rr");
    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    api.merge(&format!("{path}?fieldManager=person"), &json!({ "spec": { "severity": "info" } }))
        .await
        .expect(200);

    let conflict = api.apply(namespace, "rr", &request("rr")).await;
    conflict.refused(409, "Conflict", &["FieldManagerConflict"]);
    assert_eq!(conflict.causes("field"), [".spec.severity"]);
    assert_eq!(api.get(&path).await.body["spec"]["severity"], "info");

    let forced = api.apply_as("seawall", "&force=true", namespace, "rr", &request("rr")).await.expect(200);
    assert_eq!(forced.body["spec"]["severity"], "warning");
    // It is ours again.
    let worse = request_with("rr", "/spec/severity", json!("critical"));
    api.apply(namespace, "rr", &worse).await.expect(200);

    // One that applies is as strong as one that updates, and several fields are several causes.
    let mut other = request("rr");
    other["spec"]["severity"] = json!("info");
    other["spec"]["priority"] = json!("P3");
    let conflict = api.apply_as("robot", "", namespace, "rr", &other).await;
    conflict.refused(409, "Conflict", &["FieldManagerConflict", "FieldManagerConflict"]);
    let mut fields = conflict.causes("field");
    fields.sort_unstable();
    assert_eq!(fields, [".spec.priority", ".spec.severity"]);
}

pub async fn equal_values_are_owned_together(api: &Api, namespace: &str) {
    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let same = only("rr", "/metadata/labels", json!({ "kubernaut.io/severity": "warning" }));
    api.apply_as("robot", "", namespace, "rr", &same).await.expect(200);

    // One of two lets go, and the field stays.
    let without = request_with("rr", "/metadata/labels", json!({ "other": "label" }));
    let left = api.apply(namespace, "rr", &without).await.expect(200);
    let both = json!({ "kubernaut.io/severity": "warning", "other": "label" });
    assert_eq!(left.body["metadata"]["labels"], both);
    // Now it is the robot's alone.
    let taken = request_with("rr", "/metadata/labels", json!({ "kubernaut.io/severity": "critical" }));
    api.apply(namespace, "rr", &taken).await.refused(409, "Conflict", &["FieldManagerConflict"]);
}

pub async fn what_is_no_longer_applied_is_removed(api: &Api, namespace: &str) {
    let mut rich = request_with("rr", "/metadata/labels/extra", json!("label"));
    rich["metadata"]["annotations"] = json!({ "remediation.kubernaut.io/epoch": "1" });
    rich["spec"]["stormType"] = json!("rate");
    rich["spec"]["signalLabels"] = json!({ "alertname": "PodCrashLooping", "pod": "web-1" });
    rich["spec"]["timeoutConfig"] = json!({ "overallWorkflowTimeout": "1h" });
    rich["spec"]["affectedResources"] = json!(["shop:Pod:web-1", "shop:Pod:web-2"]);
    let created = api.apply(namespace, "rr", &rich).await.expect(201);
    assert_eq!(created.body["spec"], rich["spec"]);

    let mut poorer = request_with("rr", "/spec/signalLabels", json!({ "alertname": "PodCrashLooping" }));
    poorer["spec"]["relatedRequests"] = json!(["rr-0"]);
    let pruned = api.apply(namespace, "rr", &poorer).await.expect(200);
    assert_eq!(pruned.body["spec"], poorer["spec"]);
    assert_eq!(pruned.body["metadata"]["labels"], poorer["metadata"]["labels"]);
    assert_eq!(pruned.body["metadata"]["annotations"], Value::Null);

    // What a person added below an object of ours keeps it alive.
    let path = format!("{}?fieldManager=person", object(namespace, "rr"));
    api.merge(&path, &json!({ "spec": { "signalLabels": { "by": "hand" } } })).await.expect(200);
    let kept = api.apply(namespace, "rr", &request("rr")).await.expect(200);
    assert_eq!(kept.body["spec"]["signalLabels"], json!({ "by": "hand" }));
}

pub async fn a_merge_patch_takes_what_it_changes(api: &Api, namespace: &str) {
    let path = object(namespace, "rr");
    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    // Without a name it is the first word of the user agent.
    let patch = json!({ "spec": { "affectedResources": null, "severity": "info", "nonsense": 1 } });
    let patched = api.merge(&path, &patch).await.expect(200);
    assert_eq!(
        (&patched.body["spec"]["affectedResources"], &patched.body["spec"]["nonsense"]),
        (&Value::Null, &Value::Null)
    );
    let owners = patched.body["metadata"]["managedFields"].as_array().unwrap();
    let person = owners.iter().find(|owner| owner["manager"] == "contract").expect("an entry of its own");
    assert_eq!(person["operation"], "Update");
    assert_eq!(person["fieldsV1"], json!({ "f:spec": { "f:severity": {} } }));
    let ours = owners.iter().find(|owner| owner["manager"] == "seawall").unwrap();
    let spec = ours["fieldsV1"]["f:spec"].as_object().unwrap();
    assert!(!spec.contains_key("f:severity") && !spec.contains_key("f:affectedResources"), "{spec:?}");
    assert!(spec.contains_key("f:priority"), "{spec:?}");
}
