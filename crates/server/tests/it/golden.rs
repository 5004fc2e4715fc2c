//! Generated artefacts are checked in, and are what the source says.

use std::path::PathBuf;

use seawall_telemetry::monitoring;

/// Compares with the checked-in file, or writes it when `UPDATE_GOLDEN=1`.
fn matches_golden(file: &str, generated: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == generated,
        "{file} is not what the source generates; UPDATE_GOLDEN=1 cargo test -p seawall-server writes it again"
    );
}

#[test]
fn the_configuration_reference_is_what_the_source_says() {
    matches_golden("docs/configuration.md", &seawall_server::config::reference());
}

#[test]
fn the_configuration_schema_is_what_the_source_says() {
    let schema = serde_json::to_string_pretty(&seawall_server::config::schema()).unwrap() + "\n";
    matches_golden("docs/config.schema.json", &schema);
}

#[test]
fn the_custom_resource_definition_is_what_the_source_says() {
    let definition = seawall_model::crd_yaml().unwrap();
    matches_golden("docs/crd/remediationrequests.yaml", &definition);
    // A chart can only install what lies in its own folder.
    matches_golden("deploy/helm/seawall/crds/remediationrequests.yaml", &definition);
}

#[test]
fn the_reference_of_the_metrics_is_what_the_source_says() {
    matches_golden("docs/metrics.md", &seawall_telemetry::reference());
}

#[test]
fn the_alert_rules_are_what_the_source_says() {
    let rules = monitoring::rules_file();
    matches_golden("deploy/monitoring/rules.yaml", &rules);
    // A chart can only read what lies in its own folder.
    matches_golden("deploy/helm/seawall/files/rules.yaml", &rules);
    matches_golden(
        "deploy/kustomize/components/prometheus-rule/prometheusrule.yaml",
        &monitoring::prometheus_rule(),
    );
}

#[test]
fn the_dashboard_is_what_the_source_says() {
    let dashboard = serde_json::to_string_pretty(&monitoring::dashboard()).unwrap() + "\n";
    matches_golden("deploy/monitoring/dashboard.json", &dashboard);
}
