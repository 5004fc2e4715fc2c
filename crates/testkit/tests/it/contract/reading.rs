//! Lists, and namespaces.

use serde_json::{Value, json};

use super::api::{Answer, Api, collection, everywhere, object, request, request_with};

fn names(list: &Answer) -> Vec<&str> {
    let items = list.body["items"].as_array().unwrap_or_else(|| panic!("no items in {list:?}"));
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

pub async fn lists_come_in_parts_of_one_state(api: &Api, namespace: &str) {
    for name in ["a", "b", "c", "d", "e"] {
        api.apply(namespace, name, &request(name)).await.expect(201);
    }
    let path = format!("{}?limit=2", collection(namespace));
    let first = api.get(&path).await.expect(200);
    assert_eq!(first.body["kind"], "RemediationRequestList");
    assert_eq!(first.body["metadata"]["remainingItemCount"], 3);

    // What happens in between is not part of the state that is listed.
    api.send("DELETE", &object(namespace, "c"), None, &Value::Null).await.expect(200);
    api.apply(namespace, "bb", &request("bb")).await.expect(201);
    let mut seen: Vec<String> = names(&first).into_iter().map(str::to_owned).collect();
    let mut last = first.body["metadata"].clone();
    let version = first.version();
    while let Some(token) = last["continue"].as_str().filter(|token| !token.is_empty()) {
        let part = api.get(&format!("{path}&continue={token}")).await.expect(200);
        assert_eq!(part.version(), version);
        seen.extend(names(&part).into_iter().map(str::to_owned));
        last = part.body["metadata"].clone();
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);

    let now = api.get(&collection(namespace)).await.expect(200);
    assert_eq!(names(&now), ["a", "b", "bb", "d", "e"]);
    assert!(now.version().parse::<u64>().unwrap() > version.parse().unwrap());
    api.get(&format!("{}?resourceVersion=999999999", collection(namespace))).await.refused(
        504,
        "Timeout",
        &["ResourceVersionTooLarge"],
    );
}

pub async fn lists_are_selected_by_labels_and_fields(api: &Api, namespace: &str) {
    let other = request_with("two", "/metadata/labels", json!({ "kubernaut.io/severity": "info" }));
    let mut other = other;
    other["spec"]["signalFingerprint"] = json!("b".repeat(64));
    api.apply(namespace, "one", &request("one")).await.expect(201);
    api.apply(namespace, "two", &other).await.expect(201);
    let select = async |query: &str| {
        let list = api.get(&format!("{}?{query}", collection(namespace))).await.expect(200);
        names(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(select("labelSelector=kubernaut.io%2Fseverity%3Dinfo").await, ["two"]);
    assert_eq!(
        select("labelSelector=kubernaut.io%2Fseverity%3D%3Dinfo%2Ckubernaut.io%2Fx%3Dy").await,
        [""; 0]
    );
    assert_eq!(select(&format!("fieldSelector=spec.signalFingerprint%3D{}", "a".repeat(64))).await, ["one"]);
    assert_eq!(select("fieldSelector=metadata.name%3Dtwo").await, ["two"]);
    let unknown = format!("{}?fieldSelector=spec.severity%3Dinfo", collection(namespace));
    api.get(&unknown).await.refused(400, "BadRequest", &[]);

    let all = api.get(&everywhere()).await.expect(200);
    let ours = |item: &&Value| item["metadata"]["namespace"] == namespace;
    assert_eq!(all.body["items"].as_array().unwrap().iter().filter(ours).count(), 2);
}

pub async fn namespaces_say_whether_they_go(api: &Api, namespace: &str) {
    let path = |name: &str| format!("/api/v1/namespaces/{name}");
    let active = api.get(&path(namespace)).await.expect(200);
    assert_eq!(active.body["status"]["phase"], "Active");
    assert_eq!(active.body["metadata"]["deletionTimestamp"], Value::Null);
    api.terminate_namespace(namespace);
    let going = api.get(&path(namespace)).await.expect(200);
    assert_eq!(going.body["status"]["phase"], "Terminating");
    assert!(going.body["metadata"]["deletionTimestamp"].is_string());
    let missing = api.get(&path("nowhere")).await;
    missing.refused(404, "NotFound", &[]);
    assert_eq!(missing.body["details"]["kind"], "namespaces");
}
