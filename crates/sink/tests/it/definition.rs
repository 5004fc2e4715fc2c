//! What the cluster knows of the resource.

use kube::CustomResourceExt;
use seawall_model::RemediationRequest;
use seawall_store::Sink;
use seawall_testkit::eventually;
use serde_json::json;

use crate::fake::record;
use crate::scene::{SOON, Scene};

const PATH: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";

async fn says(scene: &Scene, expected: Option<&str>) {
    eventually(SOON, || async {
        let problem = scene.sink().health().problem;
        let is_so = match (&problem, expected) {
            (Some(problem), Some(text)) => problem.contains(text),
            (problem, expected) => problem.is_none() && expected.is_none(),
        };
        if is_so { Ok(()) } else { Err(format!("{problem:?}")) }
    })
    .await;
}

#[tokio::test]
async fn an_older_definition_is_said_and_requests_are_written_without_what_it_does_not_know() {
    let mut scene = Scene::start().await;
    says(&scene, None).await;
    scene.stop_sink().await;
    let mut older = serde_json::to_value(RemediationRequest::crd()).unwrap();
    older.pointer_mut(PATH).unwrap().as_object_mut().unwrap().remove("affectedResources");
    let replace = ["replace", "-f", "-"];
    scene.plane.kubectl_as(&scene.plane.kubeconfig(), &replace, &older.to_string()).unwrap();

    scene.restart_sink();
    says(&scene, Some("does not know spec.affectedResources, so requests are written without")).await;
    let record = record("prod", "web-1");
    scene.store.put(&record);
    let place = scene.placed(&record.doc.reference, 1).await;
    assert_eq!(scene.object(&place)["spec"].get("affectedResources"), None);

    let newest = json!(RemediationRequest::crd()).to_string();
    scene.plane.kubectl_as(&scene.plane.kubeconfig(), &replace, &newest).unwrap();
    says(&scene, None).await;
}
