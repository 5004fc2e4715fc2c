//! The pure way back from what is shown to what was stored, for when the store has lost it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use compact_str::CompactString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::build::{
    Affected, MAX_NAME, ProviderData, RequestDoc, RequestState, StormState, UNITS, shown_name,
};
use super::mark;
use super::spec::{
    AffectedResource, RemediationRequest, RemediationRequestSpec, RemediationRequestStatus, StormAggregation,
};
use super::text::kept_pairs;
use crate::{
    Context, Detail, Fingerprint, Identity, Millis, ParseFingerprintError, ParseRequestIdError, Payload,
    RequestId, RequestRef, SignalType, is_dns_label,
};

/// What the store knew of a request, as far as its resource shows it.
///
/// [`build_request`](super::build_request) makes the same resource of it again. What a resource does not show cannot be
/// known:
///
/// - The names of the alert and of the cluster behind their 253rd byte, unless the alert itself has them; the API version
///   behind the 317th, the source behind the 63rd.
/// - Which of the characters that the API server does not keep were in a text.
/// - Values of common labels and annotations behind the 1024th byte, and pairs beyond the 64th, which are others where a
///   name among so many had to be changed. What the alert has itself is not known to be common, too.
/// - The order of the fields that a storm is grouped by, which are sorted here; affected resources that are not listed;
///   the rule's numbers other than its window.
/// - What else makes the fingerprint where it does not follow from the identity: extra identity labels, what is cut or replaced. The
///   fingerprint is right all the same.
/// - When the phase was reported, how often the problem was resolved and fired again, in which groups it is counted.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredRequest {
    pub doc: RequestDoc,
    pub state: RequestState,
    pub status: Option<RemediationRequestStatus>,
}

/// Why a resource does not show a request of Seawall's. A sentence about the resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadRequestError {
    #[error("the resource has no {what}")]
    Unnamed { what: &'static str },
    #[error("the resource's name `{name}` is none that Seawall gives")]
    Name { name: String, source: ParseRequestIdError },
    #[error("the annotation `{annotation}` is `{text}`, which names no request", annotation = mark::REQUEST)]
    Reference { text: String },
    #[error("`signalFingerprint` is `{text}`, which is no fingerprint")]
    Fingerprint { text: String, source: ParseFingerprintError },
    #[error("the name `{id}` belongs to another problem than `signalFingerprint` {fingerprint}")]
    OtherProblem { id: RequestId, fingerprint: Fingerprint },
    #[error("a request about namespace `{namespace}` is not called `{reference}`: it looks like a copy")]
    Copy { namespace: CompactString, reference: RequestRef },
    #[error("`signalType` is `{text}`, which this version of Seawall does not make")]
    SignalType { text: String },
    #[error("`isStorm` says that it is a storm, and there is no `stormAggregation`")]
    NoStorm,
    #[error("`stormAggregation.aggregationWindow` is `{text}`, which is no length of time")]
    Window { text: String },
    #[error("`{field}` is `{name}`, which is the name of no request")]
    Link { field: &'static str, name: String, source: ParseRequestIdError },
}

/// What the store knew of the request that this resource shows. Pure: the same resource gives the same request.
///
/// Strict about what decides, so that nothing is made of a resource that only looks like a request; lenient about what is
/// only shown. Without annotations it is older than anything that Seawall writes.
///
/// # Errors
/// When Seawall did not write it like this.
pub fn read_request(resource: &RemediationRequest) -> Result<RecoveredRequest, ReadRequestError> {
    let RemediationRequest { metadata, spec, status } = resource;
    let reference = reference(metadata)?;
    let text = &spec.signal_fingerprint;
    let fingerprint = text
        .parse::<Fingerprint>()
        .map_err(|source| ReadRequestError::Fingerprint { text: text.clone(), source })?;
    if reference.id.prefix != fingerprint.prefix() {
        return Err(ReadRequestError::OtherProblem { id: reference.id, fingerprint });
    }
    let detail = detail(spec)?;
    let identity = identity(spec, &detail);
    if is_dns_label(&identity.namespace) && identity.namespace != reference.namespace {
        return Err(ReadRequestError::Copy { namespace: identity.namespace, reference });
    }
    let state = state(metadata, spec)?;
    let doc = RequestDoc {
        fingerprint,
        reference,
        identity,
        api_version: spec.target_resource.api_version.as_deref().map(Into::into),
        environment: spec.environment.as_str().into(),
        firing_time: spec.firing_time,
        received_time: spec.received_time,
        previous: some_link(
            "deduplication.previousRemediationRequestRef",
            spec.deduplication.previous_remediation_request_ref.as_deref(),
        )?,
        detail,
    };
    Ok(RecoveredRequest { doc, state, status: status.clone() })
}

/// The request that the resource shows, which is not where it is displaced to.
fn reference(metadata: &ObjectMeta) -> Result<RequestRef, ReadRequestError> {
    let name = metadata.name.as_deref().ok_or(ReadRequestError::Unnamed { what: "name" })?;
    let namespace = metadata.namespace.as_deref().ok_or(ReadRequestError::Unnamed { what: "namespace" })?;
    let id = name.parse().map_err(|source| ReadRequestError::Name { name: name.to_owned(), source })?;
    let Some(text) = annotation(metadata, mark::REQUEST) else {
        return Ok(RequestRef { namespace: namespace.into(), id });
    };
    let noted = text.split_once('/').filter(|(namespace, _)| is_dns_label(namespace));
    let noted = noted.and_then(|(namespace, name)| {
        Some(RequestRef { namespace: namespace.into(), id: name.parse().ok()? })
    });
    noted.ok_or_else(|| ReadRequestError::Reference { text: text.to_owned() })
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Texts are cut and changed only where [`RecoveredRequest`] says so; a name that may be is looked for in the alert.
fn identity(spec: &RemediationRequestSpec, detail: &Detail) -> Identity {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    let mut identity = Identity {
        cluster: text(&spec.cluster_id),
        namespace: text(&spec.target_resource.namespace),
        name: spec.signal_name.as_str().into(),
        kind: spec.target_resource.kind.as_str().into(),
        resource: spec.target_resource.name.as_str().into(),
    };
    if may_be_cut(&identity.name) || may_be_cut(&identity.cluster) {
        let Names { labels, reason } = serde_json::from_slice(&detail.payload.text()).unwrap_or_default();
        let labels = labels.unwrap_or_default();
        let names = labels.get("alertname").into_iter().chain(&reason);
        identity.name = whole(identity.name, names);
        identity.cluster = whole(identity.cluster, labels.values());
    }
    identity
}

/// Where names stand in an alert or event.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    labels: Option<BTreeMap<String, String>>,
    reason: Option<String>,
}

/// A text is cut where a character ends, and none has more than four bytes.
fn may_be_cut(shown: &str) -> bool {
    shown.len() > MAX_NAME - 4
}

/// The text of which `shown` is the beginning, if it is among these.
fn whole<'a>(shown: CompactString, texts: impl IntoIterator<Item = &'a String>) -> CompactString {
    if !may_be_cut(&shown) {
        return shown;
    }
    // Identities have no control characters.
    let plain = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    let mut whole = texts.into_iter().map(|text| text.chars().map(plain).collect::<CompactString>());
    whole.find(|text| text.len() > MAX_NAME && shown_name(text) == *shown).unwrap_or(shown)
}

fn detail(spec: &RemediationRequestSpec) -> Result<Detail, ReadRequestError> {
    let known = [SignalType::PrometheusAlert, SignalType::KubernetesEvent];
    let signal_type = known.into_iter().find(|known| known.as_str() == spec.signal_type);
    let signal_type =
        signal_type.ok_or_else(|| ReadRequestError::SignalType { text: spec.signal_type.clone() })?;
    let mut payload = bytes_of(spec.original_payload.as_deref());
    let mut context = Context::default();
    let provider = bytes_of(spec.provider_data.as_deref());
    if let Ok(provider) = serde_json::from_slice::<ProviderData<'_>>(&provider) {
        context.receiver = provider.receiver.into_owned();
        context.group_key = provider.group_key.into_owned();
        context.external_url = provider.external_url.into_owned();
        if payload.is_empty() {
            payload = provider.alert.get().as_bytes().to_vec();
        }
    }
    let payload = Payload::from(Bytes::from(payload));
    let source = spec.signal_source.as_str().into();
    let mut detail = Detail { signal_type, source, payload, context: Arc::default() };
    // The labels of an event are made of its fields.
    if signal_type == SignalType::PrometheusAlert {
        let (labels, annotations, _) = detail.expand();
        context.common_labels = common(&spec.signal_labels, labels);
        context.common_annotations = common(&spec.signal_annotations, annotations);
    }
    detail.context = Arc::new(context);
    Ok(detail)
}

/// The pairs that are shown and are not the alert's own.
fn common(shown: &BTreeMap<String, String>, own: BTreeMap<String, String>) -> Bytes {
    let own = kept_pairs(own);
    let common: BTreeMap<_, _> = shown.iter().filter(|(name, _)| !own.contains_key(*name)).collect();
    match common.is_empty() {
        true => Bytes::new(),
        false => serde_json::to_vec(&common).unwrap_or_default().into(),
    }
}

/// What cannot be read shows nothing.
fn bytes_of(base64: Option<&str>) -> Vec<u8> {
    base64.and_then(|text| BASE64.decode(text).ok()).unwrap_or_default()
}

fn state(metadata: &ObjectMeta, spec: &RemediationRequestSpec) -> Result<RequestState, ReadRequestError> {
    let number = |name| annotation(metadata, name).and_then(|text| text.parse().ok()).unwrap_or_default();
    if spec.is_storm && spec.storm_aggregation.is_none() {
        return Err(ReadRequestError::NoStorm);
    }
    let storm_type = spec.storm_type.as_deref().unwrap_or_default();
    Ok(RequestState {
        severity: spec.severity,
        priority: spec.priority,
        path: spec.remediation_path,
        occurrences: spec.deduplication.occurrence_count,
        first_seen: spec.deduplication.first_seen,
        last_seen: spec.deduplication.last_seen,
        resolved_at: spec.resolved_at,
        superseded_by: some_link("supersededBy", spec.superseded_by.as_deref())?,
        related: links("relatedRequests", &spec.related_requests)?,
        storm: spec.storm_aggregation.as_ref().map(|storm| self::storm(storm_type, storm)).transpose()?,
        epoch: number(mark::EPOCH),
        sequence: number(mark::SEQUENCE),
    })
}

fn storm(storm_type: &str, storm: &StormAggregation) -> Result<StormState, ReadRequestError> {
    let text = &storm.aggregation_window;
    let window = millis(text).ok_or_else(|| ReadRequestError::Window { text: text.clone() })?;
    let successor = storm.successor_ref.as_deref();
    Ok(StormState {
        rule: storm.rule.as_str().into(),
        storm_type: storm_type.into(),
        pattern: storm.pattern.as_str().into(),
        window,
        group_by: storm.group_by.iter().map(|(field, value)| (field.into(), value.into())).collect(),
        alert_count: storm.alert_count,
        affected: storm.affected_resources.iter().map(affected).collect(),
        truncated: storm.truncated,
        first_seen: storm.first_seen,
        last_seen: storm.last_seen,
        ended_at: storm.ended_at,
        successor: some_link("stormAggregation.successorRef", successor)?,
        supersedes: links("stormAggregation.supersedes", &storm.supersedes)?,
    })
}

fn affected(resource: &AffectedResource) -> Affected {
    Affected {
        kind: resource.kind.as_str().into(),
        name: resource.name.as_str().into(),
        namespace: resource.namespace.as_deref().unwrap_or_default().into(),
        first_seen: resource.first_seen,
        last_seen: resource.last_seen,
        count: resource.count,
    }
}

fn links(field: &'static str, names: &[String]) -> Result<Vec<RequestId>, ReadRequestError> {
    names.iter().map(|name| link(field, name)).collect()
}

fn some_link(field: &'static str, name: Option<&str>) -> Result<Option<RequestId>, ReadRequestError> {
    name.map(|name| link(field, name)).transpose()
}

fn link(field: &'static str, name: &str) -> Result<RequestId, ReadRequestError> {
    RequestId::from_str(name).map_err(|source| ReadRequestError::Link {
        field,
        name: name.to_owned(),
        source,
    })
}

/// `1m30s` is `90000`.
fn millis(text: &str) -> Option<Millis> {
    let mut total: Millis = 0;
    let mut rest = text;
    loop {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (length, _) = UNITS.iter().find(|(_, known)| *known == unit)?;
        total = number.parse::<Millis>().ok()?.checked_mul(*length)?.checked_add(total)?;
        rest = after;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

#[cfg(test)]
mod tests;
