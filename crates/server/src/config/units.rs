//! Lengths of time and sizes, as people write them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use seawall_model::Millis;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units of time with their length in milliseconds, the longest first.
const TIME_UNITS: [(&str, i64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of size with their bytes. `MB` is a million, `MiB` is 2²⁰, as everywhere else.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A length of time in milliseconds, written as text with units: `5m`, `1h30m`, `250ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Millis);

impl Period {
    pub const fn from_millis(millis: Millis) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> Millis {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Longer than this and sums of points in time and periods could leave the range of time stamps.
    const MAX: Millis = 100 * 366 * 86_400_000;

    /// Reads `1h30m`; says what is wrong in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("a length of time is expected, for example `5m`".to_owned());
        }
        let mut rest = text.trim();
        let mut total: Millis = 0;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, after) = rest.split_at(digits);
            let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, next) = after.split_at(letters);
            if number.is_empty() {
                return Err(format!(
                    "`{text}` is not a length of time; write whole numbers with units, for example `1h30m`"
                ));
            }
            if unit.is_empty() && next.is_empty() {
                return Err(format!("`{text}` has no unit; write for example `{text}s` or `{text}m`"));
            }
            let Some((_, length)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) else {
                let given = if unit.is_empty() { next } else { unit };
                return Err(format!(
                    "`{text}`: `{given}` is not a unit of time; there are ms, s, m, h, d and w"
                ));
            };
            total = number
                .parse::<Millis>()
                .ok()
                .and_then(|count| count.checked_mul(*length))
                .and_then(|millis| total.checked_add(millis))
                .filter(|millis| *millis <= Self::MAX)
                .ok_or_else(|| format!("`{text}` is longer than 100 years"))?;
            rest = next;
        }
        Ok(Self(total))
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        Self::from_millis(period.0.unsigned_abs())
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(Millis::try_from(duration.as_millis()).unwrap_or(Self::MAX))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, length) in TIME_UNITS {
            // Weeks are read but not written: nobody says `1w3d` for ten days.
            if unit != "w" && rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" })
    }
}

/// A number of bytes, written as text with a unit or as a plain number: `64MiB`, `67108864`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// Reads `64MiB`; says what is wrong in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let given = text.trim();
        let digits = given.len() - given.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = given.split_at(digits);
        if number.is_empty() {
            return Err(format!("`{text}` is not a size; write for example `64MiB` or a number of bytes"));
        }
        let unit = unit.trim_start();
        let factor = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => {
                return Err(format!(
                    "`{text}`: `{unit}` is not a unit of size; there are B, kB, MB, GB, KiB, MiB and GiB"
                ));
            }
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(factor))
            .filter(|bytes| *bytes <= 1 << 50)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is larger than any machine"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary =
            SIZE_UNITS.iter().take(3).find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match binary {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `64MiB` or a number of bytes")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Size::parse(&bytes.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9]+ *(B|kB|MB|GB|KiB|MiB|GiB)?$", "minimum": 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_shown_with_units() {
        for (text, millis, shown) in [
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("250ms", 250, "250ms"),
            ("90s", 90_000, "1m30s"),
            ("2w", 1_209_600_000, "14d"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(Period::parse(text), Ok(Period::from_millis(millis)), "{text}");
            assert_eq!(Period::from_millis(millis).to_string(), shown);
        }
    }

    #[test]
    fn a_bad_length_of_time_says_what_is_wrong_with_it() {
        for (text, message) in [
            ("5", "`5` has no unit; write for example `5s` or `5m`"),
            ("", "a length of time is expected, for example `5m`"),
            ("fast", "`fast` is not a length of time; write whole numbers with units, for example `1h30m`"),
            ("-5s", "`-5s` is not a length of time; write whole numbers with units, for example `1h30m`"),
            ("1.5h", "`1.5h`: `.5h` is not a unit of time; there are ms, s, m, h, d and w"),
            ("5min", "`5min`: `min` is not a unit of time; there are ms, s, m, h, d and w"),
            ("99999999999999999999s", "`99999999999999999999s` is longer than 100 years"),
            ("9999999d", "`9999999d` is longer than 100 years"),
        ] {
            assert_eq!(Period::parse(text), Err(message.to_owned()));
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes, shown) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("67108864", 64 << 20, "64MiB"),
            ("1 KiB", 1024, "1KiB"),
            ("10MB", 10_000_000, "10000000B"),
            ("0", 0, "0B"),
        ] {
            assert_eq!(Size::parse(text), Ok(Size::from_bytes(bytes)), "{text}");
            assert_eq!(Size::from_bytes(bytes).to_string(), shown);
        }
    }

    #[test]
    fn a_bad_size_says_what_is_wrong_with_it() {
        for (text, message) in [
            ("big", "`big` is not a size; write for example `64MiB` or a number of bytes"),
            ("64M", "`64M`: `M` is not a unit of size; there are B, kB, MB, GB, KiB, MiB and GiB"),
            ("99999999999999999999", "`99999999999999999999` is larger than any machine"),
        ] {
            assert_eq!(Size::parse(text), Err(message.to_owned()));
        }
    }
}
