//! What the shipped service account may do: what the code does, and nothing else.

use std::collections::BTreeSet;

use seawall_testkit::Alert;
use seawall_testkit::kubernetes::ControlPlane;
use serde_json::{Value, json};

use super::{NAMESPACE, accepted, chart, control_plane, deploy, from_root, one};
use crate::support::{fire, requests_in, scene};

/// Verb, group, resource (with a subresource), name, namespace. Empty: any, or none.
type Right = (&'static str, &'static str, &'static str, &'static str, &'static str);

const REQUESTS: &str = "remediation.kubernaut.io";
const DEFINITIONS: &str = "customresourcedefinitions";

/// What the code does with the API.
const NEEDED: [Right; 12] = [
    ("get", REQUESTS, "remediationrequests", "", "prod"),
    ("list", REQUESTS, "remediationrequests", "", ""),
    ("watch", REQUESTS, "remediationrequests", "", ""),
    ("create", REQUESTS, "remediationrequests", "", "prod"),
    ("patch", REQUESTS, "remediationrequests", "", "prod"),
    ("get", "apiextensions.k8s.io", DEFINITIONS, "remediationrequests.remediation.kubernaut.io", ""),
    ("list", "", "namespaces", "", ""),
    ("watch", "", "namespaces", "", ""),
    ("create", "authentication.k8s.io", "tokenreviews", "", ""),
    ("create", "authorization.k8s.io", "subjectaccessreviews", "", ""),
    ("list", "", "configmaps", "seawall-environments", NAMESPACE),
    ("watch", "", "configmaps", "seawall-environments", NAMESPACE),
];

const LEASES: &str = "coordination.k8s.io";
const EVENTS_LEASE: &str = "seawall-kubernetes-events";

/// What it does besides where Kubernetes events are a source, and may do nowhere else.
const NEEDED_FOR_EVENTS: [Right; 5] = [
    ("list", "events.k8s.io", "events", "", ""),
    ("watch", "events.k8s.io", "events", "", ""),
    ("get", LEASES, "leases", EVENTS_LEASE, NAMESPACE),
    ("update", LEASES, "leases", EVENTS_LEASE, NAMESPACE),
    ("create", LEASES, "leases", "", NAMESPACE),
];

/// What somebody who holds the pod's token must not be able to do.
const FORBIDDEN: [Right; 36] = [
    ("list", "", "events", "", ""),
    ("create", "events.k8s.io", "events", "", "prod"),
    ("get", "", "namespaces", "prod", ""),
    ("create", LEASES, "leases", "", "kube-system"),
    ("list", LEASES, "leases", "", NAMESPACE),
    ("update", LEASES, "leases", "others", NAMESPACE),
    ("patch", LEASES, "leases", EVENTS_LEASE, NAMESPACE),
    ("update", REQUESTS, "remediationrequests", "", "prod"),
    ("delete", REQUESTS, "remediationrequests", "", "prod"),
    ("deletecollection", REQUESTS, "remediationrequests", "", "prod"),
    ("update", REQUESTS, "remediationrequests/status", "", "prod"),
    ("patch", REQUESTS, "remediationrequests/status", "", "prod"),
    ("get", "apiextensions.k8s.io", DEFINITIONS, "others.example.com", ""),
    ("list", "apiextensions.k8s.io", DEFINITIONS, "", ""),
    ("update", "apiextensions.k8s.io", DEFINITIONS, "remediationrequests.remediation.kubernaut.io", ""),
    ("create", "", "namespaces", "", ""),
    ("patch", "", "namespaces", "prod", ""),
    ("delete", "", "namespaces", "prod", ""),
    ("create", "", "events", "", "prod"),
    ("get", "", "secrets", "", "prod"),
    ("get", "", "secrets", "seawall-redis", NAMESPACE),
    ("list", "", "secrets", "", NAMESPACE),
    ("create", "", "pods", "", NAMESPACE),
    ("get", "", "pods", "", "prod"),
    ("create", "", "pods/exec", "", NAMESPACE),
    ("create", "", "serviceaccounts/token", "", NAMESPACE),
    ("impersonate", "", "users", "", ""),
    ("get", "", "configmaps", "others", NAMESPACE),
    ("list", "", "configmaps", "", NAMESPACE),
    ("get", "", "configmaps", "seawall-environments", "prod"),
    ("update", "", "configmaps", "seawall-environments", NAMESPACE),
    ("delete", LEASES, "leases", EVENTS_LEASE, NAMESPACE),
    ("get", LEASES, "leases", "", "kube-system"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings", "", ""),
    ("patch", "apps", "deployments", "seawall", NAMESPACE),
    ("get", "*", "*", "", ""),
];

/// What the API server says to each, for a user.
fn allowed(plane: &ControlPlane, user: &str, rights: &[Right]) -> Vec<bool> {
    let reviews: Vec<Value> = rights
        .iter()
        .map(|&(verb, group, resource, name, namespace)| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": { "user": user, "groups": ["system:serviceaccounts", "system:authenticated"], "resourceAttributes": {
                    "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                    "name": name, "namespace": namespace,
                } },
            })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": reviews }).to_string();
    let create = ["create", "-o", "json", "-f", "-"];
    let answered = plane
        .kubectl_as(&plane.kubeconfig(), &create, &list)
        .unwrap_or_else(|complaint| panic!("{complaint}"));
    // One document after the other.
    let reviews = serde_json::Deserializer::from_str(&answered).into_iter::<Value>();
    let verdict = |review: Value| review["status"]["allowed"].as_bool().expect("a verdict");
    let verdicts: Vec<bool> = reviews.map(|review| verdict(review.expect("a review"))).collect();
    assert_eq!(verdicts.len(), rights.len());
    verdicts
}

fn may_do_what_it_needs_and_nothing_else(plane: &ControlPlane, user: &str, takes_events: bool) {
    for (right, allowed) in NEEDED.iter().zip(allowed(plane, user, &NEEDED)) {
        assert!(allowed, "{user} needs {right:?}");
    }
    for (right, allowed) in NEEDED_FOR_EVENTS.iter().zip(allowed(plane, user, &NEEDED_FOR_EVENTS)) {
        assert_eq!(allowed, takes_events, "{user}, {right:?}");
    }
    for (right, allowed) in FORBIDDEN.iter().zip(allowed(plane, user, &FORBIDDEN)) {
        assert!(!allowed, "{user} must not {right:?}");
    }
}

/// Every rule of the roles, written as one right for each of its verbs.
fn granted(objects: &[Value], names: &[&str]) -> BTreeSet<String> {
    let is_role = |object: &&Value| {
        matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"))
            && names.contains(&object["metadata"]["name"].as_str().unwrap_or_default())
    };
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        rule[key]
            .as_array()
            .into_iter()
            .flatten()
            .map(|text| text.as_str().expect("a text").to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in objects.iter().filter(is_role).flat_map(|role| role["rules"].as_array().expect("rules")) {
        let names = texts(rule, "resourceNames").join(",");
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                rights.extend(
                    texts(rule, "verbs").iter().map(|verb| format!("{verb} {group} {resource} {names}")),
                );
            }
        }
    }
    rights
}

/// The same as [`granted`], of what the code does.
fn needed(rights: &[Right]) -> BTreeSet<String> {
    // A right to one name is granted by name only where names are known before.
    let named = [DEFINITIONS, "configmaps", "leases"];
    let of = |&(verb, group, resource, name, _): &Right| {
        format!("{verb} {group} {resource} {}", if named.contains(&resource) { name } else { "" })
    };
    rights.iter().map(of).collect()
}

#[tokio::test]
async fn the_service_account_of_the_manifests_may_do_what_is_needed_and_nothing_else() {
    let scene = scene().await;
    let plane = control_plane(scene.path()).await;
    plane.install_crd();
    plane.namespace("prod");
    let manifests = plane.kubectl(&["kustomize", &deploy("kustomize/base").to_string_lossy()]);
    plane.apply(&manifests);
    let user = format!("system:serviceaccount:{NAMESPACE}:seawall");
    may_do_what_it_needs_and_nothing_else(&plane, &user, false);
    // Not one right more than the code uses.
    assert_eq!(granted(&accepted(&plane, &manifests), &["seawall"]), needed(&NEEDED));

    // With events as a source it may do that, too, and is told to.
    let overlay = format!(
        "namespace: {NAMESPACE}\nresources: [{}]\ncomponents: [{}]\n",
        from_root(scene.path(), "kustomize/overlays/trial"),
        from_root(scene.path(), "kustomize/components/kubernetes-events"),
    );
    scene.file("kustomization.yaml", &overlay);
    let manifests = plane.kubectl(&["kustomize", &scene.path().to_string_lossy()]);
    plane.apply(&manifests);
    may_do_what_it_needs_and_nothing_else(&plane, &user, true);
    let objects = accepted(&plane, &manifests);
    assert_eq!(granted(&objects, &["seawall-events"]), needed(&NEEDED_FOR_EVENTS));
    let env = &one(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"];
    let names: Vec<_> = env.as_array().expect("variables").iter().map(|one| &one["name"]).collect();
    let told = ["SEAWALL_SOURCES__KUBERNETES_EVENTS__ENABLED", "SEAWALL_STATE__REDIS__DURABILITY"];
    assert!(told.iter().all(|name| names.contains(&&json!(name))), "{env}");

    // What is asked of senders is what their role gives, in the namespaces where it is bound.
    plane.service_account("monitoring", "alertmanager");
    plane.service_account("remediation", "worker");
    let bind = |name: &str, role: &str, account: &str| {
        let (role, account) = (format!("--clusterrole={role}"), format!("--serviceaccount={account}"));
        plane.kubectl(&["-n", "prod", "create", "rolebinding", name, &role, &account]);
    };
    bind("senders", "seawall-sender", "monitoring:alertmanager");
    bind("workers", "seawall-worker", "remediation:worker");
    let rights: [Right; 4] = [
        ("create", REQUESTS, "remediationrequests", "", "prod"),
        ("create", REQUESTS, "remediationrequests", "", "default"),
        ("list", REQUESTS, "remediationrequests", "", "prod"),
        ("update", REQUESTS, "remediationrequests/status", "", "prod"),
    ];
    let verdicts = |user: &str| allowed(&plane, &format!("system:serviceaccount:{user}"), &rights);
    assert_eq!(verdicts("monitoring:alertmanager"), [true, false, false, false]);
    assert_eq!(verdicts("remediation:worker"), [false, false, true, true]);
}

#[tokio::test]
async fn the_service_account_of_the_chart_may_do_what_is_needed_and_nothing_else() {
    let scene = scene().await;
    let plane = control_plane(scene.path()).await;
    plane.install_crd();
    plane.namespace("prod");
    plane.apply(&chart("serviceAccount: {name: gateway}"));
    let user = format!("system:serviceaccount:{NAMESPACE}:gateway");
    may_do_what_it_needs_and_nothing_else(&plane, &user, false);
    let roles = ["seawall", "seawall-seawall"];
    assert_eq!(granted(&accepted(&plane, &chart("{}")), &roles), needed(&NEEDED));

    let events = "config: {sources: {kubernetesEvents: {enabled: true}}}";
    plane.apply(&chart(&format!("serviceAccount: {{name: gateway}}\n{events}")));
    may_do_what_it_needs_and_nothing_else(&plane, &user, true);
    let all = [&NEEDED[..], &NEEDED_FOR_EVENTS].concat();
    assert_eq!(granted(&accepted(&plane, &chart(events)), &roles), needed(&all));
}

#[tokio::test]
async fn the_service_account_writes_requests_and_cannot_touch_their_status() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    fire(&seawall.client(), &Alert::new("PodCrashLooping", "prod", "web-1")).await;
    let mut request =
        serde_json::to_value(&requests_in(&seawall.client(), "prod", 1).await[0]).expect("JSON");
    let metadata = request["metadata"].as_object_mut().expect("metadata");
    metadata.retain(|key, _| ["name", "namespace", "labels", "annotations"].contains(&key.as_str()));

    let plane = control_plane(scene.path()).await;
    plane.install_crd();
    plane.namespace("prod");
    plane.apply(&plane.kubectl(&["kustomize", &deploy("kustomize/base").to_string_lossy()]));
    let gateway = plane.kubeconfig_of(&plane.service_account(NAMESPACE, "seawall"));
    let apply = ["apply", "--server-side", "--field-manager=seawall", "-f", "-"];
    plane.kubectl_as(&gateway, &apply, &request.to_string()).expect("a request is created");
    request["spec"]["severity"] = json!("warning");
    plane.kubectl_as(&gateway, &apply, &request.to_string()).expect("a request is changed");
    assert_eq!(
        plane.kubectl(&["-n", "prod", "get", "rr", "-o", "jsonpath={.items[*].spec.severity}"]),
        "warning"
    );

    let name = request["metadata"]["name"].as_str().expect("a name");
    let finish = ["-n", "prod", "patch", "rr", name, "--type=merge", "--subresource=status", "-p"];
    let finished = r#"{"status":{"overallPhase":"Completed"}}"#;
    for refused in [&[&finish[..], &[finished]].concat()[..], &["-n", "prod", "delete", "rr", name]] {
        let complaint = plane.kubectl_as(&gateway, refused, "").expect_err("it may not");
        assert!(complaint.contains("Forbidden") || complaint.contains("forbidden"), "{complaint}");
    }
    assert_eq!(plane.kubectl(&["-n", "prod", "get", "rr", "-o", "jsonpath={.items[*].status}"]), "");
}
