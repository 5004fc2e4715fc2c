//! The configuration before it has types: values that know where they were given, in layers.
//!
//! YAML text, environment variables and command line options all become a [`Node`]; layers are laid over each other,
//! and the result is read into [`Config`](super::Config) by [`super::de`].

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::error::{ConfigError, KeyPath, Origin, Step};
use super::secrets::without_secrets;

/// A value and where it was given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub origin: Origin,
    pub value: Value,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    /// Given, but as nothing: the default applies.
    Null,
    /// Text without a type of its own: what it means depends on what is expected. Environment variables, options, and
    /// the numbers and booleans of YAML.
    Loose(String),
    /// Certainly text.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// What was given may have a password in it.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Loose(text) | Self::Text(text) => fmt::Debug::fmt(&without_secrets(text), f),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => {
                f.debug_map().entries(entries.iter().map(|(key, node)| (key, node))).finish()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub name: String,
    pub origin: Origin,
}

/// Deeper nesting than any key needs.
const MAX_DEPTH: usize = 32;

impl Node {
    pub fn empty() -> Self {
        Self { origin: Origin::Default, value: Value::Map(Vec::new()) }
    }

    /// A layer with one value: `value` at `path`.
    pub fn at(path: &[String], value: Self) -> Self {
        path.iter().rev().fold(value, |inner, name| Self {
            origin: inner.origin.clone(),
            value: Value::Map(vec![(Key { name: name.clone(), origin: inner.origin.clone() }, inner)]),
        })
    }

    /// What `value` serialises to, with the keys in the order in which its type has them.
    pub fn of(value: &impl serde::Serialize) -> Self {
        // JSON is YAML, and unlike a tree of JSON values its text keeps the order.
        let text = serde_json::to_string(value).unwrap_or_default();
        Self::from_yaml(&text, &|_| Origin::Default).unwrap_or_else(|_| Self::empty())
    }

    /// Keys and values; nothing for what is no map.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Reads YAML text; `origin_of` says what a place in it is called.
    pub fn from_yaml(text: &str, origin_of: &dyn Fn(Location) -> Origin) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: 100_000, max_events: 400_000 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
            strict_booleans: true,
        };
        let fail = |error: serde_saphyr::Error| {
            let origin = origin_of(error.location().unwrap_or(Location::UNKNOWN));
            ConfigError { origin, path: KeyPath::default(), message: plain_message(&error) }
        };
        match serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(text, options) {
            Ok(Some(raw)) => Ok(convert(raw, text, origin_of)),
            Ok(None) => Ok(Self::empty()),
            Err(error) => Err(fail(error)),
        }
    }

    /// The same values with `over` on top: maps are merged, anything else is replaced as a whole.
    #[must_use]
    pub fn overlaid(self, over: Self) -> Self {
        match (self.value, over.value) {
            (Value::Map(mut below), Value::Map(above)) => {
                for (key, node) in above {
                    match below.iter_mut().find(|(present, _)| present.name == key.name) {
                        Some((_, present)) => {
                            let lower = std::mem::replace(present, Self::empty());
                            *present = lower.overlaid(node);
                        }
                        None => below.push((key, node)),
                    }
                }
                Self { origin: self.origin, value: Value::Map(below) }
            }
            (_, value) => Self { origin: over.origin, value },
        }
    }

    /// The value at `path`.
    pub fn get(&self, path: &KeyPath) -> Option<&Self> {
        let mut node = self;
        for step in &path.0 {
            node = match (&node.value, step) {
                (Value::Map(entries), Step::Key(name)) => {
                    &entries.iter().find(|(key, _)| key.name == *name)?.1
                }
                (Value::List(items), Step::Index(index)) => items.get(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// Where the value at `path` was given; nothing when it was not.
    pub fn origin_of(&self, path: &KeyPath) -> Option<&Origin> {
        self.get(path).filter(|node| node.value != Value::Null).map(|node| &node.origin)
    }

    /// As [`Self::origin_of`], or of the nearest value around it: a missing key is reported where it is missing.
    pub fn nearest_origin(&self, path: &KeyPath) -> Origin {
        (0..=path.0.len())
            .rev()
            .filter_map(|length| self.origin_of(&KeyPath(path.0[..length].to_vec())))
            .next()
            .cloned()
            .unwrap_or(Origin::Default)
    }
}

/// What is wrong, without the place and without an excerpt: both are shown by whoever shows the error.
fn plain_message(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_options(serde_saphyr::render_options! {
        formatter: &serde_saphyr::UserMessageFormatter,
        snippets: serde_saphyr::SnippetMode::Off,
    });
    match text.rfind(" at line ") {
        Some(place) => text[..place].to_owned(),
        None => text,
    }
}

/// YAML as it comes, with places.
enum Raw {
    Null,
    /// A number or boolean; how it was written is taken from the source.
    Scalar(String),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

fn convert(raw: Spanned<Raw>, text: &str, origin_of: &dyn Fn(Location) -> Origin) -> Node {
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Scalar(parsed) => Value::Loose(source_of(raw.defined, text).unwrap_or(parsed)),
        Raw::Text(value) => Value::Text(value),
        Raw::List(items) => {
            Value::List(items.into_iter().map(|item| convert(item, text, origin_of)).collect())
        }
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let origin = origin_of(key.referenced);
                    (Key { name: key.value, origin }, convert(value, text, origin_of))
                })
                .collect(),
        ),
    };
    Node { origin: origin_of(raw.referenced), value }
}

/// The characters of a scalar, so that `1.10` given for a text stays `1.10`.
fn source_of(location: Location, text: &str) -> Option<String> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    let written = text.get(start..start.checked_add(length)?)?.trim();
    (!written.is_empty()).then(|| written.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string()))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

/// Names places in the file called `name`.
pub(crate) fn file_origin(name: &str) -> impl Fn(Location) -> Origin {
    let name: Arc<str> = name.into();
    move |place| {
        let known = place != Location::UNKNOWN;
        let [line, column] = if known { [place.line(), place.column()] } else { [0, 0] };
        Origin::File { name: Arc::clone(&name), line, column }
    }
}
