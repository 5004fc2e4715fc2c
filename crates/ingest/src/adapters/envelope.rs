//! What stands around the alerts of a body.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use seawall_model::{Context, Detail, cut};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::alert::without_position;
use super::text::{CheckedPairs, Pairs, Text};
use super::{BodyError, MAX_TEXT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An object with a list `alerts`.
    Webhook,
    /// The list itself.
    List,
}

impl Format {
    pub(super) const fn source(self) -> &'static str {
        match self {
            Self::Webhook => "alertmanager",
            Self::List => "prometheus",
        }
    }

    /// How deep the alerts stand.
    pub(super) const fn depth(self) -> usize {
        match self {
            Self::Webhook => 2,
            Self::List => 1,
        }
    }
}

/// Takes the JSON values of a body as text.
pub(super) trait Taker<'de> {
    /// One alert.
    fn alert<D: Deserializer<'de>>(&mut self, value: D) -> Result<(), D::Error>;

    /// The value of a field that is kept; one over [`MAX_TEXT`] is cut.
    fn field<D: Deserializer<'de>>(&mut self, value: D) -> Result<Cow<'de, str>, D::Error>;

    /// The value of a field that means nothing here.
    fn skip<D: Deserializer<'de>>(&mut self, value: D) -> Result<(), D::Error>;
}

/// The fields around the alerts, as JSON text; empty where they are missing.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    receiver: Cow<'a, str>,
    group_key: Cow<'a, str>,
    external_url: Cow<'a, str>,
    common_labels: Cow<'a, str>,
    common_annotations: Cow<'a, str>,
    truncated_alerts: Cow<'a, str>,
}

/// What the envelope says, read.
#[derive(Debug)]
pub(super) struct Common<'a> {
    pub(super) labels: Pairs<'a>,
    pub(super) context: Arc<Context>,
    pub(super) truncated_alerts: u64,
}

impl<'a> Envelope<'a> {
    /// `keep` makes a long-lived text of one that the envelope holds.
    pub(super) fn read(&'a self, keep: impl Fn(&str) -> Bytes) -> Result<Common<'a>, BodyError> {
        let labels = pairs("commonLabels", &self.common_labels)?;
        let _: CheckedPairs = pairs("commonAnnotations", &self.common_annotations)?;
        let shown = |text: &str| {
            let worth_it = text.starts_with('{') && text.len() <= Detail::MAX_PAYLOAD;
            if worth_it { keep(text) } else { Bytes::new() }
        };
        Ok(Common {
            context: Arc::new(Context {
                receiver: text(&self.receiver),
                group_key: text(&self.group_key),
                external_url: text(&self.external_url),
                common_labels: shown(&self.common_labels),
                common_annotations: shown(&self.common_annotations),
            }),
            labels,
            truncated_alerts: number(&self.truncated_alerts),
        })
    }
}

/// Common labels are part of what alerts are about, so what is no object of texts is an error.
fn pairs<'a, P: Deserialize<'a> + Default>(name: &'static str, raw: &'a str) -> Result<P, BodyError> {
    if raw.is_empty() {
        return Ok(P::default());
    }
    if raw.len() > MAX_TEXT {
        return Err(BodyError::TooLarge { what: name, limit: MAX_TEXT });
    }
    serde_json::from_str(raw)
        .map_err(|error| BodyError::format(format!("`{name}`: {}", without_position(&error))))
}

/// Texts for showing; what is none shows nothing.
fn text(raw: &str) -> String {
    let text = serde_json::from_str::<Text<'_>>(raw).unwrap_or_default();
    cut(&text.0, Detail::MAX_VALUE).to_owned()
}

/// The whole number that a JSON number begins with, 0 for everything else.
fn number(raw: &str) -> u64 {
    let digits = raw.bytes().take_while(u8::is_ascii_digit);
    digits.fold(0u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Reads a body with everything around the alerts.
pub(super) struct BodySeed<'t, T> {
    pub(super) format: Format,
    pub(super) taker: &'t mut T,
}

impl<'de, T: Taker<'de>> DeserializeSeed<'de> for BodySeed<'_, T> {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Taker<'de>> Visitor<'de> for BodySeed<'_, T> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.format {
            Format::Webhook => {
                "an object with a list `alerts`, as Alertmanager sends it (bare lists go to /api/v2/alerts)"
            }
            Format::List => "a list of alerts, as Prometheus sends it (webhooks go to /webhook/prometheus)",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if self.format == Format::List {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        }
        let mut envelope = Envelope::default();
        let (mut has_alerts, mut is_known, mut is_empty) = (false, false, true);
        while let Some(name) = map.next_key()? {
            is_empty = false;
            is_known |= name != Name::Other;
            let field = match name {
                Name::Alerts if has_alerts => return Err(A::Error::duplicate_field("alerts")),
                Name::Alerts => {
                    has_alerts = true;
                    map.next_value_seed(Alerts(&mut *self.taker))?;
                    continue;
                }
                Name::Known | Name::Other => {
                    map.next_value_seed(Skip(&mut *self.taker))?;
                    continue;
                }
                Name::Receiver => &mut envelope.receiver,
                Name::GroupKey => &mut envelope.group_key,
                Name::ExternalUrl => &mut envelope.external_url,
                Name::CommonLabels => &mut envelope.common_labels,
                Name::CommonAnnotations => &mut envelope.common_annotations,
                Name::TruncatedAlerts => &mut envelope.truncated_alerts,
            };
            *field = map.next_value_seed(Field(&mut *self.taker))?;
        }
        // A sender without alerts is fine; somebody who sends something else here must not be told that all is well.
        if is_known || is_empty { Ok(envelope) } else { Err(A::Error::missing_field("alerts")) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        if self.format == Format::Webhook {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        Alerts(self.taker).visit_seq(seq)?;
        Ok(Envelope::default())
    }
}

/// The fields of a webhook that matter, and those by which one is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Alerts,
    Receiver,
    GroupKey,
    ExternalUrl,
    CommonLabels,
    CommonAnnotations,
    TruncatedAlerts,
    Known,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "alerts" => Name::Alerts,
                    "receiver" => Name::Receiver,
                    "groupKey" => Name::GroupKey,
                    "externalURL" => Name::ExternalUrl,
                    "commonLabels" => Name::CommonLabels,
                    "commonAnnotations" => Name::CommonAnnotations,
                    "truncatedAlerts" => Name::TruncatedAlerts,
                    "status" | "version" | "groupLabels" => Name::Known,
                    _ => Name::Other,
                })
            }
        }

        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct Alerts<'t, T>(&'t mut T);

impl<'de, T: Taker<'de>> DeserializeSeed<'de> for Alerts<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Taker<'de>> Visitor<'de> for Alerts<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of alerts")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(One(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

struct One<'t, T>(&'t mut T);

impl<'de, T: Taker<'de>> DeserializeSeed<'de> for One<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.alert(deserializer)
    }
}

struct Field<'t, T>(&'t mut T);

impl<'de, T: Taker<'de>> DeserializeSeed<'de> for Field<'_, T> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.field(deserializer)
    }
}

struct Skip<'t, T>(&'t mut T);

impl<'de, T: Taker<'de>> DeserializeSeed<'de> for Skip<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.skip(deserializer)
    }
}
