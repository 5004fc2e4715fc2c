//! From what a sender says to a signal: what is it about, how bad is it, since when, and is it over.
//!
//! Pure: a [`Normaliser`] is built once from validated configuration and then only reads. It is on the path of every
//! single alert and most alerts are repeats, so it borrows from the text that was received, looks at each label once,
//! and copies only what a signal keeps.
//!
//! ```text
//! Alert ──► labels into slots ──► subject (namespace, kind, resource) ──► fingerprint, severity, environment ──► Signal
//! Event ──────────────────────────► involved object ────────────────────►         ▲
//!                                          Classify, where there is one: set down, or policies ─┘
//! ```

mod classify;
mod config;
mod environment;
mod event;
mod exporter;
mod labels;
mod payload;
mod rejection;
mod severity;
mod signal;
mod subject;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use compact_str::CompactString;
use seawall_model::{Context, Field, Payload, Policy, Signal, SignalType, Timestamp};

use environment::Environments;
use exporter::Exporters;
use labels::{Found, Names, Place, Slot};
use severity::Severities;
use signal::Draft;
use subject::{Object, ResourceRule, UNKNOWN};

pub use classify::{Classify, is_environment};
pub use config::{NormaliserConfig, ResourceLabel};
pub use event::Event;
pub use payload::{bounded_alert, bounded_event};
pub use rejection::{NotTaken, Rejection, Suppressed};

/// The longest name, namespace, resource, cluster or identity label that is taken, in bytes. Kubernetes allows 253;
/// an `instance` may be an address with a query.
pub const MAX_PART: usize = 2048;
/// The most labels of one alert that are taken. Kubernetes targets carry some twenty.
pub const MAX_LABELS: usize = 1000;

/// Labels as they were received: in order, possibly twice (the last one counts).
pub type Labels<'a> = [(Cow<'a, str>, Cow<'a, str>)];

/// One alert of Prometheus or Alertmanager. Texts that were not given are empty.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    pub status: &'a str,
    pub labels: &'a Labels<'a>,
    pub starts_at: &'a str,
    pub ends_at: &'a str,
}

/// Turns alerts and events into signals.
#[derive(Debug)]
pub struct Normaliser {
    names: Names,
    alertname: Slot,
    severity: Slot,
    cluster: Slot,
    namespace: Object,
    /// In the order in which they are asked what an alert is about.
    resources: Vec<ResourceRule>,
    exporters: Exporters,
    /// Sorted by label.
    extra: Vec<(CompactString, Slot)>,
    /// What the storm rules group by, and the labels that say so, the first present one first.
    grouping: Vec<(Field, Vec<Object>)>,
    severities: Severities,
    environments: Environments,
    classify: Option<Arc<dyn Classify>>,
}

impl Normaliser {
    pub fn new(config: &NormaliserConfig, policy: &Policy) -> Self {
        let mut names = Names::default();
        let mut extra: Vec<(CompactString, Slot)> =
            config.extra_labels.iter().map(|label| (label.clone(), names.slot(label))).collect();
        extra.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        extra.dedup();
        let mut grouping: Vec<(Field, Vec<Object>)> = Vec::new();
        for field in policy.grouping_fields() {
            if grouping.iter().any(|(known, _)| known == field) {
                continue;
            }
            let labels: &[&str] = match field {
                Field::Owner => &Field::OWNER_LABELS,
                other => &[other.as_str()],
            };
            let objects = labels.iter().map(|label| Object::new(label, &mut names)).collect();
            grouping.push((field.clone(), objects));
        }
        Self {
            alertname: names.slot("alertname"),
            severity: names.slot("severity"),
            cluster: names.slot(&config.cluster_label),
            namespace: Object::new("namespace", &mut names),
            resources: config
                .resource_labels
                .iter()
                .map(|label| ResourceRule::new(label, &mut names))
                .collect(),
            exporters: Exporters::new(&config.state_exporters, &config.host_exporters, &mut names),
            extra,
            grouping,
            severities: Severities::new(&config.severities),
            environments: Environments::new(&config.environments),
            classify: None,
            names,
        }
    }

    /// Asks `classify` about every signal.
    #[must_use]
    pub fn asking(self, classify: Arc<dyn Classify>) -> Self {
        Self { classify: Some(classify), ..self }
    }

    /// Whether a large body keeps a thread busy for longer than others should wait for it.
    pub fn is_slow(&self) -> bool {
        self.classify.as_ref().is_some_and(|classify| classify.is_slow())
    }

    /// Begins a body of alerts. `source` is the adapter's name, `common` the labels that hold for every alert which
    /// does not say otherwise.
    pub fn body<'n>(
        &'n self,
        source: &str,
        received: Timestamp,
        context: Arc<Context>,
        common: &'n Labels<'_>,
    ) -> Body<'n> {
        let known =
            |(name, value): &'n (Cow<'_, str>, Cow<'_, str>)| Some((self.names.find(name)?, &**value));
        Body {
            normaliser: self,
            source: source.into(),
            received,
            context,
            common: common.iter().filter_map(known).collect(),
            places: vec![Place::default(); self.names.len()],
        }
    }

    /// The one alert of a sender that has nothing in common with others. `payload` is what a request shows, see
    /// [`bounded_alert`].
    pub fn alert(
        &self,
        alert: &Alert<'_>,
        payload: Payload,
        context: &Arc<Context>,
        source: &str,
        received: Timestamp,
    ) -> Result<Signal, Rejection> {
        self.body(source, received, context.clone(), &[]).alert(alert, payload)
    }
}

/// The alerts that came together.
#[derive(Debug)]
pub struct Body<'n> {
    normaliser: &'n Normaliser,
    source: CompactString,
    received: Timestamp,
    context: Arc<Context>,
    common: Vec<(Slot, &'n str)>,
    /// Where the labels of the current alert are, by slot. Kept to be used again.
    places: Vec<Place>,
}

impl Body<'_> {
    /// The signal of one alert. `payload` is what a request shows, see [`bounded_alert`].
    pub fn alert(&mut self, alert: &Alert<'_>, payload: Payload) -> Result<Signal, Rejection> {
        let rules = self.normaliser;
        let found = Found::look_up(alert.labels, &self.common, &rules.names, &mut self.places)?;
        let name = found.get(rules.alertname);
        if name.is_empty() {
            return Err(Rejection::NoName);
        }
        let subject = rules.subject(&found, name);
        let draft = Draft {
            signal_type: SignalType::PrometheusAlert,
            cluster: found.get(rules.cluster),
            name,
            namespace: subject.namespace,
            kind: subject.kind,
            resource: subject.resource,
            api_version: "",
            severity: rules.severities.of(found.get(rules.severity)),
            resolved: alert.status.eq_ignore_ascii_case("resolved")
                || time(alert.ends_at).is_some_and(|end| end <= self.received),
            firing_time: time(alert.starts_at).unwrap_or(self.received),
            grouping: rules.grouping(&found, subject.own),
        };
        let extra = rules.extra.iter().map(|(label, slot)| (label.as_str(), found.get(*slot)));
        rules.signal(draft, extra, payload, self.source.clone(), self.context.clone())
    }
}

impl Normaliser {
    fn subject<'f>(&'f self, found: &'f Found<'f>, name: &'f str) -> Subject<'f> {
        let exported = found.get(self.namespace.exported);
        let (picked, own) = subject::pick(&self.resources, &self.exporters, found, !exported.is_empty());
        let (kind, resource, cluster_scoped) = match picked {
            Some((rule, resource)) => (rule.kind.as_str(), resource, rule.cluster_scoped),
            None => (UNKNOWN, name, false),
        };
        let own_namespace = found.get(self.namespace.plain);
        let namespace = match (cluster_scoped, exported, own_namespace) {
            (true, ..) => "",
            (_, "", "") => "default",
            (_, "", namespace) | (_, namespace, _) => namespace,
        };
        Subject { namespace, kind, resource, own }
    }

    fn grouping(&self, found: &Found<'_>, own: subject::Own) -> Vec<(Field, CompactString)> {
        let mut values = Vec::new();
        for (field, labels) in &self.grouping {
            let value = labels.iter().map(|label| label.value(found, own)).find(|value| !value.is_empty());
            if let Some(value) = value.filter(|value| value.len() <= MAX_PART) {
                values.push((field.clone(), signal::shown(value)));
            }
        }
        values
    }
}

/// What an alert is about.
struct Subject<'f> {
    namespace: &'f str,
    kind: &'f str,
    resource: &'f str,
    own: subject::Own,
}

/// A time that was given; senders write zero times for "none".
fn time(text: &str) -> Option<Timestamp> {
    if text.is_empty() || text.starts_with("0001-01-01T00:00:00") {
        return None;
    }
    Timestamp::parse(text).filter(|time| time.as_millis() > 0)
}
