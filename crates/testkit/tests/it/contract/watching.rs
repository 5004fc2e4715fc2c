//! What a watch is told.

use serde_json::{Value, json};

use super::api::{Api, collection, object, request, request_with};

pub async fn changes_are_told_in_order(api: &Api, namespace: &str) {
    api.apply(namespace, "before", &request("before")).await.expect(201);
    let version = api.get(&collection(namespace)).await.expect(200).version();
    let path =
        format!("{}?watch=true&resourceVersion={version}&allowWatchBookmarks=true", collection(namespace));
    let mut watch = api.watch(&path).await;

    api.apply(namespace, "rr", &request("rr")).await.expect(201);
    // What changes nothing is not told.
    api.apply(namespace, "rr", &request("rr")).await.expect(200);
    let worse = request_with("rr", "/spec/severity", json!("critical"));
    let changed = api.apply(namespace, "rr", &worse).await.expect(200);
    api.merge(&format!("{}/status", object(namespace, "rr")), &json!({ "status": { "message": "hm" } }))
        .await
        .expect(200);
    api.send("DELETE", &object(namespace, "rr"), None, &Value::Null).await.expect(200);
    api.apply("default", "elsewhere", &request("elsewhere")).await;
    api.apply(namespace, "last", &request("last")).await.expect(201);
    assert_eq!(watch.told(5).await, ["ADDED rr", "MODIFIED rr", "MODIFIED rr", "DELETED rr", "ADDED last"]);

    // One that begins later goes on from its version.
    let path = format!("{}?watch=true&resourceVersion={}", collection(namespace), changed.version());
    let mut later = api.watch(&path).await;
    let told = later.next().await.unwrap();
    assert_eq!(told["object"]["status"]["message"], "hm");
    let deleted = later.next().await.unwrap();
    let at = |event: &Value| {
        event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(deleted["type"], "DELETED");
    assert!(at(&deleted) > at(&told), "a deletion is a change of its own");
}

pub async fn a_watch_without_a_version_begins_with_what_is_there(api: &Api, namespace: &str) {
    for name in ["a", "b"] {
        api.apply(namespace, name, &request(name)).await.expect(201);
    }
    let mut watch = api.watch(&format!("{}?watch=1", collection(namespace))).await;
    let mut told = watch.told(2).await;
    told.sort_unstable();
    assert_eq!(told, ["ADDED a", "ADDED b"]);
    api.apply(namespace, "c", &request("c")).await.expect(201);
    assert_eq!(watch.told(1).await, ["ADDED c"]);
}

pub async fn what_leaves_the_selection_is_told_as_deleted(api: &Api, namespace: &str) {
    let version = api.get(&collection(namespace)).await.expect(200).version();
    let select = "labelSelector=kubernaut.io%2Fseverity%3Dwarning";
    let path = format!("{}?watch=true&resourceVersion={version}&{select}", collection(namespace));
    let mut watch = api.watch(&path).await;
    let other = request_with("rr", "/metadata/labels", json!({ "kubernaut.io/severity": "info" }));
    api.apply(namespace, "rr", &other).await.expect(201);
    api.apply(namespace, "rr", &request("rr")).await.expect(200);
    api.apply(namespace, "rr", &other).await.expect(200);
    assert_eq!(watch.told(2).await, ["ADDED rr", "DELETED rr"]);
}

pub async fn a_watch_ends_when_its_time_is_over(api: &Api, namespace: &str) {
    let version = api.apply(namespace, "rr", &request("rr")).await.expect(201).version();
    let path = format!("{}?watch=true&timeoutSeconds=1&resourceVersion={version}", collection(namespace));
    let mut watch = api.watch(&path).await;
    assert_eq!(watch.next().await, None);
}

pub async fn what_is_too_old_is_told_as_gone(api: &mut Api, namespace: &str) {
    let created = api.apply(namespace, "rr", &request("rr")).await.expect(201);
    for severity in ["info", "critical"] {
        let changed = request_with("rr", "/spec/severity", json!(severity));
        api.apply(namespace, "rr", &changed).await.expect(200);
    }
    api.forget().await;
    let path = format!("{}?watch=true&resourceVersion={}", collection(namespace), created.version());
    let mut watch = api.watch(&path).await;
    let told = watch.next().await.unwrap();
    assert_eq!(told["type"], "ERROR");
    assert_eq!((&told["object"]["code"], &told["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert_eq!(watch.next().await, None);

    // A fresh list is a way to go on.
    let list = api.get(&collection(namespace)).await.expect(200);
    let path = format!("{}?watch=true&resourceVersion={}", collection(namespace), list.version());
    let mut watch = api.watch(&path).await;
    api.apply(namespace, "rr", &request("rr")).await.expect(200);
    assert_eq!(watch.told(1).await, ["MODIFIED rr"]);
}
