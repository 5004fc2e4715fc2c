//! Bodies that are read where they lie.

use std::borrow::Cow;

use bytes::Bytes;
use seawall_engine::normalise::{Normaliser, bounded_alert};
use seawall_model::{Payload, Timestamp};
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use serde_json::value::RawValue;

use super::alert::AlertText;
use super::envelope::{BodySeed, Format, Taker};
use super::scanner::is_deep;
use super::{BodyError, Item, ParsedBody};

pub(super) fn parse(
    format: Format,
    body: &Bytes,
    normaliser: &Normaliser,
    received: Timestamp,
    most: usize,
) -> Result<ParsedBody, BodyError> {
    let text = text(body)?;
    let mut slices = Slices { format, alerts: Vec::new(), most, received: 0, too_deep: false };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let envelope = BodySeed { format, taker: &mut slices }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    if slices.too_deep {
        return Err(BodyError::TooDeep);
    }
    if slices.received > most {
        return Err(BodyError::TooMany { limit: most, received: slices.received });
    }
    let keep = |text: &str| body.slice_ref(text.as_bytes());
    let common = envelope.read(keep)?;
    let mut signals = normaliser.body(format.source(), received, common.context, &common.labels.0);
    let items = slices.alerts.into_iter().map(|raw| {
        let text = match AlertText::read(raw) {
            Ok(text) => text,
            Err(rejection) => return Item::Rejected(rejection),
        };
        let payload = bounded_alert(raw, |_| Payload::from(keep(raw)));
        signals.alert(&text.alert(), payload).into()
    });
    Ok(ParsedBody { items: items.collect(), truncated_alerts: common.truncated_alerts })
}

/// The body as text, without a byte order mark.
pub(super) fn text(body: &Bytes) -> Result<&str, BodyError> {
    let text =
        std::str::from_utf8(body).map_err(|error| BodyError::NotUtf8 { offset: error.valid_up_to() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii_start().is_empty() { Err(BodyError::Empty) } else { Ok(text) }
}

/// Takes values as slices of the body.
struct Slices<'de> {
    format: Format,
    alerts: Vec<&'de str>,
    most: usize,
    received: usize,
    too_deep: bool,
}

impl<'de> Taker<'de> for Slices<'de> {
    fn alert<D: Deserializer<'de>>(&mut self, value: D) -> Result<(), D::Error> {
        let raw = <&RawValue>::deserialize(value)?.get();
        self.too_deep |= is_deep(raw, self.format.depth());
        self.received += 1;
        if self.received <= self.most {
            self.alerts.push(raw);
        }
        Ok(())
    }

    fn field<D: Deserializer<'de>>(&mut self, value: D) -> Result<Cow<'de, str>, D::Error> {
        let raw = <&RawValue>::deserialize(value)?.get();
        self.too_deep |= is_deep(raw, 1);
        Ok(Cow::Borrowed(raw))
    }

    fn skip<D: Deserializer<'de>>(&mut self, value: D) -> Result<(), D::Error> {
        self.field(value).map(drop)
    }
}
