//! What is not accepted, and in which words of the protocol.

use serde_json::{Value, json};

use super::api::{APPLY, Api, collection, object, request, request_with};

pub async fn namespaces_that_are_missing_or_go(api: &Api, namespace: &str) {
    let missing = api.apply("nowhere", "rr", &request("rr")).await;
    missing.refused(404, "NotFound", &[]);
    assert_eq!(missing.body["details"], json!({ "name": "nowhere", "kind": "namespaces" }));
    api.get(&object("nowhere", "rr")).await.refused(404, "NotFound", &[]);
    let list = api.get(&collection("nowhere")).await.expect(200);
    assert_eq!(list.body["items"], json!([]));

    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    api.terminate_namespace(namespace);
    let late = api.apply(namespace, "late", &request("late")).await;
    late.refused(403, "Forbidden", &["NamespaceTerminating"]);
    // What is there may still be changed.
    let worse = request_with("rr", "/spec/severity", json!("critical"));
    api.apply(namespace, "rr", &worse).await.expect(200);
}

pub async fn objects_that_the_definition_does_not_allow(api: &Api, namespace: &str) {
    let bad = [
        ("/spec/signalName", Value::Null),
        ("/spec/severity", json!("dreadful")),
        ("/spec/signalFingerprint", json!("A".repeat(64))),
        ("/spec/environment", json!("")),
        ("/spec/environment", json!("e".repeat(64))),
        ("/spec/isStorm", json!("yes")),
        ("/spec/firingTime", json!("yesterday")),
        ("/spec/deduplication/occurrenceCount", json!(-1)),
        ("/spec/targetResource", json!({ "kind": "Pod" })),
        ("/spec/affectedResources", json!([7])),
    ];
    for (pointer, value) in bad {
        let refused = api.apply(namespace, "rr", &request_with("rr", pointer, value.clone())).await;
        // What is no such value at all is noticed before the object is looked at as a whole.
        let is_other_type = ["/spec/isStorm", "/spec/affectedResources"].contains(&pointer);
        assert_eq!(
            refused.code,
            if is_other_type { 500 } else { 422 },
            "{pointer} {value}: {}",
            refused.body
        );
        api.get(&object(namespace, "rr")).await.refused(404, "NotFound", &[]);
    }
    let refused = api.apply(namespace, "rr", &request_with("rr", "/spec/severity", json!("dreadful"))).await;
    assert_eq!((refused.code, &refused.body["reason"]), (422, &json!("Invalid")), "{}", refused.body);
    assert!(refused.causes("field").contains(&"spec.severity"), "{}", refused.body);

    // A field that nobody knows would silently be lost.
    for pointer in ["/spec/nonsense", "/spec/targetResource/nonsense", "/nonsense"] {
        let refused = api.apply(namespace, "rr", &request_with("rr", pointer, json!(1))).await;
        assert_eq!(refused.code, 500, "{pointer}: {}", refused.body);
    }

    // An update is held to the same.
    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let path = object(namespace, "rr");
    let patched = api.merge(&path, &json!({ "spec": { "severity": "dreadful" } })).await;
    assert_eq!((patched.code, &patched.body["reason"]), (422, &json!("Invalid")), "{}", patched.body);
    let strict =
        api.merge(&format!("{path}?fieldValidation=Strict"), &json!({ "spec": { "nonsense": 1 } })).await;
    strict.refused(422, "Invalid", &["FieldValueInvalid"]);
}

/// The checked-in definition says which they are, if any.
pub async fn identity_fields_may_change_as_far_as_the_definition_says(api: &Api, namespace: &str) {
    let definition =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/crd/remediationrequests.yaml"));
    let definition: Value = serde_json::from_str(definition).unwrap();
    let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    for (field, value) in [
        ("signalFingerprint", json!("b".repeat(64))),
        ("signalName", json!("Other")),
        ("severity", json!("info")),
    ] {
        let rules = spec["properties"][field]["x-kubernetes-validations"].as_array();
        let is_kept = rules.is_some_and(|rules| rules.iter().any(|rule| rule["rule"] == "self == oldSelf"));
        let changed = api.apply(namespace, "rr", &request_with("rr", &format!("/spec/{field}"), value)).await;
        assert_eq!(changed.code, if is_kept { 422 } else { 200 }, "{field}: {}", changed.body);
    }
}

pub async fn metadata_that_no_object_has(api: &Api, namespace: &str) {
    let labels = |labels: Value| request_with("rr", "/metadata/labels", labels);
    for bad in [
        labels(json!({ "key": "a space" })),
        labels(json!({ "key": "v".repeat(64) })),
        labels(json!({ "a/b/c": "value" })),
        request_with("rr", "/metadata/annotations", json!({ "a space": "value" })),
        request_with("rr", "/metadata/annotations", json!({ "key": "v".repeat(256 * 1024) })),
    ] {
        api.apply(namespace, "rr", &bad).await.expect(422);
    }
    api.apply(namespace, "Upper", &request("Upper")).await.expect(422);
    let long = "n".repeat(254);
    api.apply(namespace, &long, &request(&long)).await.expect(422);
}

pub async fn requests_that_make_no_sense(api: &Api, namespace: &str) {
    let path = object(namespace, "rr");
    let named = format!("{path}?fieldManager=seawall");
    api.send("PATCH", &path, Some(APPLY), &request("rr")).await.expect(422);
    api.send("PATCH", &named, Some("application/json"), &request("rr")).await.expect(415);
    api.send("PATCH", &named, Some(APPLY), &request_with("rr", "/kind", json!("Other"))).await.expect(400);
    api.send("PATCH", &named, Some(APPLY), &request("other")).await.expect(400);
    let elsewhere = request_with("rr", "/metadata/namespace", json!("default"));
    api.send("PATCH", &named, Some(APPLY), &elsewhere).await.expect(400);
    let owned = request_with("rr", "/metadata/managedFields", json!([{ "manager": "me" }]));
    api.send("PATCH", &named, Some(APPLY), &owned).await.expect(400);
    api.send("PATCH", &named, Some(APPLY), &json!("text")).await.expect(400);
    api.get(&path).await.expect(404);

    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    api.merge(&format!("{named}&force=true"), &json!({})).await.expect(422);
    api.send("PUT", &path, None, &request("rr")).await.refused(422, "Invalid", &["FieldValueInvalid"]);
    api.get("/apis/remediation.kubernaut.io/v1alpha1/nonsense").await.expect(404);
    api.get(&format!("{path}/nonsense")).await.expect(404);
}
