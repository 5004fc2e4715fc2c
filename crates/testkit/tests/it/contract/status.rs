//! The status, which belongs to whoever works on a request.

use serde_json::{Value, json};

use super::api::{APPLY, Api, object, request, request_with};

pub async fn an_apply_does_not_write_the_status(api: &Api, namespace: &str) {
    let with_status = request_with("rr", "/status", json!({ "overallPhase": "Completed" }));
    let created = api.apply(namespace, "rr", &with_status).await.expect(201);
    assert_eq!(created.body["status"], Value::Null);
    let ours = &created.body["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(ours["f:status"], Value::Null, "{ours}");
    let again = api.apply(namespace, "rr", &with_status).await.expect(200);
    assert_eq!(again.body["status"], Value::Null);
}

pub async fn a_worker_writes_the_status_and_nothing_else(api: &Api, namespace: &str) {
    let path = format!("{}/status", object(namespace, "rr"));
    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let patch = json!({
        "metadata": { "labels": { "worker": "was-here" } },
        "spec": { "severity": "info" },
        "status": { "overallPhase": "Processing", "nonsense": 1 },
    });
    let written = api.merge(&format!("{path}?fieldManager=worker"), &patch).await.expect(200);
    assert_eq!(written.body["status"], json!({ "overallPhase": "Processing" }));
    assert_eq!(written.body["spec"], request("rr")["spec"]);
    assert_eq!(written.body["metadata"]["generation"], 1);
    let owners = written.body["metadata"]["managedFields"].as_array().unwrap();
    let worker = owners.iter().find(|owner| owner["manager"] == "worker").expect("an entry of its own");
    assert_eq!(worker["subresource"], "status");
    assert_eq!(worker["fieldsV1"]["f:status"]["f:overallPhase"], json!({}), "{worker}");
    assert_eq!(worker["fieldsV1"]["f:spec"], Value::Null, "{worker}");

    // Every update of ours leaves it alone.
    let worse = request_with("rr", "/spec/severity", json!("critical"));
    let updated = api.apply_as("seawall", "&force=true", namespace, "rr", &worse).await.expect(200);
    assert_eq!(updated.body["status"]["overallPhase"], "Processing");
    api.merge(&object(namespace, "rr"), &json!({ "status": { "overallPhase": "Failed" } })).await.expect(200);
    let read = api.get(&path).await.expect(200);
    assert_eq!(read.body["status"]["overallPhase"], "Processing");

    let absent = format!("{}/status", object(namespace, "absent"));
    api.merge(&absent, &patch).await.refused(404, "NotFound", &[]);
    let malformed = json!({ "status": { "overallPhase": 7 } });
    assert_eq!(api.merge(&path, &malformed).await.code, 422);
}

pub async fn a_status_can_be_replaced_and_applied(api: &Api, namespace: &str) {
    let path = format!("{}/status", object(namespace, "rr"));
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let mut whole = created.body.clone();
    whole["status"] = json!({ "overallPhase": "Analyzing", "message": "looking" });
    whole["spec"]["severity"] = json!("info");
    let replaced = api.send("PUT", &path, None, &whole).await.expect(200);
    assert_eq!(replaced.body["status"], whole["status"]);
    assert_eq!(replaced.body["spec"]["severity"], "warning");
    api.send("PUT", &path, None, &whole).await.refused(409, "Conflict", &[]);

    let applied = json!({
        "apiVersion": whole["apiVersion"],
        "kind": whole["kind"],
        "metadata": { "name": "rr" },
        "status": { "overallPhase": "Executing" },
    });
    let path = format!("{path}?fieldManager=worker");
    let conflict = api.send("PATCH", &path, Some(APPLY), &applied).await;
    conflict.refused(409, "Conflict", &["FieldManagerConflict"]);
    let forced = api.send("PATCH", &format!("{path}&force=true"), Some(APPLY), &applied).await.expect(200);
    assert_eq!(forced.body["status"], json!({ "overallPhase": "Executing", "message": "looking" }));
}

/// As far as the checked-in definition tells conditions apart by their type, as Kubernetes does.
pub async fn conditions_are_owned_one_by_one(api: &Api, namespace: &str) {
    let definition =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/crd/remediationrequests.yaml"));
    let has_keys = definition.contains("x-kubernetes-list-map-keys");
    let path = format!("{}/status", object(namespace, "rr"));
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    let with = |conditions: Value| {
        json!({
            "apiVersion": created.body["apiVersion"],
            "kind": created.body["kind"],
            "metadata": { "name": "rr" },
            "status": { "conditions": conditions },
        })
    };
    let apply = async |manager: &str, conditions: Value| {
        api.send("PATCH", &format!("{path}?fieldManager={manager}"), Some(APPLY), &with(conditions)).await
    };
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status });
    apply("one", json!([condition("A", "True")])).await.expect(200);
    let second = apply("two", json!([condition("B", "True")])).await;
    if !has_keys {
        return second.refused(409, "Conflict", &["FieldManagerConflict"]);
    }
    assert_eq!(second.expect(200).body["status"]["conditions"].as_array().map(Vec::len), Some(2));
    let conflict = apply("two", json!([condition("A", "False"), condition("B", "True")])).await;
    conflict.refused(409, "Conflict", &["FieldManagerConflict"]);
    assert_eq!(conflict.causes("field"), [".status.conditions[type=\"A\"].status"]);
    let left = apply("one", json!([])).await.expect(200);
    assert_eq!(left.body["status"]["conditions"], json!([condition("B", "True")]));
    let twice = json!({ "status": { "conditions": [condition("B", "True"), condition("B", "False")] } });
    assert_eq!(api.merge(&path, &twice).await.code, 422);
    assert_eq!(apply("one", twice["status"]["conditions"].clone()).await.code, 500);
}
