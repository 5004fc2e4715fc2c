//! What is read from the state store when somebody scrapes.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

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
        let help = "Duration of writes to the sink.";
        let mut durations =
            encoder.encode_descriptor("publish_duration_seconds", help, None, MetricType::Histogram)?;
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

fn encode_gauges(state: &StateSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let gauges = [
        ("incidents_open", "Incidents that are open.", state.incidents_open),
        ("requests_open", "Requests that no worker has finished.", state.requests_open),
        ("publish_pending", "Requests that are decided but not in the sink yet.", state.publish_pending),
    ];
    for (name, help, value) in gauges {
        let gauge = ConstGauge::new(value);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    let oldest = ConstGauge::new(state.oldest_pending_seconds);
    let help = "How long the oldest pending request has been due.";
    oldest.encode(encoder.encode_descriptor(
        "publish_oldest_pending_seconds",
        help,
        None,
        MetricType::Gauge,
    )?)?;
    let mut storms =
        encoder.encode_descriptor("storms_open", "Storms that are open.", None, MetricType::Gauge)?;
    for (rule, open) in &state.storms_open {
        ConstGauge::new(*open).encode(storms.encode_family(&[("rule", rule.as_ref())])?)?;
    }
    Ok(())
}

fn encode_store(state: &StateSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let label = StoreLabel { store: state.store };
    let help = "1 while the state store makes decisions durable.";
    let mut available = encoder.encode_descriptor("state_available", help, None, MetricType::Gauge)?;
    ConstGauge::new(u64::from(state.available)).encode(available.encode_family(&label)?)?;
    let help = "Times the state store became unavailable.";
    let mut outages = encoder.encode_descriptor("state_outages", help, None, MetricType::Counter)?;
    ConstCounter::new(state.outages).encode(outages.encode_family(&label)?)?;
    let help = "Time the state store was unavailable.";
    let mut seconds = encoder.encode_descriptor("state_outage_seconds", help, None, MetricType::Counter)?;
    ConstCounter::new(state.outage_seconds).encode(seconds.encode_family(&label)?)?;
    let help = "Times the state store was found empty where there had been state.";
    let mut losses = encoder.encode_descriptor("state_losses", help, None, MetricType::Counter)?;
    ConstCounter::new(state.losses).encode(losses.encode_family(&label)?)
}

fn encode_publishing(state: &StateSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Requests that came to exist, were updated or were deleted in the sink.";
    let mut published = encoder.encode_descriptor("requests_published", help, None, MetricType::Counter)?;
    let outcomes = [
        ("created", state.published_created),
        ("updated", state.published_updated),
        ("deleted", state.published_deleted),
    ];
    for (outcome, count) in outcomes {
        ConstCounter::new(count).encode(published.encode_family(&OutcomeLabel { outcome })?)?;
    }
    let help = "Firing signals that did not become a request of their own.";
    let avoided = ConstCounter::new(state.requests_avoided);
    avoided.encode(encoder.encode_descriptor("requests_avoided", help, None, MetricType::Counter)?)
}
