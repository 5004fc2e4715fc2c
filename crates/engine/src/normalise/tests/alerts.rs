use super::*;

/// What kube-state-metrics leaves on every alert made of its metrics, in the common chart.
const STATE: &str = "container=kube-state-metrics, endpoint=http, instance=10.42.0.9:8080, job=kube-state-metrics, \
    pod=prom-kube-state-metrics-6c7f-x2, service=prom-kube-state-metrics";
/// What node-exporter leaves.
const HOST: &str = "container=node-exporter, endpoint=http-metrics, job=node-exporter, namespace=monitoring, \
    pod=prom-prometheus-node-exporter-8xk2p, service=prom-prometheus-node-exporter";

#[track_caller]
fn assert_about(text: &str, expected: &str) -> Signal {
    let signal = normalise(text);
    assert_eq!(about(&signal), expected, "{text}");
    signal
}

/// Fingerprints are compared with what `printf '%s' … | sha256sum` prints for the text beside them.
#[track_caller]
fn assert_printed(signal: &Signal, expected: &str) {
    assert_eq!(signal.fingerprint.to_string(), expected);
}

#[test]
fn two_nodes_that_are_not_ready_are_two_problems_outside_of_any_namespace() {
    let alert = |node: &str| {
        format!(
            "alertname=KubeNodeNotReady, condition=Ready, namespace=monitoring, node={node}, severity=warning, {STATE}"
        )
    };
    // KubeNodeNotReady::Node:worker-1
    let one = assert_about(&alert("worker-1"), "/Node/worker-1");
    assert_printed(&one, "5aaade190a9f2ab34f16ec7b4c7b0c5c3c2dc0cdd6a96b2eaaba36a9d100b780");
    // KubeNodeNotReady::Node:worker-2
    let other = assert_about(&alert("worker-2"), "/Node/worker-2");
    assert_printed(&other, "99c1d29548882ef4d9676122d5d96bb6833b7fadf0d2d9e31756fd4f485814bf");
}

#[test]
fn a_failed_job_is_about_the_job_and_not_about_who_reports_it() {
    // KubeJobFailed:prod:Job:backup-28391
    let signal = assert_about(
        &format!("alertname=KubeJobFailed, condition=true, job_name=backup-28391, namespace=prod, {STATE}"),
        "prod/Job/backup-28391",
    );
    assert_printed(&signal, "9e8ce3b8bd7282328d0ed006ecb8bd6560baf5a833dce2a5e8b391b4d819326b");
}

#[test]
fn a_deployment_without_replicas_is_about_the_deployment() {
    // KubeDeploymentReplicasMismatch:shop:Deployment:cart
    let signal = assert_about(
        &format!("alertname=KubeDeploymentReplicasMismatch, deployment=cart, namespace=shop, {STATE}"),
        "shop/Deployment/cart",
    );
    assert_printed(&signal, "2296aab4135b51fed8f33dab6f2ecc9275bc20eb9692e43c7bcf9afae3d0a50a");
}

#[test]
fn the_restart_of_an_exporter_changes_no_identity() {
    let before = normalise(&format!("alertname=KubeJobFailed, job_name=b, namespace=prod, {STATE}"));
    let after = STATE.replace("6c7f-x2", "77aa-zz").replace("10.42.0.9", "10.42.0.77");
    let after = normalise(&format!("alertname=KubeJobFailed, job_name=b, namespace=prod, {after}"));
    assert_eq!(before.fingerprint, after.fingerprint);
}

#[test]
fn an_alert_about_the_exporters_own_pod_finds_it() {
    // KubePodCrashLooping:monitoring:Pod:prom-kube-state-metrics-6c7f-x2
    let signal = assert_about(
        &format!("alertname=KubePodCrashLooping, namespace=monitoring, reason=CrashLoopBackOff, {STATE}"),
        "monitoring/Pod/prom-kube-state-metrics-6c7f-x2",
    );
    assert_printed(&signal, "528b7b58170e81fee6a7b11b330adf4533c66a3bd0f304abf07e06083ad13e3f");
    let by_another =
        STATE.replace("pod=prom-kube-state-metrics-6c7f-x2", "pod=prom-prometheus-node-exporter-8xk2p");
    assert_about(
        &format!("alertname=KubePodCrashLooping, namespace=monitoring, {by_another}"),
        "monitoring/Pod/prom-prometheus-node-exporter-8xk2p",
    );
}

#[test]
fn a_host_exporter_speaks_about_its_host() {
    // NodeFilesystemAlmostOutOfSpace:monitoring:Instance:10.0.0.5\:9100
    let signal = assert_about(
        &format!(
            "alertname=NodeFilesystemAlmostOutOfSpace, device=/dev/sda1, instance=10.0.0.5:9100, {HOST}"
        ),
        "monitoring/Instance/10.0.0.5:9100",
    );
    assert_printed(&signal, "4b619f9cf4d61b574b15a8adeeee9ffb1553b3b880c25f282d6e38db2f140c49");
    assert_about(
        &format!("alertname=NodeClockSkew, instance=10.0.0.5:9100, node=worker-1, {HOST}"),
        "/Node/worker-1",
    );
    assert_about(&format!("alertname=Down, {HOST}"), "monitoring/Pod/prom-prometheus-node-exporter-8xk2p");
}

#[test]
fn a_job_that_ends_in_an_exporters_name_or_else_the_service_names_it() {
    let one = "pod=x-kube-state-metrics-1, namespace=shop, deployment=cart";
    assert_about(
        &format!("alertname=A, job=monitoring/kube-state-metrics, {one}"),
        "shop/Pod/x-kube-state-metrics-1",
    );
    assert_about(&format!("alertname=A, job=eu-kube-state-metrics, {one}"), "shop/Deployment/cart");
    assert_about(
        &format!("alertname=A, job=other, service=kube-state-metrics, {one}"),
        "shop/Deployment/cart",
    );
    assert_about(&format!("alertname=A, job=mykube-state-metrics, {one}"), "shop/Pod/x-kube-state-metrics-1");
    assert_about(
        "alertname=A, job=kube-state-metrics, pod=web-1, namespace=shop, deployment=cart",
        "shop/Pod/web-1",
    );
}

#[test]
fn exported_labels_win_and_what_describes_the_scraper_is_passed_over() {
    assert_about(
        &format!("alertname=A, exported_namespace=prod, exported_pod=web-1, namespace=monitoring, {STATE}"),
        "prod/Pod/web-1",
    );
    assert_about("alertname=A, exported_pod=web-1, pod=scraper, namespace=prod", "prod/Pod/web-1");
    assert_about(
        "alertname=A, exported_namespace=prod, namespace=m, pod=p, service=s, instance=i, deployment=cart",
        "prod/Deployment/cart",
    );
    assert_about(
        "alertname=A, exported_namespace=prod, namespace=m, pod=p, service=s, instance=i",
        "prod/Unknown/A",
    );
    assert_about("alertname=A, exported_namespace=, namespace=m, exported_pod=, pod=p", "m/Pod/p");
}

#[test]
fn the_first_label_of_the_list_says_what_an_alert_is_about() {
    let kinds = [
        ("pod", "shop/Pod/x"),
        ("deployment", "shop/Deployment/x"),
        ("statefulset", "shop/StatefulSet/x"),
        ("daemonset", "shop/DaemonSet/x"),
        ("job_name", "shop/Job/x"),
        ("cronjob", "shop/CronJob/x"),
        ("horizontalpodautoscaler", "shop/HorizontalPodAutoscaler/x"),
        ("persistentvolumeclaim", "shop/PersistentVolumeClaim/x"),
        ("persistentvolume", "/PersistentVolume/x"),
        ("poddisruptionbudget", "shop/PodDisruptionBudget/x"),
        ("node", "/Node/x"),
        ("ingress", "shop/Ingress/x"),
        ("service", "shop/Service/x"),
        ("instance", "shop/Instance/x"),
    ];
    for (at, (_, expected)) in kinds.iter().enumerate() {
        // In the opposite order, so that the order of the list decides and not that of the labels.
        let given = kinds[at..].iter().rev().map(|(label, _)| format!(", {label}=x")).collect::<String>();
        assert_about(&format!("alertname=A, namespace=shop{given}"), expected);
        assert_about(
            &format!("alertname=A, exported_namespace=shop{}", given.replace(", ", ", exported_")),
            expected,
        );
    }
    assert_about("alertname=A, namespace=shop, pod=, foo=bar", "shop/Unknown/A");
    assert_about("alertname=A", "default/Unknown/A");
}

#[test]
fn the_order_of_the_list_is_configurable() {
    let normaliser = normaliser(|config, _| {
        config.resource_labels = ["node", "kafka_topic", "namespace"].map(ResourceLabel::of).to_vec();
    });
    let asked = |text: &str| about(&try_normalise(&normaliser, text).unwrap());
    assert_eq!(asked("alertname=A, namespace=shop, pod=p, node=n"), "/Node/n");
    assert_eq!(asked("alertname=A, namespace=shop, pod=p, kafka_topic=orders"), "shop/KafkaTopic/orders");
    assert_eq!(asked("alertname=A, namespace=shop, pod=p"), "/Namespace/shop");
}
