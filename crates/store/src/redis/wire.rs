//! What goes to the scripts and comes back, as MessagePack.

use bytes::Bytes;
use compact_str::CompactString;
use seawall_engine::group_names;
use seawall_model::{
    Decision, DecisionKind, Detail, Fingerprint, Identity, Phase, Policy, Priority, RemediationPath,
    RequestDoc, RequestId, RequestRef, Severity, Signal, StormSummary, Timestamp,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::link::LinkError;

/// What every script that changes state is told.
#[derive(Serialize)]
pub(super) struct Call<'a, T: Serialize> {
    pub now: i64,
    pub replica: &'a str,
    /// Milliseconds.
    pub lease: i64,
    pub channel: &'a str,
    pub policy: &'a PolicyWire,
    pub asked: T,
}

#[derive(Serialize)]
pub(super) struct PolicyWire {
    ttl: i64,
    cooldown: i64,
    flush: i64,
    sample: usize,
    memory: i64,
    retention: i64,
    fallback: CompactString,
    published: bool,
    rules: Vec<RuleWire>,
    severities: [&'static str; 3],
}

#[derive(Serialize)]
struct RuleWire {
    name: String,
    #[serde(rename = "type")]
    storm_type: &'static str,
    fields: Vec<String>,
    threshold: u32,
    window: i64,
    quiet: i64,
    max_duration: i64,
    hold: i64,
    hold_first: i64,
    flush: i64,
}

impl From<&Policy> for PolicyWire {
    fn from(policy: &Policy) -> Self {
        let rules = policy.rules.iter().map(|rule| RuleWire {
            name: rule.name.to_string(),
            storm_type: rule.storm_type(),
            fields: rule.group_by.iter().map(|field| field.as_str().to_owned()).collect(),
            threshold: rule.threshold,
            window: rule.window,
            quiet: rule.quiet,
            max_duration: rule.max_duration,
            hold: rule.hold,
            hold_first: rule.hold_first,
            flush: rule.flush,
        });
        Self {
            ttl: policy.ttl,
            cooldown: policy.cooldown,
            flush: policy.flush,
            sample: policy.sample,
            memory: policy.storm_memory,
            retention: policy.retention,
            fallback: policy.fallback_namespace.clone(),
            published: policy.published,
            rules: rules.collect(),
            severities: SEVERITIES.map(Severity::as_str),
        }
    }
}

const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];
const PRIORITIES: [Priority; 4] = [Priority::P0, Priority::P1, Priority::P2, Priority::P3];
const PATHS: [RemediationPath; 4] = [
    RemediationPath::Aggressive,
    RemediationPath::Moderate,
    RemediationPath::Conservative,
    RemediationPath::Manual,
];
const PHASES: [Phase; 4] = [Phase::Waiting, Phase::Studied, Phase::Acting, Phase::Finished];
const KINDS: [DecisionKind; 5] = [
    DecisionKind::Created,
    DecisionKind::Accepted,
    DecisionKind::Duplicate,
    DecisionKind::Aggregated,
    DecisionKind::Resolved,
];

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|it| it == one).unwrap_or_default() as u8
}

fn at<T: Copy>(all: &[T], place: u8) -> Result<T, LinkError> {
    all.get(usize::from(place)).copied().ok_or_else(|| unreadable(format!("there is no choice {place}")))
}

pub(super) fn severity(number: u8) -> Result<Severity, LinkError> {
    at(&SEVERITIES, number)
}

pub(super) fn priority(number: u8) -> Result<Priority, LinkError> {
    at(&PRIORITIES, number)
}

pub(super) fn path(number: u8) -> Result<RemediationPath, LinkError> {
    at(&PATHS, number)
}

pub(super) fn phase(number: u8) -> Result<Phase, LinkError> {
    at(&PHASES, number)
}

pub(super) fn severity_number(severity: Severity) -> u8 {
    place(&SEVERITIES, &severity)
}

pub(super) fn priority_number(priority: Priority) -> u8 {
    place(&PRIORITIES, &priority)
}

pub(super) fn path_number(path: RemediationPath) -> u8 {
    place(&PATHS, &path)
}

pub(super) fn phase_number(phase: Phase) -> u8 {
    place(&PHASES, &phase)
}

/// A signal on its way to the script.
pub(super) struct Item {
    pub fingerprint: Fingerprint,
    pub wire: SignalWire,
    /// What a request would show of it, if it opens one.
    pub doc: Vec<u8>,
}

/// Resolved, namespace, name, kind, resource, severity, priority, path, groups (place of the rule, counted from one, and name
/// of the group, in turn), grouping (field and value, in turn).
#[derive(Serialize)]
pub(super) struct SignalWire(
    bool,
    CompactString,
    CompactString,
    CompactString,
    CompactString,
    u8,
    u8,
    u8,
    Vec<GroupPart>,
    Vec<CompactString>,
);

#[derive(Serialize)]
#[serde(untagged)]
enum GroupPart {
    Rule(usize),
    Name(String),
}

/// What only a new request needs of its signal.
#[derive(Serialize, Deserialize)]
pub(super) struct DocBody {
    pub identity: Identity,
    pub api_version: Option<CompactString>,
    pub environment: CompactString,
    pub firing_time: Timestamp,
    pub detail: Detail,
}

impl Item {
    pub fn new(policy: &Policy, signal: Signal) -> Self {
        let groups = if signal.resolved { Vec::new() } else { group_names(policy, &signal) };
        let groups =
            groups.into_iter().flat_map(|(rule, name)| [GroupPart::Rule(rule + 1), GroupPart::Name(name)]);
        let grouping =
            signal.grouping.iter().flat_map(|(field, value)| [field.as_str().into(), value.clone()]);
        let identity = &signal.identity;
        let wire = SignalWire(
            signal.resolved,
            identity.namespace.clone(),
            identity.name.clone(),
            identity.kind.clone(),
            identity.resource.clone(),
            severity_number(signal.severity),
            priority_number(signal.priority),
            path_number(signal.path),
            groups.collect(),
            grouping.collect(),
        );
        let fingerprint = signal.fingerprint;
        // A resolved signal never opens a request.
        let doc = if signal.resolved { Vec::new() } else { DocBody::pack(signal) };
        Self { fingerprint, wire, doc }
    }
}

impl DocBody {
    fn pack(signal: Signal) -> Vec<u8> {
        let Signal { identity, api_version, environment, firing_time, detail, .. } = signal;
        Self { identity, api_version, environment, firing_time, detail }.packed()
    }

    /// The same of a request that exists.
    pub fn of(doc: &RequestDoc) -> Vec<u8> {
        let RequestDoc { identity, api_version, environment, firing_time, detail, .. } = doc.clone();
        Self { identity, api_version, environment, firing_time, detail }.packed()
    }

    fn packed(&self) -> Vec<u8> {
        // Encoding into memory fails only for sequences of unknown length, which it does not have.
        let plain = postcard::to_stdvec(self).unwrap_or_default();
        lz4_flex::block::compress_prepend_size(&plain)
    }

    pub fn unpack(packed: &[u8]) -> Result<Self, LinkError> {
        let plain = lz4_flex::block::decompress_size_prepended(packed).map_err(unreadable)?;
        postcard::from_bytes(&plain).map_err(unreadable)
    }
}

#[derive(Serialize)]
pub(super) struct DecideCall<'a> {
    pub op: u64,
    /// Milliseconds.
    pub remember: i64,
    pub cluster: &'a str,
    /// Whether a partition without a record may be begun.
    pub begin: bool,
    pub signals: Vec<&'a SignalWire>,
}

#[derive(Deserialize)]
pub(super) struct DecideAnswer {
    pub decisions: Vec<DecisionWire>,
    pub storms: Vec<(CompactString, CompactString, CompactString, CompactString)>,
    pub added: u64,
    pub modified: u64,
    /// Milliseconds, 0 for nothing.
    pub due: i64,
    /// Until when another replica publishes for this partition; 0 when this one does.
    pub other_lease: i64,
    /// By how much the number of held requests changed.
    pub held: i64,
}

#[derive(Deserialize)]
pub(super) struct DecisionWire {
    kind: u8,
    count: u64,
    first_seen: i64,
    last_seen: i64,
    /// Counted from one; 0 for none.
    storm: usize,
    generation: u32,
    namespace: CompactString,
    alert_count: u64,
    opened_storm: bool,
}

impl DecideAnswer {
    pub fn decisions(&self, items: &[Item]) -> Result<Vec<Decision>, LinkError> {
        if self.decisions.len() != items.len() {
            return Err(unreadable(format!("{} answers to {} signals", self.decisions.len(), items.len())));
        }
        self.decisions.iter().zip(items).map(|(wire, item)| self.decision(wire, item)).collect()
    }

    fn decision(&self, wire: &DecisionWire, item: &Item) -> Result<Decision, LinkError> {
        let kind =
            wire.kind.checked_sub(1).map_or_else(|| Err(unreadable("no kind")), |kind| at(&KINDS, kind))?;
        let own = (wire.generation != 0).then(|| RequestRef {
            namespace: wire.namespace.clone(),
            id: RequestId { prefix: item.fingerprint.prefix(), generation: wire.generation },
        });
        let mut decision = Decision {
            kind,
            request: own,
            count: wire.count,
            first_seen: Timestamp::from_millis(wire.first_seen),
            last_seen: Timestamp::from_millis(wire.last_seen),
            storm: None,
            opened_storm: wire.opened_storm,
        };
        if let Some(storm) = wire.storm.checked_sub(1) {
            let (reference, rule, kind, pattern) =
                self.storms.get(storm).ok_or_else(|| unreadable(format!("there is no storm {storm}")))?;
            decision.request = Some(parse_ref(reference)?);
            decision.storm = Some(StormSummary {
                rule: rule.as_str().into(),
                storm_type: storm_type(kind),
                pattern: pattern.as_str().into(),
                alert_count: wire.alert_count,
            });
        }
        Ok(decision)
    }
}

#[derive(Serialize)]
pub(super) struct TickCall {
    pub most: usize,
    pub sweep: usize,
    pub look: bool,
    /// Requests to be published that may be named, and how long (milliseconds) until they are named again.
    pub tell: usize,
    pub again: i64,
    pub release: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct TickAnswer {
    pub other_lease: i64,
    pub due: i64,
    pub added: u64,
    pub modified: u64,
    pub deleted: u64,
    pub more: bool,
    pub exists: bool,
    /// Incidents, or groups when there are more of them.
    pub size: usize,
    /// Requests to be published.
    pub told: Vec<CompactString>,
    /// Whether there are more of them than could be named.
    pub untold: bool,
}

#[derive(Serialize)]
pub(super) struct ReportCall<'a> {
    #[serde(rename = "ref")]
    pub reference: &'a str,
    pub phase: u8,
    pub before: &'a str,
    pub status: &'a str,
    pub withdrawn: bool,
}

#[derive(Serialize)]
pub(super) struct PlacedCall<'a> {
    #[serde(rename = "ref")]
    pub reference: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub sequence: u64,
}

#[derive(Deserialize)]
pub(super) struct Summary {
    pub incidents: u64,
    pub requests: u64,
    pub held: u64,
    pub first_hold: i64,
    pub storms: Vec<CompactString>,
}

pub(super) fn storm_type(text: &str) -> &'static str {
    if text == "rate" { "rate" } else { "flood" }
}

pub(super) fn parse_ref(text: &str) -> Result<RequestRef, LinkError> {
    let (namespace, name) =
        text.split_once('/').ok_or_else(|| unreadable(format!("`{text}` names no request")))?;
    Ok(RequestRef { namespace: namespace.into(), id: name.parse().map_err(unreadable)? })
}

pub(super) fn moment(millis: i64) -> Option<Timestamp> {
    (millis != 0).then(|| Timestamp::from_millis(millis))
}

/// With the names of the fields.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Encoding into memory fails only for sequences of unknown length, which nothing here has.
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LinkError> {
    rmp_serde::from_slice(bytes).map_err(unreadable)
}

/// The one string that a script returns.
pub(super) fn text(value: redis::Value) -> Result<Bytes, LinkError> {
    match value {
        redis::Value::BulkString(bytes) => Ok(bytes.into()),
        other => Err(unreadable(format!("expected a string, got {other:?}"))),
    }
}

/// The server answered what this version does not understand.
pub(super) fn unreadable(reason: impl ToString) -> LinkError {
    LinkError::protocol(format!("an answer of the server cannot be read: {}", reason.to_string()))
}
