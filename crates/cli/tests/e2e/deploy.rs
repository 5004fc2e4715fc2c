//! What deploys Seawall, on a real API server: it is taken, its pods are as restricted as pods can be, it may do what
//! it needs and nothing else.

mod rights;

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
const REPLICATED: [&str; 12] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PrometheusRule",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
];

/// Values that turn on what is off, each with the kinds that must be there besides the usual ones, and those that must
/// not.
const VARIANTS: [(&str, &[&str], &[&str]); 7] = [
    ("{}", &[], &["PrometheusRule", "ServiceMonitor", "StatefulSet", "PersistentVolumeClaim"]),
    (
        "prometheusRule: {enabled: true, runbook: 'https://runbooks.example/seawall', labels: {release: prometheus}}",
        &["PrometheusRule"],
        &["ServiceMonitor"],
    ),
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

/// A kind of the Prometheus Operator, so that the API server knows the part of it that is used here.
fn operators_kind(kind: &str, spec: &Value) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.monitoring.coreos.com") },
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": spec },
            } } }],
        },
    })
}

fn operators_kinds() -> [Value; 2] {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "object", "additionalProperties": text });
    let duration = json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$" });
    let endpoint = json!({ "type": "object", "properties": {
        "port": text, "path": text, "interval": duration,
    } });
    let monitor = json!({ "type": "object", "required": ["selector", "endpoints"], "properties": {
        "selector": { "type": "object", "properties": { "matchLabels": texts } },
        "endpoints": { "type": "array", "items": endpoint },
    } });
    let rule = json!({ "type": "object", "required": ["expr"], "properties": {
        "alert": text, "expr": text, "for": duration, "labels": texts, "annotations": texts,
    } });
    let group = json!({ "type": "object", "required": ["name"], "properties": {
        "name": text, "rules": { "type": "array", "items": rule },
    } });
    let rules = json!({ "type": "object", "required": ["groups"], "properties": {
        "groups": { "type": "array", "items": group },
    } });
    [operators_kind("ServiceMonitor", &monitor), operators_kind("PrometheusRule", &rules)]
}

/// A control plane with the namespace as the manifests make it, and everything that pods in it refer to.
async fn control_plane(directory: &Path) -> ControlPlane {
    let plane = ControlPlane::start_in(directory, "kubernetes").await;
    for account in ["seawall", "default", "other"] {
        plane.service_account(NAMESPACE, account);
    }
    // Last, because making an account makes its namespace as it is without any rule.
    plane.apply(&std::fs::read_to_string(deploy("kustomize/base/namespace.yaml")).expect("a manifest"));
    for kind in operators_kinds() {
        let name = format!("crd/{}", kind["metadata"]["name"].as_str().expect("a name"));
        plane.apply(&kind.to_string());
        plane.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name]);
    }
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
        "namespace: {NAMESPACE}\nresources: [{}]\ncomponents: [{}, {}, {}]\n",
        from_root(scene.path(), "kustomize/base"),
        from_root(scene.path(), "kustomize/components/service-monitor"),
        from_root(scene.path(), "kustomize/components/prometheus-rule"),
        from_root(scene.path(), "kustomize/components/tls"),
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
    speaks_tls(&monitored);
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

/// The Secret is where the keys of the configuration say.
fn speaks_tls(objects: &[Value]) {
    let pod = &one(objects, "Deployment")["spec"]["template"]["spec"];
    let mounts = pod["containers"][0]["volumeMounts"].as_array().expect("mounts");
    let mount = mounts.iter().find(|mount| mount["name"] == "tls").expect("the Secret is mounted");
    assert_eq!(mount["mountPath"], "/etc/seawall/tls");
    let volumes = pod["volumes"].as_array().expect("volumes");
    let volume = volumes.iter().find(|volume| volume["name"] == "tls").expect("the Secret is a volume");
    assert_eq!(volume["secret"]["secretName"], "seawall-tls");
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
    let tls = accepted(&plane, &chart("tls: {secret: seawall-tls, clientCA: true}"));
    has_restricted_pods(&plane, &tls);
    speaks_tls(&tls);
    let configuration = configuration(&tls);
    for file in [
        "cert: /etc/seawall/tls/tls.crt",
        "key: /etc/seawall/tls/tls.key",
        "clientCA: /etc/seawall/tls/ca.crt",
    ] {
        assert!(configuration.contains(file), "{configuration}");
    }
    let all = accepted(&plane, &chart("{serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}}"));
    assert_eq!(kinds(&all), BTreeSet::from(REPLICATED));
}

#[tokio::test]
async fn the_alerts_are_the_same_however_they_are_deployed_and_link_to_where_the_runbook_is() {
    let scene = scene().await;
    let plane = control_plane(scene.path()).await;
    let files = ["kustomize/base/namespace.yaml", "kustomize/components/prometheus-rule/prometheusrule.yaml"];
    let texts = files.map(|file| std::fs::read_to_string(deploy(file)).expect("a manifest"));
    let with_component = accepted(&plane, &texts.join("---\n"));
    let of_component = one(&with_component, "PrometheusRule");
    let of_chart = accepted(&plane, &chart("prometheusRule: {enabled: true}"));
    assert_eq!(one(&of_chart, "PrometheusRule")["spec"], of_component["spec"]);
    let rules = of_component["spec"]["groups"][0]["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), seawall_telemetry::monitoring::rules().len());

    let elsewhere = chart("prometheusRule: {enabled: true, runbook: 'https://runbooks.example/seawall'}");
    let elsewhere = accepted(&plane, &elsewhere);
    let rule = &one(&elsewhere, "PrometheusRule")["spec"]["groups"][0]["rules"][0];
    assert_eq!(rule["annotations"]["runbook_url"], "https://runbooks.example/seawall#seawalldown");
    assert_eq!(rule["alert"], "SeawallDown");
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
        ("prometheusRule: {runbook: ''}", "runbook"),
        ("policies: {environment.txt: ''}", "environment.txt"),
        ("tls: {cert: seawall-tls}", "cert"),
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
