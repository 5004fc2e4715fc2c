//! Points in time and lengths of time, both in whole milliseconds.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in milliseconds. Policies speak milliseconds so that decisions are integer arithmetic.
pub type Millis = i64;

/// Milliseconds since the Unix epoch, UTC. Rendered as RFC 3339 in JSON and as an integer in binary formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads an RFC 3339 text. Nothing for text that is no time, and for Go's zero time (`0001-01-01T00:00:00Z`),
    /// with which Alertmanager says "not set".
    pub fn parse(text: &str) -> Option<Self> {
        let parsed: jiff::Timestamp = text.parse().ok()?;
        let millis = parsed.as_millisecond();
        (millis > GO_ZERO_TIME).then_some(Self(millis))
    }
}

/// `0001-01-01T00:00:00Z` in milliseconds.
const GO_ZERO_TIME: i64 = -62_135_596_800_000;

impl Add<Millis> for Timestamp {
    type Output = Self;
    fn add(self, millis: Millis) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Self;
    fn sub(self, millis: Millis) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}

impl Sub for Timestamp {
    type Output = Millis;
    fn sub(self, earlier: Self) -> Millis {
        self.0.saturating_sub(earlier.0)
    }
}

impl Timestamp {
    /// `2023-11-14T22:13:20.123Z`; nothing outside the years 0 to 9999. Every answer shows several times, so this is plain
    /// arithmetic on the proleptic Gregorian calendar (Hinnant's `civil_from_days`).
    pub fn rfc3339(self) -> Option<[u8; 24]> {
        const DAY: i64 = 86_400_000;
        /// Days from 0000-03-01, where the calendar's periods begin, to 1970-01-01.
        const EPOCH: i64 = 719_468;
        let days = self.0.div_euclid(DAY) + EPOCH;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        if !(0..=9999).contains(&year) {
            return None;
        }
        let of_day = self.0.rem_euclid(DAY);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day_of_year - (153 * from_march + 2) / 5 + 1);
        digits(&mut text[11..13], of_day / 3_600_000);
        digits(&mut text[14..16], of_day / 60_000 % 60);
        digits(&mut text[17..19], of_day / 1000 % 60);
        digits(&mut text[20..23], of_day % 1000);
        Some(text)
    }
}

fn digits(places: &mut [u8], mut number: i64) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rfc3339() {
            Some(text) => f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn every_day_is_shown_as_the_calendar_has_it() {
        let (first, last) = (-62_167_219_200_000_i64, 253_402_300_799_999);
        let shown_by_jiff = jiff::Timestamp::MAX.as_second() * 1000;
        let some = (first..=shown_by_jiff).step_by(86_400_000 * 13 + 12_345_678);
        for millis in some.chain([first, shown_by_jiff, -1, 0]) {
            let expected = jiff::Timestamp::from_millisecond(millis).unwrap();
            assert_eq!(Timestamp::from_millis(millis).to_string(), format!("{expected:.3}"));
        }
        assert_eq!(Timestamp::from_millis(last).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(last + 1).rfc3339(), None);
        assert_eq!(Timestamp::from_millis(first - 1).rfc3339(), None);
        assert_eq!(Timestamp::from_millis(i64::MAX).rfc3339(), None);
        assert_eq!(Timestamp::from_millis(i64::MIN).rfc3339(), None);
    }

    #[test]
    fn the_zero_time_of_go_means_no_time() {
        assert_eq!(Timestamp::parse("0001-01-01T00:00:00Z"), None);
        assert_eq!(Timestamp::parse("1970-01-01T01:00:00+01:00"), Some(Timestamp::from_millis(0)));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }
}
