//! Names of requests, and the rules Kubernetes has for names.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::{Fingerprint, Timestamp};

/// Identifies one request: the problem, and which time it is open.
///
/// The generation is the Unix second in which the incident opened, and at least one more than the last known one. So
/// it grows without anybody having to remember earlier incidents, and a name is never used twice, not even by a
/// Seawall that has lost its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId {
    /// [`Fingerprint::prefix`].
    pub prefix: u64,
    pub generation: u32,
}

impl RequestId {
    pub fn open(fingerprint: &Fingerprint, now: Timestamp, previous: Option<u32>) -> Self {
        let second = u32::try_from(now.as_seconds()).unwrap_or(0).max(1);
        let generation = previous.map_or(second, |last| second.max(last.saturating_add(1)));
        Self { prefix: fingerprint.prefix(), generation }
    }
}

/// The name of the resource: `rr-<first 16 hex digits of the fingerprint>-<generation>`.
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rr-{:016x}-{}", self.prefix, self.generation)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request's name is `rr-`, 16 lower-case hexadecimal digits, `-` and a number")]
pub struct ParseRequestIdError;

impl FromStr for RequestId {
    type Err = ParseRequestIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (hex, generation) =
            text.strip_prefix("rr-").and_then(|rest| rest.split_once('-')).ok_or(ParseRequestIdError)?;
        if hex.len() != 16 || hex.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ParseRequestIdError);
        }
        let id = Self {
            prefix: u64::from_str_radix(hex, 16).map_err(|_| ParseRequestIdError)?,
            generation: generation.parse().map_err(|_| ParseRequestIdError)?,
        };
        (id.to_string() == text).then_some(id).ok_or(ParseRequestIdError)
    }
}

/// Where a request lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestRef {
    pub namespace: CompactString,
    pub id: RequestId,
}

impl fmt::Display for RequestRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

/// Whether the whole name is what the pattern says; `*` stands for any characters, also none.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((beginning, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(beginning) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place where a part fits leaves most for those after it.
    for part in middle.split('*') {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(end)
}

/// Whether Kubernetes would take this as the name of a namespace (RFC 1123 label).
pub fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let outer = |byte: Option<&u8>| matches!(byte, Some(b'a'..=b'z' | b'0'..=b'9'));
    bytes.len() <= 63 && bytes.iter().all(inner) && outer(bytes.first()) && outer(bytes.last())
}

/// The nearest valid Kubernetes label value: at most 63 of `[A-Za-z0-9._-]`, alphanumeric at both ends.
pub fn label_safe(text: &str) -> String {
    let safe: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .take(63)
        .collect();
    safe.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_the_same_id() {
        let id = RequestId { prefix: 0x00ab, generation: 7 };
        assert_eq!(id.to_string(), "rr-00000000000000ab-7");
        assert_eq!("rr-00000000000000ab-7".parse(), Ok(id));
        for bad in ["rr-ab-7", "rr-00000000000000ab", "rr-00000000000000AB-7", "rr-00000000000000ab-07", ""] {
            assert_eq!(bad.parse::<RequestId>(), Err(ParseRequestIdError), "{bad}");
        }
    }

    #[test]
    fn generations_always_grow() {
        let fingerprint = Fingerprint::of(None, ["a", "b", "c", "d"], []);
        let now = Timestamp::from_millis(5_000);
        let first = RequestId::open(&fingerprint, now, None);
        let second = RequestId::open(&fingerprint, now, Some(first.generation));
        assert_eq!((first.generation, second.generation), (5, 6));
    }

    #[test]
    fn label_values_are_made_safe() {
        assert_eq!(label_safe("-größe/1-"), "gr__e_1");
        assert!(is_dns_label("shop-1") && !is_dns_label("Shop") && !is_dns_label("") && !is_dns_label("-a"));
    }

    #[test]
    fn an_asterisk_stands_for_anything_and_nothing() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*b", "ab", true),
            ("a*b", "aXb", true),
            ("a*a", "a", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("*-eu-*", "shop-eu-1", true),
            ("a**c", "abc", true),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }
}
