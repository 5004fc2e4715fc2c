//! What is read from the state store when somebody scrapes.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::catalogue::{self as families, FamilyDescription, FamilyKind};
use crate::families::{DurationFamily, Durations, PublishLabel};

/// Plain numbers about the state, as they are now; totals count from the start of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateSnapshot {
    /// Kind of the state store, such as `embedded`.
    pub store: &'static str,
    /// Kind of the sink, such as `store`.
    pub sink: &'static str,
    pub available: bool,
    pub incidents_open: u64,
    pub requests_open: u64,
    /// Open storms by rule.
    pub storms_open: Vec<(Arc<str>, u64)>,
    pub publish_pending: u64,
    /// How long the oldest pending request has been due; 0 when none is.
    pub oldest_pending_seconds: f64,
    pub outages: u64,
    pub outage_seconds: f64,
    /// Times everything that had been in the store was gone.
    pub losses: u64,
    /// Writes to the sink and the time they took together.
    pub publishes: u64,
    pub publish_seconds: f64,
    pub published_created: u64,
    pub published_updated: u64,
    pub published_deleted: u64,
    pub requests_avoided: u64,
    /// Whether this replica watches Kubernetes events; nothing where they are no source.
    pub events_watched: Option<bool>,
}

type Source = Box<dyn Fn() -> StateSnapshot + Send + Sync>;

/// Asks for a snapshot per scrape; shows nothing until a source is set.
#[derive(Clone)]
pub(crate) struct StateCollector {
    source: Arc<RwLock<Option<Source>>>,
    /// Of sinks that measure every write. The store sink's writes are the commits, so one family has two sources.
    publish_durations: DurationFamily<PublishLabel>,
}

impl Default for StateCollector {
    fn default() -> Self {
        Self { source: Arc::default(), publish_durations: DurationFamily::new_with_constructor(Durations) }
    }
}

impl StateCollector {
    pub(crate) fn set(&self, source: Source) {
        *self.source.write() = Some(source);
    }

    pub(crate) const fn publish_durations(&self) -> &DurationFamily<PublishLabel> {
        &self.publish_durations
    }
}

impl StateCollector {
    fn encode_durations(&self, state: &StateSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut durations = describe(encoder, &families::PUBLISH_DURATION)?;
        // The state store keeps only number and sum of its commits, so the histogram has the one bucket that is certain.
        if state.publishes > 0 || state.sink == "store" {
            let label = PublishLabel { sink: state.sink, verb: "commit" };
            let buckets = [(f64::INFINITY, state.publishes)];
            let mut commits = durations.encode_family(&label)?;
            commits.encode_histogram::<NoLabelSet>(state.publish_seconds, state.publishes, &buckets, None)?;
        }
        self.publish_durations.encode(durations)
    }
}

impl fmt::Debug for StateCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateCollector")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabel {
    store: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Collector for StateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(state) = self.source.read().as_ref().map(|source| source()) else { return Ok(()) };
        encode_gauges(&state, &mut encoder)?;
        encode_store(&state, &mut encoder)?;
        encode_publishing(&state, &mut encoder)?;
        self.encode_durations(&state, &mut encoder)
    }
}

fn describe<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    family: &FamilyDescription,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    let kind = match family.kind {
        FamilyKind::Counter => MetricType::Counter,
        FamilyKind::Gauge => MetricType::Gauge,
        FamilyKind::Histogram => MetricType::Histogram,
        FamilyKind::Info => MetricType::Info,
    };
    encoder.encode_descriptor(family.stem, &family.sentence(), None, kind)
}

fn encode_gauges(state: &StateSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let gauges = [
        (families::INCIDENTS_OPEN, state.incidents_open),
        (families::REQUESTS_OPEN, state.requests_open),
        (families::PUBLISH_PENDING, state.publish_pending),
    ];
    for (family, value) in gauges {
        ConstGauge::new(value).encode(describe(encoder, &family)?)?;
    }
    let oldest = ConstGauge::new(state.oldest_pending_seconds);
    oldest.encode(describe(encoder, &families::PUBLISH_OLDEST_PENDING)?)?;
    if let Some(watched) = state.events_watched {
        let watched = ConstGauge::new(u64::from(watched));
        watched.encode(describe(encoder, &families::KUBERNETES_EVENTS_WATCHED)?)?;
    }
    let mut storms = describe(encoder, &families::STORMS_OPEN)?;
    for (rule, open) in &state.storms_open {
        ConstGauge::new(*open).encode(storms.encode_family(&[("rule", rule.as_ref())])?)?;
    }
    Ok(())
}

fn encode_store(state: &StateSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let label = StoreLabel { store: state.store };
    let mut available = describe(encoder, &families::STATE_AVAILABLE)?;
    ConstGauge::new(u64::from(state.available)).encode(available.encode_family(&label)?)?;
    let mut outages = describe(encoder, &families::STATE_OUTAGES)?;
    ConstCounter::new(state.outages).encode(outages.encode_family(&label)?)?;
    let mut seconds = describe(encoder, &families::STATE_OUTAGE_SECONDS)?;
    ConstCounter::new(state.outage_seconds).encode(seconds.encode_family(&label)?)?;
    let mut losses = describe(encoder, &families::STATE_LOSSES)?;
    ConstCounter::new(state.losses).encode(losses.encode_family(&label)?)
}

fn encode_publishing(state: &StateSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut published = describe(encoder, &families::REQUESTS_PUBLISHED)?;
    let outcomes = [
        ("created", state.published_created),
        ("updated", state.published_updated),
        ("deleted", state.published_deleted),
    ];
    for (outcome, count) in outcomes {
        ConstCounter::new(count).encode(published.encode_family(&OutcomeLabel { outcome })?)?;
    }
    let avoided = ConstCounter::new(state.requests_avoided);
    avoided.encode(describe(encoder, &families::REQUESTS_AVOIDED)?)
}
