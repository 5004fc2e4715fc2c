//! What senders speak: the bodies of Alertmanager, Prometheus and Kubernetes, and what each alert in them became.
//!
//! A body that is not what it claims to be is refused as a whole, with the position. An alert that cannot be taken is
//! rejected alone and harms nobody. Every alert of a body ends as exactly one [`Item`], in order.
//!
//! Each format is read in two ways that give the same result. Small bodies are read where they lie and signals keep
//! slices of them. Large ones are read while they arrive: what Alertmanager says about all alerts stands behind them,
//! so the alerts are kept packed until the end is known and become signals then.
//!
//! ```text
//! Bytes ──► slice ──► texts of the alerts ─┐
//!                     envelope ────────────┼─► alert.rs ─► Normaliser ─► items
//! Read ───► tape  ──► packed texts ────────┘
//! ```

mod alert;
mod envelope;
mod error;
mod event;
mod scanner;
mod slice;
mod stream;
mod tape;
mod text;

#[cfg(test)]
mod tests;

use std::io::Read;

use bytes::Bytes;
use seawall_engine::normalise::{Rejection, Suppressed};
use seawall_model::{Signal, Timestamp};

pub use error::BodyError;
pub use seawall_engine::normalise::Normaliser;

use envelope::Format;

/// Bytes of one alert, and of one field of the envelope, that are read at all.
const MAX_TEXT: usize = 1024 * 1024;
/// How deep a body may be nested; what senders write is five deep.
const MAX_DEPTH: usize = 128;

/// What a body said.
#[derive(Debug, PartialEq)]
#[must_use]
pub struct ParsedBody {
    /// One for each alert, in the order of the body.
    pub items: Vec<Item>,
    /// Alerts that the sender says it left out (`truncatedAlerts`); nobody but an operator can do anything about them.
    pub truncated_alerts: u64,
}

/// What became of one alert or event.
#[derive(Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all items are signals, and an allocation each would cost more"
)]
pub enum Item {
    Signal(Signal),
    Suppressed(Suppressed),
    Rejected(Rejection),
}

impl From<Result<Signal, Rejection>> for Item {
    fn from(result: Result<Signal, Rejection>) -> Self {
        result.map_or_else(Self::Rejected, Self::Signal)
    }
}

/// A webhook of Alertmanager (version 4) or Grafana. More than `most` alerts are refused.
pub fn parse_alertmanager(
    body: Bytes,
    normaliser: &Normaliser,
    received: Timestamp,
    most: usize,
) -> Result<ParsedBody, BodyError> {
    slice::parse(Format::Webhook, &body, normaliser, received, most)
}

/// As [`parse_alertmanager`], for a body that is still arriving. Reads it to its end unless it is refused.
pub fn stream_alertmanager(
    body: impl Read,
    normaliser: &Normaliser,
    received: Timestamp,
    most: usize,
) -> Result<ParsedBody, BodyError> {
    stream::parse(Format::Webhook, body, normaliser, received, most)
}

/// A list of alerts as Prometheus posts it to `/api/v2/alerts`. More than `most` alerts are refused.
pub fn parse_prometheus(
    body: Bytes,
    normaliser: &Normaliser,
    received: Timestamp,
    most: usize,
) -> Result<ParsedBody, BodyError> {
    slice::parse(Format::List, &body, normaliser, received, most)
}

/// As [`parse_prometheus`], for a body that is still arriving. Reads it to its end unless it is refused.
pub fn stream_prometheus(
    body: impl Read,
    normaliser: &Normaliser,
    received: Timestamp,
    most: usize,
) -> Result<ParsedBody, BodyError> {
    stream::parse(Format::List, body, normaliser, received, most)
}

/// One Kubernetes Event. It is one whatever `_most` says.
pub fn parse_kubernetes_event(
    body: Bytes,
    normaliser: &Normaliser,
    received: Timestamp,
    _most: usize,
) -> Result<ParsedBody, BodyError> {
    event::parse(&body, normaliser, received)
}

/// As [`parse_kubernetes_event`], for a body that is still arriving.
pub fn stream_kubernetes_event(
    body: impl Read,
    normaliser: &Normaliser,
    received: Timestamp,
    _most: usize,
) -> Result<ParsedBody, BodyError> {
    event::stream(body, normaliser, received)
}
