//! Which object is meant, and which state of it.

use serde_json::{Value, json};

use super::api::{Api, object, request, request_with};

pub async fn an_apply_creates_and_then_changes(api: &Api, namespace: &str) {
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let metadata = &created.body["metadata"];
    assert_eq!(metadata["generation"], 1);
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!("rr"), &json!(namespace)));
    assert!(metadata["uid"].is_string() && metadata["creationTimestamp"].is_string(), "{metadata}");
    assert_eq!(created.body["spec"], request("rr")["spec"]);

    let worse = request_with("rr", "/spec/severity", json!("critical"));
    let changed = api.apply(namespace, "rr", &worse).await.expect(200);
    assert_eq!(changed.body["metadata"]["generation"], 2);
    assert_eq!(changed.body["metadata"]["uid"], metadata["uid"]);
    assert_eq!(changed.body["metadata"]["creationTimestamp"], metadata["creationTimestamp"]);
    assert_ne!(changed.version(), created.version());

    // Metadata are no new generation.
    let labelled = request_with("rr", "/metadata/labels", json!({ "other": "label" }));
    let labelled = request_with_severity(labelled, "critical");
    let labelled = api.apply(namespace, "rr", &labelled).await.expect(200);
    assert_eq!(labelled.body["metadata"]["generation"], 2);
    assert_eq!(labelled.body["metadata"]["labels"], json!({ "other": "label" }));
    assert_eq!(api.get(&object(namespace, "rr")).await.expect(200).body, labelled.body);
}

fn request_with_severity(mut request: Value, severity: &str) -> Value {
    request["spec"]["severity"] = json!(severity);
    request
}

pub async fn what_changes_nothing_is_not_written(api: &Api, namespace: &str) {
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let again = api.apply(namespace, "rr", &request("rr")).await.expect(200);
    assert_eq!(again.body, created.body);
    let patched = api.merge(&object(namespace, "rr"), &json!({ "spec": { "severity": "warning" } })).await;
    assert_eq!(patched.expect(200).body, created.body);
}

pub async fn a_stale_version_is_refused(api: &Api, namespace: &str) {
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let versioned = |severity: &str, version: &str| {
        let request = request_with("rr", "/spec/severity", json!(severity));
        let mut request = request;
        request["metadata"]["resourceVersion"] = json!(version);
        request
    };
    let changed = api.apply(namespace, "rr", &versioned("info", &created.version())).await.expect(200);
    let stale = versioned("critical", &created.version());
    api.apply(namespace, "rr", &stale).await.refused(409, "Conflict", &[]);
    api.apply_as("seawall", "&force=true", namespace, "rr", &stale).await.refused(409, "Conflict", &[]);
    api.merge(&object(namespace, "rr"), &stale).await.refused(409, "Conflict", &[]);
    api.send("PUT", &object(namespace, "rr"), None, &stale).await.refused(409, "Conflict", &[]);
    assert_eq!(api.get(&object(namespace, "rr")).await.body, changed.body);

    // It does not keep an object from being made anew: only the identity does.
    let mut unborn = request("unborn");
    unborn["metadata"]["resourceVersion"] = json!(created.version());
    api.apply(namespace, "unborn", &unborn).await.expect(201);
}

pub async fn another_identity_is_refused(api: &Api, namespace: &str) {
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let with_uid = |name: &str, uid: &Value| request_with(name, "/metadata/uid", uid.clone());
    let other = json!("12345678-1234-1234-1234-123456789abc");
    api.apply(namespace, "rr", &with_uid("rr", &created.body["metadata"]["uid"])).await.expect(200);
    // Said in an apply or a patch it is a field that cannot change; in an update it is the object that is meant.
    let patched = api.merge(&object(namespace, "rr"), &json!({ "metadata": { "uid": other } })).await;
    for refused in [api.apply(namespace, "rr", &with_uid("rr", &other)).await, patched] {
        assert_eq!((refused.code, &refused.body["reason"]), (422, &json!("Invalid")), "{}", refused.body);
        assert!(refused.causes("field").contains(&"metadata.uid"), "{}", refused.body);
    }
    let mut whole = created.body.clone();
    whole["metadata"]["uid"] = other.clone();
    api.send("PUT", &object(namespace, "rr"), None, &whole).await.refused(409, "Conflict", &[]);
    api.apply(namespace, "absent", &with_uid("absent", &other)).await.refused(409, "Conflict", &[]);
    api.get(&object(namespace, "absent")).await.refused(404, "NotFound", &[]);
}

pub async fn what_was_deleted_is_gone_and_may_come_again(api: &Api, namespace: &str) {
    let path = object(namespace, "rr");
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let options = json!({ "preconditions": { "uid": "12345678-1234-1234-1234-123456789abc" } });
    api.send("DELETE", &path, None, &options).await.refused(409, "Conflict", &[]);
    let deleted = api.send("DELETE", &path, None, &Value::Null).await.expect(200);
    assert_eq!(deleted.body["status"], "Success");
    assert_eq!(deleted.body["details"]["uid"], created.body["metadata"]["uid"]);

    for gone in [api.get(&path).await, api.send("DELETE", &path, None, &Value::Null).await] {
        gone.refused(404, "NotFound", &[]);
        assert_eq!(gone.body["details"]["name"], "rr");
        assert_eq!(gone.body["details"]["kind"], "remediationrequests");
    }
    api.merge(&path, &json!({ "spec": { "severity": "info" } })).await.refused(404, "NotFound", &[]);
    let again = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    assert_ne!(again.body["metadata"]["uid"], created.body["metadata"]["uid"]);
}
