//! One normalised alert or event about one resource.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::policy::Field;
use crate::{Fingerprint, Payload, Priority, RemediationPath, Severity, Timestamp};

/// What kind of message a signal was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignalType {
    PrometheusAlert,
    KubernetesEvent,
}

impl SignalType {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrometheusAlert => "prometheus-alert",
            Self::KubernetesEvent => "kubernetes-event",
        }
    }
}

/// What a problem is about. Together with extra identity labels this is what the fingerprint is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Empty where signals carry no cluster.
    pub cluster: CompactString,
    /// Empty for cluster-scoped kinds.
    pub namespace: CompactString,
    /// Name of the alert, or reason of the event; never empty.
    pub name: CompactString,
    pub kind: CompactString,
    pub resource: CompactString,
}

impl Identity {
    /// The fingerprint of a problem that these parts alone identify: none of them cut, and no extra labels.
    pub fn fingerprint(&self) -> Fingerprint {
        let Self { cluster, namespace, name, kind, resource } = self;
        let cluster = Some(cluster.as_str()).filter(|cluster| !cluster.is_empty());
        Fingerprint::of(cluster, [name, namespace, kind, resource], [])
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    pub fingerprint: Fingerprint,
    pub identity: Identity,
    pub api_version: Option<CompactString>,
    pub severity: Severity,
    pub environment: CompactString,
    pub priority: Priority,
    pub path: RemediationPath,
    /// Whether this says that the problem is over.
    pub resolved: bool,
    pub firing_time: Timestamp,
    /// Values of those fields of the storm rules that come from labels ([`Policy::grouping_fields`]), present ones only.
    ///
    /// [`Policy::grouping_fields`]: crate::Policy::grouping_fields
    pub grouping: Vec<(Field, CompactString)>,
    pub detail: Detail,
}

impl Signal {
    /// The value of a grouping field; nothing when it is absent or empty. Every signal has a namespace to be grouped
    /// by: cluster-scoped ones share the empty one.
    pub fn field(&self, field: &Field) -> Option<&str> {
        let value = match field {
            Field::Namespace => return Some(&self.identity.namespace),
            Field::Cluster => self.identity.cluster.as_str(),
            Field::Alertname => self.identity.name.as_str(),
            Field::Severity => self.severity.as_str(),
            other => {
                self.grouping.iter().find(|(field, _)| field == other).map(|(_, value)| value.as_str())?
            }
        };
        (!value.is_empty()).then_some(value)
    }
}

/// What a request shows of the signal that opened it, kept as it was received and expanded only when somebody looks:
/// most signals are repeats, of which nothing is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    pub signal_type: SignalType,
    /// Name of the adapter.
    pub source: CompactString,
    /// The one alert or event as JSON, at most [`Detail::MAX_PAYLOAD`] bytes.
    pub payload: Payload,
    /// What it shares with the other alerts of its body.
    pub context: Arc<Context>,
}

/// The envelope an alert came in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    pub receiver: String,
    pub group_key: String,
    pub external_url: String,
    /// JSON text, for it is read only when somebody looks. Empty when there are none, and when it is longer than
    /// [`Detail::MAX_PAYLOAD`]; senders repeat what is common on every alert, so nothing is lost.
    pub common_labels: Bytes,
    /// As `common_labels`.
    pub common_annotations: Bytes,
}

/// The parts of a stored payload that requests show.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shown<'a> {
    labels: Option<Pairs>,
    annotations: Option<Pairs>,
    #[serde(borrow, rename = "generatorURL")]
    generator_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    note: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    event_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

type Pairs = BTreeMap<String, String>;

impl Detail {
    /// Bytes of the one alert that are kept.
    pub const MAX_PAYLOAD: usize = 16 * 1024;
    /// Bytes of one label or annotation value that a request shows.
    pub const MAX_VALUE: usize = 1024;
    /// Labels, and annotations, that a request shows.
    pub const MAX_PAIRS: usize = 64;

    /// Labels, annotations and the generator's address, for showing.
    pub fn expand(&self) -> (BTreeMap<String, String>, BTreeMap<String, String>, String) {
        let text = self.payload.text();
        // The payload was parsed when it was received; what cannot be read again shows nothing rather than failing.
        let shown: Shown<'_> = serde_json::from_slice(&text).unwrap_or_default();
        match self.signal_type {
            SignalType::PrometheusAlert => (
                merge(&self.context.common_labels, shown.labels),
                merge(&self.context.common_annotations, shown.annotations),
                shown.generator_url.unwrap_or_default().into_owned(),
            ),
            SignalType::KubernetesEvent => {
                let message = shown.message.filter(|message| !message.is_empty()).or(shown.note);
                (
                    pairs([("reason", shown.reason), ("type", shown.event_type)]),
                    pairs([("message", message)]),
                    String::new(),
                )
            }
        }
    }

    /// A copy that shares memory with nothing, for keeping longer than the body it came in.
    pub fn detached(&self) -> Self {
        let context = Context {
            common_labels: Bytes::copy_from_slice(&self.context.common_labels),
            common_annotations: Bytes::copy_from_slice(&self.context.common_annotations),
            ..Context::clone(&self.context)
        };
        Self { payload: self.payload.detached(), context: Arc::new(context), ..self.clone() }
    }
}

/// What a request shows of common and own pairs; the alert's own win.
fn merge(common: &[u8], own: Option<Pairs>) -> Pairs {
    let common: Option<Pairs> = serde_json::from_slice(common).unwrap_or_default();
    let mut merged = common.unwrap_or_default();
    merged.extend(own.unwrap_or_default());
    while merged.len() > Detail::MAX_PAIRS {
        merged.pop_last();
    }
    for value in merged.values_mut() {
        value.truncate(value.floor_char_boundary(Detail::MAX_VALUE));
    }
    merged
}

fn pairs<const N: usize>(given: [(&str, Option<Cow<'_, str>>); N]) -> Pairs {
    let present =
        given.into_iter().filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)));
    present.map(|(name, value)| (name.to_owned(), cut(&value, Detail::MAX_VALUE).to_owned())).collect()
}

/// The longest beginning of `text` of at most `bytes` bytes that ends on a character boundary.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
