//! The pure step from what is stored to what is shown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compact_str::CompactString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::mark;
use super::spec::{
    AffectedResource, Deduplication, RemediationRequest, RemediationRequestSpec, RemediationRequestStatus,
    StormAggregation, TargetResource, TargetType,
};
use super::text::{kept, kept_pairs};
use crate::{
    Detail, Fingerprint, Identity, Millis, Priority, RemediationPath, RequestId, RequestRef, Severity,
    Timestamp, cut, is_dns_label, label_safe,
};

/// What never changes about a request; written once, when it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestDoc {
    pub fingerprint: Fingerprint,
    pub reference: RequestRef,
    pub identity: Identity,
    pub api_version: Option<CompactString>,
    pub environment: CompactString,
    pub firing_time: Timestamp,
    pub received_time: Timestamp,
    /// The request of the previous incident of this problem.
    pub previous: Option<RequestId>,
    pub detail: Detail,
}

/// What changes about a request while it is open. Counts are absolute, so writing it twice is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestState {
    pub severity: Severity,
    pub priority: Priority,
    pub path: RemediationPath,
    pub occurrences: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub superseded_by: Option<RequestId>,
    pub related: Vec<RequestId>,
    pub storm: Option<StormState>,
    /// Raised whenever state may have been taken over by another writer.
    pub epoch: u64,
    /// Raised by every change; never goes backwards.
    pub sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StormState {
    pub rule: Arc<str>,
    pub storm_type: CompactString,
    pub pattern: Arc<str>,
    pub window: Millis,
    pub group_by: Vec<(CompactString, CompactString)>,
    pub alert_count: u64,
    pub affected: Vec<Affected>,
    pub truncated: bool,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub successor: Option<RequestId>,
    pub supersedes: Vec<RequestId>,
}

/// One resource that a storm affects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    pub kind: CompactString,
    pub name: CompactString,
    pub namespace: CompactString,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub count: u64,
}

/// Bytes that the lists of affected resources may take together, so that a request stays under 256 KiB however large
/// the storm and however long the names: labels and annotations add at most 2 × 64 × (1 KiB + name), the payload twice
/// 16 KiB in base64.
const AFFECTED_BUDGET: usize = 96 * 1024;
/// Bytes of a name that are shown where Kubernetes would take no longer one.
pub(super) const MAX_NAME: usize = 253;
/// JSON around one affected resource in both lists: keys, quotes, two times, a count.
const AFFECTED_OVERHEAD: usize = 160;

/// The resource that shows this request. Pure: the same input gives the same object.
pub fn build_request(
    doc: &RequestDoc,
    state: &RequestState,
    status: Option<&RemediationRequestStatus>,
) -> RemediationRequest {
    let (labels, annotations, generator_url) = doc.detail.expand();
    let storm = state.storm.as_ref().map(|storm| aggregation(storm, state));
    let affected_resources = match &storm {
        Some(storm) => storm.affected_resources.iter().map(resource_text).collect(),
        None => {
            let Identity { namespace, kind, resource, .. } = &doc.identity;
            vec![kept(&format!("{namespace}:{kind}:{resource}")).into_owned()]
        }
    };
    let spec = RemediationRequestSpec {
        signal_fingerprint: doc.fingerprint.to_string(),
        signal_name: shown_name(&doc.identity.name),
        severity: state.severity,
        environment: kept(&doc.environment).into_owned(),
        priority: state.priority,
        remediation_path: state.path,
        signal_type: doc.detail.signal_type.as_str().to_owned(),
        signal_source: cut(&doc.detail.source, 63).to_owned(),
        target_type: TargetType::Kubernetes,
        target_resource: TargetResource {
            kind: kept(&doc.identity.kind).into_owned(),
            name: kept(&doc.identity.resource).into_owned(),
            namespace: some_text(&doc.identity.namespace),
            api_version: doc.api_version.as_deref().map(|version| cut(&kept(version), 317).to_owned()),
        },
        cluster_id: some_text(&shown_name(&doc.identity.cluster)),
        firing_time: doc.firing_time,
        received_time: doc.received_time,
        deduplication: Deduplication {
            is_duplicate: state.occurrences > 1,
            first_seen: state.first_seen,
            last_seen: state.last_seen,
            occurrence_count: state.occurrences,
            previous_remediation_request_ref: doc.previous.map(|id| id.to_string()),
        },
        is_storm: storm.is_some(),
        storm_type: state.storm.as_ref().map(|storm| storm.storm_type.to_string()),
        storm_window: storm.as_ref().map(|storm| storm.aggregation_window.clone()),
        storm_alert_count: storm.as_ref().map(|storm| storm.alert_count),
        affected_resources,
        storm_aggregation: storm,
        superseded_by: state.superseded_by.map(|id| id.to_string()),
        related_requests: state.related.iter().map(RequestId::to_string).collect(),
        resolved_at: state.resolved_at,
        signal_labels: kept_pairs(labels),
        signal_annotations: kept_pairs(annotations),
        provider_data: provider_data(&doc.detail, &generator_url),
        original_payload: Some(BASE64.encode(doc.detail.payload.text())),
        timeout_config: None,
    };
    RemediationRequest { metadata: metadata(doc, state), spec, status: status.cloned() }
}

fn metadata(doc: &RequestDoc, state: &RequestState) -> ObjectMeta {
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/managed-by", "seawall".to_owned()),
        ("app.kubernetes.io/component", "remediation".to_owned()),
        ("kubernaut.io/signal-type", doc.detail.signal_type.as_str().to_owned()),
        ("kubernaut.io/signal-fingerprint", cut(&doc.fingerprint.to_string(), 63).to_owned()),
        ("kubernaut.io/severity", state.severity.as_str().to_owned()),
        ("kubernaut.io/environment", label_safe(&doc.environment)),
        ("kubernaut.io/priority", state.priority.as_str().to_owned()),
    ]);
    if state.storm.is_some() {
        labels.insert("kubernaut.io/storm", "true".to_owned());
    }
    if doc.reference.namespace != doc.identity.namespace {
        labels.insert(mark::ORIGIN, label_safe(&doc.identity.namespace));
    }
    ObjectMeta {
        name: Some(doc.reference.id.to_string()),
        namespace: Some(doc.reference.namespace.to_string()),
        resource_version: Some(state.sequence.to_string()),
        creation_timestamp: jiff::Timestamp::from_millisecond(doc.received_time.as_millis()).ok().map(Time),
        labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        annotations: Some(BTreeMap::from([
            (mark::EPOCH.to_owned(), state.epoch.to_string()),
            (mark::SEQUENCE.to_owned(), state.sequence.to_string()),
        ])),
        ..ObjectMeta::default()
    }
}

fn aggregation(storm: &StormState, state: &RequestState) -> StormAggregation {
    let mut budget = AFFECTED_BUDGET;
    let mut affected_resources = Vec::new();
    for affected in &storm.affected {
        let texts = affected.kind.len() + affected.name.len() + affected.namespace.len();
        let Some(left) = budget.checked_sub(2 * texts + AFFECTED_OVERHEAD) else { break };
        budget = left;
        affected_resources.push(AffectedResource {
            kind: kept(&affected.kind).into_owned(),
            name: kept(&affected.name).into_owned(),
            namespace: some_text(&affected.namespace),
            first_seen: affected.first_seen,
            last_seen: affected.last_seen,
            count: affected.count,
        });
    }
    StormAggregation {
        rule: kept(&storm.rule).into_owned(),
        pattern: kept(&storm.pattern).into_owned(),
        group_by: kept_pairs(
            storm.group_by.iter().map(|(field, value)| (field.to_string(), value.to_string())).collect(),
        ),
        alert_count: storm.alert_count,
        occurrence_count: state.occurrences,
        truncated: storm.truncated || affected_resources.len() < storm.affected.len(),
        affected_resources,
        aggregation_window: duration_text(storm.window),
        first_seen: storm.first_seen,
        last_seen: storm.last_seen,
        ended_at: storm.ended_at,
        successor_ref: storm.successor.map(|id| id.to_string()),
        supersedes: storm.supersedes.iter().map(RequestId::to_string).collect(),
    }
}

/// `providerData` before it is made base64.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderData<'a> {
    #[serde(borrow)]
    pub alert: &'a RawValue,
    #[serde(borrow)]
    pub receiver: Cow<'a, str>,
    #[serde(borrow)]
    pub group_key: Cow<'a, str>,
    #[serde(borrow, rename = "externalURL")]
    pub external_url: Cow<'a, str>,
    #[serde(borrow, rename = "generatorURL")]
    pub generator_url: Cow<'a, str>,
}

fn provider_data(detail: &Detail, generator_url: &str) -> Option<String> {
    let text = detail.payload.text();
    let alert: &RawValue = serde_json::from_slice(&text).ok()?;
    let data = ProviderData {
        alert,
        receiver: detail.context.receiver.as_str().into(),
        group_key: detail.context.group_key.as_str().into(),
        external_url: detail.context.external_url.as_str().into(),
        generator_url: generator_url.into(),
    };
    serde_json::to_vec(&data).ok().map(|json| BASE64.encode(json))
}

fn resource_text(resource: &AffectedResource) -> String {
    format!("{}:{}:{}", resource.namespace.as_deref().unwrap_or_default(), resource.kind, resource.name)
}

/// The name of an alert, or of a cluster, as far as a request shows it.
pub(super) fn shown_name(name: &str) -> String {
    cut(&kept(name), MAX_NAME).to_owned()
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| kept(text).into_owned())
}

/// Units of lengths of time in milliseconds, the longest first.
pub(super) const UNITS: [(Millis, &str); 5] =
    [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];

/// `90000` is `1m30s`.
fn duration_text(millis: Millis) -> String {
    let mut rest = millis;
    let mut text = String::new();
    for (length, unit) in UNITS {
        if rest >= length {
            text += &format!("{}{unit}", rest / length);
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

impl RequestRef {
    /// Where the request of a problem in `namespace` lives: there, or in `fallback` when that is no namespace.
    pub fn locate(namespace: &str, id: RequestId, fallback: &str) -> Self {
        let namespace = if is_dns_label(namespace) { namespace } else { fallback };
        Self { namespace: namespace.into(), id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_shown_with_units() {
        assert_eq!(duration_text(60_000), "1m");
        assert_eq!(duration_text(90_250), "1m30s250ms");
        assert_eq!(duration_text(0), "0s");
    }
}
