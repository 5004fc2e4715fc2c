//! Bodies that are read while they arrive.

use std::borrow::Cow;
use std::io::Read;

use bytes::Bytes;
use seawall_engine::normalise::{Normaliser, Rejection, bounded_alert};
use seawall_model::{Packer, Payload, Timestamp};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny};

use super::alert::AlertText;
use super::envelope::{BodySeed, Format, Taker};
use super::tape::{From, Tape};
use super::{BodyError, Item, MAX_TEXT, ParsedBody};

pub(super) fn parse(
    format: Format,
    body: impl Read,
    normaliser: &Normaliser,
    received: Timestamp,
    most: usize,
) -> Result<ParsedBody, BodyError> {
    let tape = Tape::new(body);
    let mut recordings =
        Recordings { tape: &tape, packer: Packer::default(), alerts: Vec::new(), most, received: 0 };
    let mut deserializer = serde_json::Deserializer::from_reader(&tape);
    let envelope = BodySeed { format, taker: &mut recordings }
        .deserialize(&mut deserializer)
        .and_then(|envelope| deserializer.end().map(|()| envelope))
        .map_err(|error| tape.fault(error))?;
    let Recordings { alerts, received: count, .. } = recordings;
    if count > most {
        return Err(BodyError::TooMany { limit: most, received: count });
    }
    let common = envelope.read(|text| Bytes::copy_from_slice(text.as_bytes()))?;
    let mut signals = normaliser.body(format.source(), received, common.context, &common.labels.0);
    let items = alerts.into_iter().map(|alert| {
        let held = match alert {
            Held::Whole(held) => held,
            Held::TooLarge(bytes) => {
                return Item::Rejected(Rejection::TooLarge { bytes, limit: MAX_TEXT });
            }
        };
        let bytes = held.text().into_owned();
        let raw = String::from_utf8_lossy(&bytes);
        let text = match AlertText::read(&raw) {
            Ok(text) => text,
            Err(rejection) => return Item::Rejected(rejection),
        };
        let payload = bounded_alert(&raw, |_| held);
        signals.alert(&text.alert(), payload).into()
    });
    Ok(ParsedBody { items: items.collect(), truncated_alerts: common.truncated_alerts })
}

/// An alert until everything that was said about all of them is known.
enum Held {
    Whole(Payload),
    /// Longer than is read at all; so long.
    TooLarge(usize),
}

/// Takes values by recording what the parser reads while it skips over them.
struct Recordings<'t, R> {
    tape: &'t Tape<R>,
    packer: Packer,
    alerts: Vec<Held>,
    most: usize,
    received: usize,
}

impl<'de, R: Read> Taker<'de> for Recordings<'_, R> {
    fn alert<D: Deserializer<'de>>(&mut self, value: D) -> Result<(), D::Error> {
        self.received += 1;
        if self.received > self.most {
            // Only their number matters now.
            self.alerts = Vec::new();
            return self.skip(value);
        }
        self.tape.record(From::Last);
        self.skip(value)?;
        let held = self.tape.recorded(|text, length| match length {
            0..=MAX_TEXT => Held::Whole(self.packer.pack(text)),
            _ => Held::TooLarge(length),
        });
        self.alerts.push(held);
        Ok(())
    }

    fn field<D: Deserializer<'de>>(&mut self, value: D) -> Result<Cow<'de, str>, D::Error> {
        self.tape.record(From::Next);
        self.skip(value)?;
        // What is cut is too large whatever it says, so a character cut in half does not matter.
        let text =
            self.tape.recorded(|text, _| String::from_utf8_lossy(text.trim_ascii_start()).into_owned());
        Ok(Cow::Owned(text))
    }

    fn skip<D: Deserializer<'de>>(&mut self, value: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(value).map(drop)
    }
}
