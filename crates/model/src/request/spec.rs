//! The resource as it is read and written, on the Kubernetes API and over HTTP alike.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Priority, RemediationPath, Severity, Timestamp};

// The bounds of texts and lists are those of what Seawall makes, counted in bytes there and in characters here, so
// nothing that it makes is refused. They also bound what a rule costs, which the API server adds up when the definition
// is installed.

/// One problem that somebody should remediate.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema, ToSchema)]
#[kube(
    group = "remediation.kubernaut.io",
    version = "v1alpha1",
    kind = "RemediationRequest",
    plural = "remediationrequests",
    shortname = "rr",
    namespaced,
    status = "RemediationRequestStatus",
    derive = "PartialEq",
    selectable = ".spec.signalFingerprint",
    printcolumn = r#"{"name":"Signal","type":"string","jsonPath":".spec.signalName"}"#,
    printcolumn = r#"{"name":"Severity","type":"string","jsonPath":".spec.severity"}"#,
    printcolumn = r#"{"name":"Priority","type":"string","jsonPath":".spec.priority"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.overallPhase"}"#,
    printcolumn = r#"{"name":"Storm","type":"boolean","jsonPath":".spec.isStorm"}"#,
    printcolumn = r#"{"name":"Alerts","type":"integer","jsonPath":".spec.deduplication.occurrenceCount"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct RemediationRequestSpec {
    /// Identity of the problem: SHA-256, 64 lower-case hex digits. Immutable.
    #[schemars(length(max = 64), regex(pattern = "^[a-f0-9]{64}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("signalFingerprint is immutable"))]
    pub signal_fingerprint: String,
    /// Name of the alert or reason of the event, at most 253 bytes of it. Immutable.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("signalName is immutable"))]
    pub signal_name: String,
    /// The worst severity seen while the request is open.
    pub severity: Severity,
    /// `production`, `staging`, `development`, `unknown` or a name of one's own.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// From severity and environment, unless a policy says otherwise.
    pub priority: Priority,
    /// How boldly a remediator may act; from environment and priority, unless a policy says otherwise.
    pub remediation_path: RemediationPath,
    /// `prometheus-alert` or `kubernetes-event`; others may follow.
    #[schemars(length(min = 1, max = 63))]
    pub signal_type: String,
    /// Name of the adapter that took the signal.
    #[schemars(length(min = 1, max = 63))]
    pub signal_source: String,
    /// What kind of thing `targetResource` names.
    pub target_type: TargetType,
    #[x_kube(validation = Rule::new("self == oldSelf").message("targetResource is immutable"))]
    pub target_resource: TargetResource,
    /// The cluster that the signal speaks of, where signals name one.
    #[serde(rename = "clusterID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub cluster_id: Option<String>,
    /// When the problem began, as the sender says.
    #[schema(value_type = String, format = DateTime)]
    pub firing_time: Timestamp,
    /// When the first signal arrived.
    #[schema(value_type = String, format = DateTime)]
    pub received_time: Timestamp,
    pub deduplication: Deduplication,
    /// Whether the request stands for a storm.
    pub is_storm: bool,
    /// `rate` or `flood`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub storm_type: Option<String>,
    /// The rule's window, as text with a unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub storm_window: Option<String>,
    /// Distinct fingerprints in the storm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>", range(min = 0))]
    pub storm_alert_count: Option<u64>,
    /// `namespace:Kind:name` of affected resources, a bounded sample.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub affected_resources: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storm_aggregation: Option<StormAggregation>,
    /// Name of the storm's request that took over from this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub superseded_by: Option<String>,
    /// Names of requests about the same storm that were already being worked on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related_requests: Vec<String>,
    /// When everything this request is about was reported as over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
    /// Labels of the alert, at most 64; values are cut at 1024 bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub signal_labels: BTreeMap<String, String>,
    /// Annotations of the alert, at most 64; values are cut at 1024 bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub signal_annotations: BTreeMap<String, String>,
    /// Base64 of JSON: the alert that opened the request, with its receiver, group key and generator URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_data: Option<String>,
    /// Base64 of the one alert as received, at most 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_config: Option<TimeoutConfig>,
}

/// Where the target of a request lives. Seawall's own are always `kubernetes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetType {
    Kubernetes,
    Aws,
    Azure,
    Gcp,
    Datadog,
}

/// What a request is about. Immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetResource {
    /// `Pod`, `Node`, …; `Unknown` when the alert names no resource.
    #[schemars(length(min = 1, max = 2048))]
    pub kind: String,
    /// As the signal has it; the name of the alert when it names no resource.
    #[schemars(length(min = 1, max = 2048))]
    pub name: String,
    /// Absent for what belongs to no namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub namespace: Option<String>,
    /// Where the signal says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub api_version: Option<String>,
}

/// How often the problem was reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deduplication {
    /// Whether more than one signal is counted here.
    pub is_duplicate: bool,
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// Accepted firing signals counted on this request. The sum over all requests is the number of accepted firing signals.
    #[schemars(with = "i64", range(min = 0))]
    pub occurrence_count: u64,
    /// Name of the request of the previous incident of the same problem, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub previous_remediation_request_ref: Option<String>,
}

/// What is known about the storm behind a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StormAggregation {
    /// Name of the storm rule.
    #[schemars(length(max = 63))]
    pub rule: String,
    /// What the members have in common, for people.
    pub pattern: String,
    /// The values that the members share.
    pub group_by: BTreeMap<String, String>,
    /// Distinct fingerprints, superseded ones included.
    #[schemars(with = "i64", range(min = 0))]
    pub alert_count: u64,
    /// Firing signals counted on this request.
    #[schemars(with = "i64", range(min = 0))]
    pub occurrence_count: u64,
    /// A bounded sample; totals are exact.
    #[schemars(length(max = 1000))]
    pub affected_resources: Vec<AffectedResource>,
    /// Whether the list is shorter than the storm.
    pub truncated: bool,
    /// The rule's window, as text with a unit.
    #[schemars(length(max = 63))]
    pub aggregation_window: String,
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Name of the request of the storm that continues this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub successor_ref: Option<String>,
    /// Names of individual requests that this one replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<String>,
}

/// One resource that the members of a storm are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffectedResource {
    pub kind: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub first_seen: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Timestamp,
    /// Firing signals about it since it was first seen, whichever request counted them.
    #[schemars(with = "i64", range(min = 0))]
    pub count: u64,
}

/// Limits that a remediator should keep, as text with a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation_processing_timeout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_analysis_timeout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_execution_timeout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall_workflow_timeout: Option<String>,
}

/// Written by whoever works on the request; Seawall only reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemediationRequestStatus {
    /// `Pending`, `Processing`, `Analyzing`, `AwaitingApproval`, `Executing`, `Verifying`, `Blocked`, `Completed`, `Failed`,
    /// `TimedOut`, `Skipped` or `Cancelled`; other names count as not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overall_phase: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation_processing_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_analysis_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_execution_ref: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_notification_sent: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Conditions as Kubernetes has them, one of a type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
}

/// One aspect of the work on a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub condition_type: String,
    pub status: ConditionStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_transition_time: Option<Timestamp>,
    /// The generation of the request that the worker had seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}
