//! The identity of a problem.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// SHA-256 over `[cluster:]alertname:namespace:kind:name[:label=value…]`, shown as 64 lower-case hex digits.
///
/// Severity, timestamps, other labels and annotations are not part, so the same problem reported again, louder or
/// with another description, is the same problem.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Hashes the parts of an identity. `extra` is appended as `label=value` in the order given, which callers keep
    /// sorted. A `:` or `\` inside a part is escaped with `\`, so different parts never give the same text.
    pub fn of<'a>(
        cluster: Option<&str>,
        [name, namespace, kind, resource]: [&str; 4],
        extra: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut hasher = Sha256::new();
        if let Some(cluster) = cluster {
            update_escaped(&mut hasher, cluster);
            hasher.update(b":");
        }
        update_escaped(&mut hasher, name);
        for part in [namespace, kind, resource] {
            hasher.update(b":");
            update_escaped(&mut hasher, part);
        }
        for (label, value) in extra {
            hasher.update(b":");
            update_escaped(&mut hasher, label);
            hasher.update(b"=");
            update_escaped(&mut hasher, value);
        }
        Self(hasher.finalize().into())
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 bytes, big endian: the part that names carry, and a hash that needs no further hashing.
    pub fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

fn update_escaped(hasher: &mut Sha256, part: &str) {
    let mut rest = part.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b':' | b'\\')) {
        hasher.update(&rest[..at]);
        hasher.update([b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    hasher.update(rest);
}

impl Fingerprint {
    /// The 64 lower-case digits.
    pub fn hex(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0u8; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.hex()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 lower-case hexadecimal digits")]
pub struct ParseFingerprintError;

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(ParseFingerprintError);
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, ParseFingerprintError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ParseFingerprintError),
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '%s' 'PodCrashLooping:prod:Pod:web-1' | sha256sum`
    #[test]
    fn an_ordinary_fingerprint_is_what_sha256sum_prints() {
        let fingerprint = Fingerprint::of(None, ["PodCrashLooping", "prod", "Pod", "web-1"], []);
        assert_eq!(
            fingerprint.to_string(),
            "a4453471a6f8e847012716ddfdb8e9f5b7d8e95a702f829a7a6fb504b906c2b2"
        );
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }

    #[test]
    fn separators_inside_parts_do_not_collide() {
        let one = Fingerprint::of(None, ["a:b", "c", "Pod", "d"], []);
        let other = Fingerprint::of(None, ["a", "b:c", "Pod", "d"], []);
        let third = Fingerprint::of(None, ["a\\", "b:c", "Pod", "d"], []);
        assert_ne!(one, other);
        assert_ne!(other, third);
    }
}
