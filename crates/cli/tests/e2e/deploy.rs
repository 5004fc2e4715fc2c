//! What deploys Seawall, on a real API server: it is taken, its pods are as restricted as pods can be, it may do what
//! it needs and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::redis::RedisServer;
use seawall_testkit::{Alert, render_chart};
use serde_json::{Value, json};

use crate::support::{fire, requests_in, run, scene};

const NAMESPACE: &str = "seawall";

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(path)
}

fn chart(values: &str) -> String {
    render_chart(&deploy("helm/seawall"), NAMESPACE, values)
        .unwrap_or_else(|complaint| panic!("{values}: {complaint}"))
}

/// The kinds that the chart and the manifests bring, where everything is switched on.
const REPLICATED: [&str; 11] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
];

/// Values that turn on what is off, each with the kinds that must be there besides the usual ones, and those that must
/// not.
const VARIANTS: [(&str, &[&str], &[&str]); 6] = [
    ("{}", &[], &["ServiceMonitor", "StatefulSet", "PersistentVolumeClaim"]),
    (
        "{replicas: 5, serviceMonitor: {enabled: true, labels: {release: prometheus}}}",
        &["ServiceMonitor"],
        &[],
    ),
    ("state: {redis: {bundled: {enabled: true}}}", &["StatefulSet", "Secret"], &["PersistentVolumeClaim"]),
    (
        "state: {kind: embedded, embedded: {storageClass: fast}}",
        &["PersistentVolumeClaim"],
        &["PodDisruptionBudget", "StatefulSet"],
    ),
    (
        "{rbac: {create: false}, serviceAccount: {create: false, name: other}, networkPolicy: {enabled: false}}",
        &[],
        &["ClusterRole", "Role", "ServiceAccount", "NetworkPolicy"],
    ),
    (
        "image: {repository: registry.example/seawall, pullSecrets: [{name: pull}], \
           digest: 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'}\n\
         state: {redis: {mode: sentinel, sentinelMaster: main, urls: ['rediss://sentinel-0:26379'], username: seawall, \
           passwordSecret: {name: redis, key: word}, caSecret: {name: redis-ca}, durability: wait}}\n\
         config: {dedup: {ttl: 10m}}\n\
         service: {type: LoadBalancer, port: 80, annotations: {example.com/internal: 'true'}}\n\
         tolerations: [{key: dedicated, operator: Exists}]\n\
         affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
           [{matchExpressions: [{key: zone, operator: Exists}]}]}}}\n\
         nodeSelector: {disk: ssd}\n\
         podLabels: {team: platform}\n\
         podAnnotations: {example.com/a: b}\n\
         env: [{name: SEAWALL_TELEMETRY__LOG_LEVEL, value: debug}]\n",
        &[],
        &[],
    ),
];

/// The part of the Prometheus Operator's kind that is used here, so that the API server knows it.
fn service_monitors() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let endpoint = json!({ "type": "object", "properties": {
        "port": { "type": "string" }, "path": { "type": "string" },
        "interval": { "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$" },
    } });
    let spec = json!({ "type": "object", "required": ["selector", "endpoints"], "properties": {
        "selector": { "type": "object", "properties": { "matchLabels": texts } },
        "endpoints": { "type": "array", "items": endpoint },
    } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "servicemonitors.monitoring.coreos.com" },
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": { "kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": spec },
            } } }],
        },
    })
}

/// A control plane with the namespace as the manifests make it, and everything that pods in it refer to.
async fn control_plane(directory: &Path) -> ControlPlane {
    let plane = ControlPlane::start_in(directory, "kubernetes").await;
    for account in ["seawall", "default", "other"] {
        plane.service_account(NAMESPACE, account);
    }
    // Last, because making an account makes its namespace as it is without any rule.
    plane.apply(&std::fs::read_to_string(deploy("kustomize/base/namespace.yaml")).expect("a manifest"));
    plane.apply(&service_monitors().to_string());
    plane.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/servicemonitors.monitoring.coreos.com",
    ]);
    plane
}

/// What the API server makes of the manifests without keeping them.
fn accepted(plane: &ControlPlane, manifests: &str) -> Vec<Value> {
    let apply = ["apply", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"];
    let taken = plane
        .kubectl_as(&plane.kubeconfig(), &apply, manifests)
        .unwrap_or_else(|complaint| panic!("{complaint}\n{manifests}"));
    let mut list: Value = serde_json::from_str(&taken).expect("a list");
    serde_json::from_value(list["items"].take()).expect("items")
}

fn kinds(objects: &[Value]) -> BTreeSet<&str> {
    objects.iter().map(|object| object["kind"].as_str().expect("a kind")).collect()
}

fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

/// Whether admission lets a workload's pod into the namespace, which takes restricted ones alone.
fn admitted(plane: &ControlPlane, workload: &Value) -> Result<(), String> {
    let mut spec = workload["spec"]["template"]["spec"].clone();
    // The claims of a StatefulSet are volumes of its pods.
    let claims = workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    let volumes = claims.map(|claim| json!({ "name": claim["metadata"]["name"], "emptyDir": {} }));
    let own = spec["volumes"].as_array().cloned().unwrap_or_default();
    spec["volumes"] = own.into_iter().chain(volumes).collect();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "probe", "namespace": NAMESPACE }, "spec": spec,
    });
    let create = ["create", "--dry-run=server", "-f", "-"];
    plane.kubectl_as(&plane.kubeconfig(), &create, &pod.to_string()).map(drop)
}

fn has_restricted_pods(plane: &ControlPlane, objects: &[Value]) {
    let workloads = objects.iter().filter(|object| object["spec"]["template"].is_object());
    for workload in workloads {
        admitted(plane, workload).unwrap_or_else(|complaint| panic!("{complaint}"));
        for container in workload["spec"]["template"]["spec"]["containers"].as_array().expect("containers") {
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
            assert!(container["livenessProbe"].is_object(), "{container}");
        }
    }
}

/// What stands between replicas and a roll-out that interrupts them.
fn stays_up(objects: &[Value]) {
    let deployment = one(objects, "Deployment");
    let spec = &deployment["spec"]["template"]["spec"];
    assert!(deployment["spec"]["replicas"].as_u64() >= Some(2));
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert_eq!(spec["containers"][0]["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(spec["topologySpreadConstraints"].as_array().map(Vec::len), Some(2));
    let pods = &deployment["spec"]["template"]["metadata"]["labels"];
    let selectors = [
        &deployment["spec"]["selector"]["matchLabels"],
        &one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ];
    for selector in selectors {
        let selector = selector.as_object().expect("a selector");
        assert!(selector.iter().all(|(label, value)| pods[label] == *value), "{selector:?} is not in {pods}");
    }
    for service in objects.iter().filter(|object| object["kind"] == "Service") {
        let selector = service["spec"]["selector"].as_object().expect("a selector");
        let is_gateway = selector.iter().all(|(label, value)| pods[label] == *value);
        assert_eq!(is_gateway, service["metadata"]["name"] == "seawall", "{selector:?} in {pods}");
    }
}

#[tokio::test]
async fn the_manifests_are_taken_and_their_pods_are_restricted() {
    let scene = scene().await;
    let plane = control_plane(scene.path()).await;
    let base = accepted(&plane, &plane.kubectl(&["kustomize", &deploy("kustomize/base").to_string_lossy()]));
    let trial = accepted(
        &plane,
        &plane.kubectl(&["kustomize", &deploy("kustomize/overlays/trial").to_string_lossy()]),
    );
    let overlay = format!(
        "namespace: {NAMESPACE}\nresources: [{}]\ncomponents: [{}]\n",
        from_root(scene.path(), "kustomize/base"),
        from_root(scene.path(), "kustomize/components/service-monitor"),
    );
    scene.file("kustomization.yaml", &overlay);
    let monitored = accepted(&plane, &plane.kubectl(&["kustomize", &scene.path().to_string_lossy()]));

    for objects in [&base, &trial, &monitored] {
        has_restricted_pods(&plane, objects);
        stays_up(objects);
    }
    let mut expected = BTreeSet::from(REPLICATED);
    expected.insert("Namespace");
    assert_eq!(kinds(&monitored), expected);
    assert!(!kinds(&base).contains("ServiceMonitor") && kinds(&trial).contains("StatefulSet"));
    // The one whose pods are not restricted is not let in: the namespace that is shipped sees to it.
    let mut lax = one(&base, "Deployment").clone();
    lax["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
    let complaint = admitted(&plane, &lax).expect_err("a pod that may be root");
    assert!(complaint.contains("runAsNonRoot"), "{complaint}");
    // The image is named in one place, and where it comes from is the operator's to say.
    assert_eq!(
        one(&base, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"],
        "seawall:0.1.0"
    );
}

/// The way from `folder` over the root: kustomize takes no absolute path.
fn from_root(folder: &Path, path: &str) -> String {
    let real = |path: &Path| path.canonicalize().expect("a path that is there");
    let up = "/..".repeat(real(folder).components().count() - 1);
    format!(".{up}{}", real(&deploy(path)).display())
}

#[tokio::test]
async fn the_chart_is_taken_with_its_defaults_and_in_every_variant() {
    let scene = scene().await;
    let plane = control_plane(scene.path()).await;
    for (values, present, absent) in VARIANTS {
        let objects = accepted(&plane, &chart(values));
        let kinds = kinds(&objects);
        assert!(present.iter().all(|kind| kinds.contains(kind)), "{values}: {kinds:?}");
        assert!(absent.iter().all(|kind| !kinds.contains(kind)), "{values}: {kinds:?}");
        has_restricted_pods(&plane, &objects);
        if !values.contains("embedded") {
            stays_up(&objects);
        }
        assert!(objects.iter().all(|object| object["metadata"]["namespace"] != "default"), "{values}");
    }
    let embedded = accepted(&plane, &chart("{replicas: 3, state: {kind: embedded}}"));
    let deployment = &one(&embedded, "Deployment")["spec"];
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&json!(1), &json!("Recreate")));
    let all = accepted(&plane, &chart("serviceMonitor: {enabled: true}"));
    assert_eq!(kinds(&all), BTreeSet::from(REPLICATED));
}

#[test]
fn values_that_make_no_sense_are_refused_and_named() {
    for (values, named) in [
        ("replica: 3", "replica"),
        ("replicas: 0", "replicas"),
        ("replicas: many", "replicas"),
        ("state: {kind: sqlite}", "kind"),
        ("state: {redis: {urls: []}}", "urls"),
        ("state: {redis: {urls: ['redis-0:6379']}}", "urls"),
        ("state: {redis: {urls: ['redis://:secret@redis-0:6379']}}", "urls"),
        ("state: {redis: {mode: sentinel}}", "sentinelMaster"),
        ("state: {redis: {sentinelMaster: main}}", "sentinelMaster"),
        ("state: {redis: {durability: always}}", "durability"),
        ("state: {redis: {password: secret}}", "password"),
        ("serviceAccount: {create: false}", "serviceAccount"),
        ("image: {digest: latest}", "digest"),
        ("networkPolicy: {from: []}", "from"),
        ("policies: {environment.txt: ''}", "environment.txt"),
    ] {
        let complaint = render_chart(&deploy("helm/seawall"), NAMESPACE, values).expect_err(values);
        assert!(complaint.contains(named), "{values}: {complaint}");
    }
}

/// The text of `seawall.yaml` among the manifests.
fn configuration(objects: &[Value]) -> String {
    let texts = objects.iter().filter_map(|object| object["data"]["seawall.yaml"].as_str());
    texts.map(str::to_owned).next().expect("a ConfigMap has the configuration")
}

#[tokio::test]
async fn the_configurations_that_are_shipped_are_valid() {
    let scene = scene().await;
    let plane = control_plane(scene.path()).await;
    let mut configurations =
        vec![std::fs::read_to_string(deploy("kustomize/base/seawall.yaml")).expect("a file")];
    for (values, ..) in VARIANTS {
        configurations.push(configuration(&accepted(&plane, &chart(values))));
    }
    configurations
        .push(configuration(&accepted(&plane, &chart("config: {server: {timeouts: {drainDelay: 9s}}}"))));
    for configuration in &configurations {
        let file = scene.file("shipped.yaml", configuration);
        // Who sends is asked by default in a cluster, and this is none.
        let args = ["config", "check", "--allow-anonymous", "--config", &file.to_string_lossy()];
        let ended = run(&scene, &args, &[]).await;
        assert_eq!(ended.code, Some(0), "{}\n{configuration}", ended.said);
        assert!(
            configuration.contains("0.0.0.0:8080") && configuration.contains("drainDelay"),
            "{configuration}"
        );
    }
    assert!(configurations.last().is_some_and(|last| last.contains("drainDelay: 9s")), "what is given wins");
}

#[tokio::test]
async fn a_replica_with_the_shipped_configuration_writes_nothing_to_its_disk() {
    let scene = scene().await;
    let redis = RedisServer::builder(scene.path(), "redis").password("word").start().await;
    let password = scene.file("password", "word\n");
    let configuration = std::fs::read_to_string(deploy("kustomize/base/seawall.yaml")).expect("a file");
    let seawall = scene
        .seawall("seawall")
        .config(&configuration)
        .redis_option("urls", &format!("redis://127.0.0.1:{}", redis.port()))
        .env("SEAWALL_STATE__REDIS__PASSWORD_FILE", &password.to_string_lossy())
        .env("SEAWALL_SERVER__METRICS_LISTEN", "127.0.0.1:0")
        .start()
        .await;
    assert_eq!(fire(&seawall.client(), &Alert::new("DiskFull", "prod", "db-0")).await.status, 201);
    requests_in(&seawall.client(), "prod", 1).await;
    assert!(!seawall.data_dir().exists(), "{} is there", seawall.data_dir().display());
}

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
