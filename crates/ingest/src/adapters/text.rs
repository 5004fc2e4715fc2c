//! Values as senders write them: texts and objects of texts, `null` where there is nothing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

/// A text, borrowed unless it holds escapes. `null` is the empty text where `NULL` allows it.
#[derive(Debug, Default)]
pub(super) struct Word<'a, const NULL: bool>(pub(super) Cow<'a, str>);

/// A field that may be left out.
pub(super) type Text<'a> = Word<'a, true>;
/// A name or a value of a label.
type Label<'a> = Word<'a, false>;

struct WordVisitor<const NULL: bool>;

impl<'de, const NULL: bool> Visitor<'de> for WordVisitor<NULL> {
    type Value = Word<'de, NULL>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Word(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Word(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        if NULL { Ok(Word::default()) } else { Err(E::invalid_type(Unexpected::Unit, &self)) }
    }
}

impl<'de: 'a, 'a, const NULL: bool> Deserialize<'de> for Word<'a, NULL> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordVisitor::<NULL>)
    }
}

/// A text that is only looked at.
struct Glance;

impl<'de> Deserialize<'de> for Glance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GlanceVisitor;

        impl Visitor<'_> for GlanceVisitor {
            type Value = Glance;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Glance, E> {
                Ok(Glance)
            }
        }

        deserializer.deserialize_str(GlanceVisitor)
    }
}

/// An object of texts, in order and with its repetitions; `null` is the empty one.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a>(pub(super) Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// An object of texts that is only checked: a request shows it, if ever, from the payload.
#[derive(Debug, Default)]
pub(super) struct CheckedPairs;

/// Labels of an ordinary alert; one allocation instead of several.
const USUAL_PAIRS: usize = 16;

trait Collect<'de>: Default {
    fn collect<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

impl<'de> Collect<'de> for Pairs<'de> {
    fn collect<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut pairs = Vec::with_capacity(USUAL_PAIRS);
        while let Some((Word(name), Word(value))) = map.next_entry::<Label<'_>, Label<'_>>()? {
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

impl<'de> Collect<'de> for CheckedPairs {
    fn collect<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Glance, Glance>()?.is_some() {}
        Ok(CheckedPairs)
    }
}

struct PairsVisitor<P>(PhantomData<P>);

impl<'de, P: Collect<'de>> Visitor<'de> for PairsVisitor<P> {
    type Value = P;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<P, A::Error> {
        P::collect(map)
    }

    fn visit_unit<E: Error>(self) -> Result<P, E> {
        Ok(P::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor::<Pairs<'de>>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for CheckedPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor::<CheckedPairs>(PhantomData))
    }
}

/// A struct that must be written as an object (a derived one would take a list, too); `null` is the empty one.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }

            fn visit_unit<E: Error>(self) -> Result<Object<T>, E> {
                Ok(Object(T::default()))
            }
        }

        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}
