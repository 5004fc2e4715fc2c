//! From a [`Node`] to a type, keeping the way and the place of whatever is wrong.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::{ConfigError, KeyPath, Origin, Step, did_you_mean};
use super::node::{Key, Node, Value};

/// Sections and keys of the product that this version does not have yet. Whoever writes them has read about them
/// somewhere, and is helped more by being told so than by a guess at another key.
const LATER: [&str; 1] = ["otlpEndpoint"];

pub(crate) fn read<T: de::DeserializeOwned>(node: &Node) -> Result<T, ConfigError> {
    T::deserialize(NodeDeserializer(node)).map_err(|mut fault| {
        fault.steps.reverse();
        ConfigError {
            origin: fault.origin.unwrap_or(Origin::Default),
            path: KeyPath(fault.steps),
            message: fault.message,
        }
    })
}

/// An error on its way out; each level adds its step.
#[derive(Debug)]
struct Fault {
    message: String,
    origin: Option<Origin>,
    /// From the inside out.
    steps: Vec<Step>,
}

impl Fault {
    fn inside(mut self, step: Step, origin: &Origin) -> Self {
        self.steps.push(step);
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), origin: None, steps: Vec::new() }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let given = match unexpected {
            Unexpected::Str(text) => format!("the text `{text}`"),
            Unexpected::Unit => "nothing".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a map of keys".to_owned(),
            other => other.to_string(),
        };
        Self::custom(format_args!("{expected} is expected, not {given}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let hint = if LATER.contains(&field) {
            "this key is not available in this version".to_owned()
        } else if let Some(near) = did_you_mean(field, expected.iter().copied()) {
            format!("unknown key; did you mean `{near}`?")
        } else {
            format!("unknown key; there {}", listed(expected))
        };
        Self::custom(hint)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        if LATER.contains(&variant) {
            return Self::custom(format_args!("`{variant}` is not available in this version"));
        }
        match did_you_mean(variant, expected.iter().copied()) {
            Some(near) => Self::custom(format_args!("`{variant}` is not known; did you mean `{near}`?")),
            None => Self::custom(format_args!("`{variant}` is not known; there {}", listed(expected))),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` is missing"))
    }
}

pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "are none here".to_owned(),
        [only] => format!("is only {only}"),
        [most @ .., last] => format!("are {} and {last}", most.join(", ")),
    }
}

struct NodeDeserializer<'de>(&'de Node);

macro_rules! parse_number {
    ($($method:ident $visit:ident $kind:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match &self.0.value {
                Value::Loose(text) => match text.parse::<$kind>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) if text.starts_with('-') && text[1..].parse::<u64>().is_ok() => {
                        Err(de::Error::custom(format_args!("`{text}` is below zero")))
                    }
                    Err(_) if text.parse::<u128>().is_ok() => {
                        Err(de::Error::custom(format_args!("`{text}` is too large; at most {}", <$kind>::MAX)))
                    }
                    Err(_) => Err(de::Error::custom(format_args!("`{text}` is not a whole number"))),
                },
                _ => Err(self.unexpected(&"a whole number")),
            }
        }
    )*};
}

impl<'de> NodeDeserializer<'de> {
    fn unexpected(&self, expected: &dyn de::Expected) -> Fault {
        de::Error::invalid_type(
            match &self.0.value {
                Value::Null => Unexpected::Unit,
                Value::Loose(text) | Value::Text(text) => Unexpected::Str(text),
                Value::List(_) => Unexpected::Seq,
                Value::Map(_) => Unexpected::Map,
            },
            expected,
        )
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Loose(text) | Value::Text(text) => visitor.visit_borrowed_str(text),
            _ => Err(self.unexpected(&"text")),
        }
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Loose(text) | Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Loose(text) if text == "true" => visitor.visit_bool(true),
            Value::Loose(text) if text == "false" => visitor.visit_bool(false),
            _ => Err(self.unexpected(&"`true` or `false`")),
        }
    }

    parse_number!(deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64);

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.text(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            // `a,b` in an environment variable.
            Value::Loose(text) if matches!(self.0.origin, Origin::Env(_)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                visitor.visit_seq(de::value::SeqDeserializer::<_, Fault>::new(parts))
            }
            _ => Err(self.unexpected(&"a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0, known: None }),
            _ => Err(self.unexpected(&"a map of keys")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0, known: Some(fields) }),
            _ => Err(self.unexpected(&"a map of keys")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Loose(text) | Value::Text(text) => visitor.visit_enum(Variant(text)),
            _ => Err(self.unexpected(&"text")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let step = Step::Index(self.next);
        self.next += 1;
        seed.deserialize(NodeDeserializer(item)).map(Some).map_err(|fault| fault.inside(step, &item.origin))
    }
}

struct Entries<'de> {
    entries: &'de [(Key, Node)],
    next: usize,
    /// The keys of the struct that is read; nothing for a map with keys of its own.
    known: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        // A known key without a value means the default, which is what leaving it out means.
        while let Some((key, node)) = self.entries.get(self.next)
            && node.value == Value::Null
            && self.known.is_some_and(|known| known.contains(&key.name.as_str()))
        {
            self.next += 1;
        }
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = key.name.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|fault| fault.inside(Step::Key(key.name.clone()), &key.origin))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, node)) = self.entries.get(self.next) else {
            return Err(de::Error::custom("a value is asked for before its key"));
        };
        self.next += 1;
        seed.deserialize(NodeDeserializer(node))
            .map_err(|fault| fault.inside(Step::Key(key.name.clone()), &node.origin))
    }
}

struct Variant<'de>(&'de str);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StrDeserializer<'_, Fault> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

/// Only variants without values are part of a configuration.
impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(de::Error::custom(format_args!("`{}` takes no value", self.0)))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom(format_args!("`{}` takes no value", self.0)))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom(format_args!("`{}` takes no value", self.0)))
    }
}
