//! What a normaliser is told by configuration, after validation.

use std::collections::BTreeMap;

use compact_str::CompactString;
use seawall_model::Severity;

/// Plain validated values; [`Default`] is the contract's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormaliserConfig {
    /// The label that names the cluster; it becomes part of the identity where it is present.
    pub cluster_label: CompactString,
    /// Further labels that are part of the identity where they are present.
    pub extra_labels: Vec<CompactString>,
    /// The labels that say what an alert is about, the first present one wins.
    pub resource_labels: Vec<ResourceLabel>,
    /// Exporters that speak about objects elsewhere; their own address means nothing.
    pub state_exporters: Vec<CompactString>,
    /// Exporters that speak about a host, which may be named by `instance`.
    pub host_exporters: Vec<CompactString>,
    /// By value of the label `severity`, compared without case; everything else is a warning.
    pub severities: BTreeMap<CompactString, Severity>,
    /// Environment by namespace, before the patterns `prod*`, `staging*` and `dev*` are asked. 1 to 63 bytes each.
    pub environments: BTreeMap<CompactString, CompactString>,
}

/// A label whose value names a resource of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceLabel {
    pub label: CompactString,
    pub kind: CompactString,
}

/// In the order in which they are asked by default: what is nearest to the problem first.
const RESOURCE_LABELS: [(&str, &str); 14] = [
    ("pod", "Pod"),
    ("deployment", "Deployment"),
    ("statefulset", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("job_name", "Job"),
    ("cronjob", "CronJob"),
    ("horizontalpodautoscaler", "HorizontalPodAutoscaler"),
    ("persistentvolumeclaim", "PersistentVolumeClaim"),
    ("persistentvolume", "PersistentVolume"),
    ("poddisruptionbudget", "PodDisruptionBudget"),
    ("node", "Node"),
    ("ingress", "Ingress"),
    ("service", "Service"),
    ("instance", "Instance"),
];

/// Kinds of labels that are not asked by default but may be configured.
const OTHER_KINDS: [(&str, &str); 3] =
    [("namespace", "Namespace"), ("replicaset", "ReplicaSet"), ("resourcequota", "ResourceQuota")];

impl ResourceLabel {
    /// The label with its usual kind; for labels without one the label's words with capitals, `kafka_topic` gives
    /// `KafkaTopic`.
    pub fn of(label: &str) -> Self {
        let known = RESOURCE_LABELS.iter().chain(&OTHER_KINDS).find(|(known, _)| *known == label);
        let kind = match known {
            Some((_, kind)) => (*kind).into(),
            None => label.split('_').flat_map(capitalised).collect(),
        };
        Self { label: label.into(), kind }
    }
}

fn capitalised(word: &str) -> impl Iterator<Item = char> {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters)
}

const SEVERITIES: [(&str, Severity); 9] = [
    ("critical", Severity::Critical),
    ("page", Severity::Critical),
    ("error", Severity::Critical),
    ("sev1", Severity::Critical),
    ("p1", Severity::Critical),
    ("high", Severity::Critical),
    ("info", Severity::Info),
    ("none", Severity::Info),
    ("low", Severity::Info),
];

impl Default for NormaliserConfig {
    fn default() -> Self {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        Self {
            cluster_label: "cluster".into(),
            extra_labels: Vec::new(),
            resource_labels: RESOURCE_LABELS.iter().map(|(label, _)| ResourceLabel::of(label)).collect(),
            state_exporters: texts(&["kube-state-metrics", "openshift-state-metrics"]),
            host_exporters: texts(&[
                "node-exporter",
                "windows-exporter",
                "blackbox-exporter",
                "snmp-exporter",
            ]),
            severities: SEVERITIES.iter().map(|(text, severity)| ((*text).into(), *severity)).collect(),
            environments: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_without_a_usual_kind_gives_its_own_name() {
        assert_eq!(ResourceLabel::of("job_name").kind, "Job");
        assert_eq!(ResourceLabel::of("namespace").kind, "Namespace");
        assert_eq!(ResourceLabel::of("kafka_topic").kind, "KafkaTopic");
        assert_eq!(ResourceLabel::of("").kind, "");
    }
}
