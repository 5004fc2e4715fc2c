//! Which environment, priority and path requests get, from what clusters and policies say while Seawall runs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_testkit::kubernetes::ControlPlane;
use seawall_testkit::{Alert, Client, Scene, eventually};
use serde_json::json;

use crate::support::{SOON, fire, name_of, run, samples, scene};

/// Every alert of a test is to get a request of its own, at once.
const NO_STORMS: &str = "storm: {rules: []}\n";

/// What Seawall needs to be allowed, and no more.
const RIGHTS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: seawall-classification}
rules: [{apiGroups: [''], resources: [namespaces], verbs: [list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: seawall-classification}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: seawall-classification}
subjects: [{kind: ServiceAccount, name: seawall, namespace: default}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: seawall-classification, namespace: default}
rules: [{apiGroups: [''], resources: [configmaps], resourceNames: [seawall-environments], verbs: [list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: seawall-classification, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: seawall-classification}
subjects: [{kind: ServiceAccount, name: seawall, namespace: default}]
";

/// Fires a new critical problem.
async fn new_problem(client: &Client, namespace: &str, team: &str) -> serde_json::Value {
    static PODS: AtomicUsize = AtomicUsize::new(0);
    let pod = format!("web-{}", PODS.fetch_add(1, Ordering::Relaxed));
    let answer = fire(client, &Alert::new("PodCrashLooping", namespace, pod).label("team", team)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// `environment priority path` of the request that a new critical problem gets.
async fn class_of(client: &Client, namespace: &str, team: &str) -> String {
    let answer = new_problem(client, namespace, team).await;
    let requests = client.requests(&format!("namespace={namespace}")).await;
    let named = |name: &str| answer["remediationRequestName"] == name;
    let request = requests.iter().find(|request| named(name_of(request))).expect("the request exists");
    let spec = &request.spec;
    assert_eq!(answer["environment"], spec.environment.as_str());
    format!("{} {} {}", spec.environment, spec.priority.as_str(), spec.remediation_path.as_str())
}

/// Waits until new problems are classed like this. Asks the answers, because a list of all requests would grow with
/// every question.
async fn classed(client: &Client, namespace: &str, expected: &str) {
    eventually(SOON, || async {
        let answer = new_problem(client, namespace, "any").await;
        let [environment, priority, path] =
            ["environment", "priority", "remediationPath"].map(|field| answer[field].as_str().unwrap_or("-"));
        let class = format!("{environment} {priority} {path}");
        if class == expected { Ok(()) } else { Err(class) }
    })
    .await;
    assert_eq!(class_of(client, namespace, "any").await, expected);
}

fn override_all(cluster: &ControlPlane, data: &serde_json::Value) {
    let metadata = json!({"name": "seawall-environments", "namespace": "default"});
    let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    cluster.apply(&config_map.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_cluster_says_about_a_namespace_is_in_the_next_request() {
    let scene = scene().await;
    let mut cluster = ControlPlane::start(&scene).await;
    let account = cluster.service_account("default", "seawall");
    cluster.namespace("shop");
    let config = format!(
        "{NO_STORMS}classify: {{kubernetes: true, environments: {{shop: staging, prod-copy: development}}}}\n"
    );
    let seawall =
        scene.seawall("seawall").config(&config).kubeconfig(cluster.kubeconfig_of(&account)).start().await;
    let client = seawall.client();

    // Nothing may be read yet: the configuration's table is the next source in order.
    assert_eq!(class_of(&client, "shop", "any").await, "staging P1 moderate");
    eventually(SOON, || async {
        let said = seawall.process().output();
        if said.contains("cannot be watched") { Ok(()) } else { Err(said) }
    })
    .await;
    cluster.apply(RIGHTS);
    cluster.kubectl(&["label", "namespace", "shop", "environment=production"]);
    classed(&client, "shop", "production P0 aggressive").await;

    // What the ConfigMap says comes after a label, and before the table and the patterns.
    override_all(
        &cluster,
        &json!({"shop": "development", "prod-copy": "qa", "patterns.yaml": "'*-eu': production", "bad": ""}),
    );
    classed(&client, "prod-copy", "qa P1 moderate").await;
    assert_eq!(class_of(&client, "web-eu", "any").await, "production P0 aggressive");
    assert_eq!(class_of(&client, "shop", "any").await, "production P0 aggressive");
    assert!(seawall.process().output().contains("`bad`: the name of an environment has 1 to 63 bytes"));
    cluster.kubectl(&["label", "namespace", "shop", "environment-"]);
    classed(&client, "shop", "development P2 manual").await;

    // While the API server is away, what was known stays, and what is changed afterwards is learned again.
    cluster.kubectl(&["label", "namespace", "shop", "environment=canary"]);
    classed(&client, "shop", "canary P1 moderate").await;
    cluster.kill_apiserver();
    assert_eq!(class_of(&client, "shop", "any").await, "canary P1 moderate");
    assert_eq!(class_of(&client, "web-eu", "any").await, "production P0 aggressive");
    cluster.restart_apiserver().await;
    cluster.kubectl(&["label", "--overwrite", "namespace", "shop", "environment=production"]);
    cluster.kubectl(&["delete", "configmap", "seawall-environments"]);
    classed(&client, "shop", "production P0 aggressive").await;
    classed(&client, "prod-copy", "development P2 manual").await;
    classed(&client, "web-eu", "unknown P1 conservative").await;
}

#[tokio::test]
async fn a_cluster_that_is_away_keeps_nobody_from_starting() {
    let scene = scene().await;
    let mut cluster = ControlPlane::start(&scene).await;
    cluster.namespace("shop");
    cluster.kubectl(&["label", "namespace", "shop", "environment=production"]);
    cluster.kill_apiserver();
    let config = format!("{NO_STORMS}classify: {{kubernetes: true}}\n");
    let seawall = scene.seawall("seawall").config(&config).kubeconfig(cluster.kubeconfig()).start().await;
    let client = seawall.client();
    assert_eq!(class_of(&client, "shop", "any").await, "unknown P1 conservative");
    cluster.restart_apiserver().await;
    classed(&client, "shop", "production P0 aggressive").await;
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_told_at_the_start() {
    let scene = scene().await;
    let missing = scene.path().join("missing.kubeconfig");
    let config = "classify: {kubernetes: true}\n";
    let refusal = scene.seawall("seawall").config(config).kubeconfig(missing).try_start().await;
    let refusal = refusal.expect_err("there is no cluster");
    assert_eq!(refusal.code, Some(2), "{}", refusal.said);
    assert!(refusal.said.contains("`classify.kubernetes`"), "{}", refusal.said);
    assert!(refusal.said.contains("KUBECONFIG"), "{}", refusal.said);
}

/// Policies as a mounted ConfigMap shows them: each file is a link through one link that is changed in one step.
struct Mounted {
    directory: PathBuf,
    version: AtomicUsize,
}

impl Mounted {
    fn new(scene: &Scene, rules: &str) -> Self {
        let mounted = Self { directory: scene.folder("policies"), version: AtomicUsize::new(0) };
        mounted.change(rules);
        std::os::unix::fs::symlink("..data/policy.rego", mounted.directory.join("policy.rego")).unwrap();
        mounted
    }

    fn change(&self, rules: &str) {
        let version = format!("..version_{}", self.version.fetch_add(1, Ordering::Relaxed));
        let folder = self.directory.join(&version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("policy.rego"), format!("package seawall\nimport rego.v1\n{rules}\n"))
            .unwrap();
        let next = self.directory.join("..next");
        std::os::unix::fs::symlink(&version, &next).unwrap();
        std::fs::rename(next, self.directory.join("..data")).unwrap();
    }

    fn config(&self) -> String {
        format!("{NO_STORMS}classify: {{policyDir: '{}'}}\n", self.directory.display())
    }
}

async fn evaluations(client: &Client, policy: &str, outcome: &str) -> f64 {
    let labels = [format!("policy=\"{policy}\""), format!("outcome=\"{outcome}\"")];
    samples(client).await.sum("seawall_policy_evaluations_total", &[&labels[0], &labels[1]])
}

async fn until_refused(client: &Client, count: f64) {
    eventually(SOON, || async {
        let refused = samples(client).await.sum("seawall_config_reloads_total", &["outcome=\"failure\""]);
        if refused >= count { Ok(()) } else { Err(format!("{refused} refused")) }
    })
    .await;
}

#[tokio::test]
async fn a_changed_policy_applies_to_the_next_alert_and_a_broken_one_leaves_the_old_one() {
    let scene = scene().await;
    let mounted = Mounted::new(&scene, "priority := \"P3\" if input.labels.team == \"calm\"");
    let seawall = scene.seawall("seawall").config(&mounted.config()).start().await;
    let client = seawall.client();
    assert_eq!(class_of(&client, "prod", "calm").await, "production P3 manual");
    assert_eq!(class_of(&client, "prod", "any").await, "production P0 aggressive");
    assert_eq!(evaluations(&client, "priority", "ok").await, 1.0);
    assert_eq!(evaluations(&client, "priority", "undefined").await, 1.0);

    mounted.change("environment := \"canary\"\npath := \"manual\" if input.environment == \"canary\"");
    classed(&client, "prod", "canary P1 manual").await;

    mounted.change("environment := \"broken\" if {");
    until_refused(&client, 1.0).await;
    assert_eq!(class_of(&client, "prod", "any").await, "canary P1 manual", "what was in effect stays");
    let said = seawall.process().output();
    assert!(said.contains("policy.rego:") && said.contains("what was in effect stays"), "{said}");

    mounted.change("priority := 5 if input.labels.team == \"any\"");
    classed(&client, "prod", "production P0 aggressive").await;
    assert!(evaluations(&client, "priority", "invalid").await >= 1.0, "the table answers for the policy");
}

#[tokio::test]
async fn a_policy_that_never_ends_neither_loses_an_alert_nor_stops_the_server() {
    let scene = scene().await;
    let numbers = "numbers.range(1, 9000)";
    let mounted = Mounted::new(
        &scene,
        &format!(
            "priority := \"P3\" if {{\n input.labels.team == \"endless\"\n\
             count([1 | some a in {numbers}; some b in {numbers}; some c in {numbers}; a + b == c]) > 1\n}}"
        ),
    );
    let seawall = scene.seawall("seawall").config(&mounted.config()).start().await;
    let client = seawall.client();
    for _ in 0..5 {
        assert_eq!(class_of(&client, "prod", "endless").await, "production P0 aggressive");
    }
    let (stopped, resting) = (
        evaluations(&client, "priority", "timeout").await,
        evaluations(&client, "priority", "resting").await,
    );
    assert!(stopped >= 1.0 && stopped + resting == 5.0, "{stopped} stopped, {resting} not asked");
    assert_eq!(client.requests("").await.len(), 5);
}

#[tokio::test]
async fn policies_that_cannot_be_used_are_refused_at_the_start_with_their_place() {
    let scene = scene().await;
    for (rules, place, said) in [
        ("priority := \"P1\" if {", "policy.rego:", "expecting"),
        ("\n\npriority := nothing_like_it(1)", "policy.rego:5:", "nothing_like_it"),
        ("other := 1", "seawall.yaml:2:", "no policy here answers anything"),
    ] {
        let folder = scene.folder(&format!("policies-{}", rules.len()));
        let text = format!("package seawall\nimport rego.v1\n{rules}\n");
        std::fs::write(folder.join("policy.rego"), text).unwrap();
        let config = scene.file("seawall.yaml", &format!("classify:\n  policyDir: {}\n", folder.display()));
        for command in [&["serve"][..], &["config", "check"]] {
            let config = config.to_string_lossy();
            let args = [command, &["--config", &config]].concat();
            let ended = run(&scene, &args, &[]).await;
            assert_eq!(ended.code, Some(2), "{}", ended.said);
            for part in [place, said, "classify.policyDir"] {
                assert!(ended.said.contains(part), "{part}: {}", ended.said);
            }
        }
    }
}

#[tokio::test]
async fn the_sample_policies_do_what_they_say() {
    let scene = scene().await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/policies");
    let config = format!("{NO_STORMS}classify: {{policyDir: '{}'}}\n", samples.display());
    let seawall = scene.seawall("seawall").config(&config).start().await;
    let client = seawall.client();
    assert_eq!(class_of(&client, "staging", "checkout").await, "staging P1 moderate");
    assert_eq!(class_of(&client, "prod-db", "any").await, "production P0 manual");
    let mut maintained = Alert::new("DiskFull", "prod", "web-a").label("team", "any");
    maintained.annotations.insert("maintenance".to_owned(), "true".to_owned());
    let canary = Alert::new("DiskFull", "prod", "web-b").label("track", "canary");
    for (alert, environment, priority) in [(maintained, "production", "P3"), (canary, "canary", "P1")] {
        let answer = fire(&client, &alert).await.json();
        assert_eq!(answer["environment"], environment);
        assert_eq!(answer["priority"], priority);
    }
    assert_eq!(client.requests("").await.len(), 4);
}
