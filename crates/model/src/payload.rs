//! The text of one alert, kept until somebody looks at it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The JSON of one alert or event.
///
/// Most alerts are repeats whose text nobody ever reads, so it is kept the cheapest way that its body allows: as a
/// slice of the body, or packed against its neighbours where the body itself is too large to be held. What is written
/// to a store is always the whole text.
#[derive(Clone)]
pub struct Payload(Form);

#[derive(Clone)]
enum Form {
    Plain(Bytes),
    /// An LZ4 block behind its length, with `pattern` as dictionary. Only [`Packer`] makes them.
    Packed {
        block: Bytes,
        pattern: Arc<[u8]>,
    },
}

impl Payload {
    pub fn text(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            Form::Plain(text) => Cow::Borrowed(text),
            // Blocks never leave the process, so one that cannot be read does not exist; showing nothing is still
            // better than losing the alert over its looks.
            Form::Packed { block, pattern } => Cow::Owned(
                lz4_flex::block::decompress_size_prepended_with_dict(block, pattern).unwrap_or_default(),
            ),
        }
    }

    /// A copy that shares memory with nothing, for keeping longer than the body it came in.
    pub fn detached(&self) -> Self {
        Self(Form::Plain(match self.text() {
            Cow::Borrowed(text) => Bytes::copy_from_slice(text),
            Cow::Owned(text) => text.into(),
        }))
    }
}

impl From<Bytes> for Payload {
    fn from(text: Bytes) -> Self {
        Self(Form::Plain(text))
    }
}

impl Default for Payload {
    fn default() -> Self {
        Bytes::new().into()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({})", String::from_utf8_lossy(&self.text()))
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.text())
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bytes::deserialize(deserializer).map(Self::from)
    }
}

/// Packs the alerts of one body, which are mostly alike, to a fraction of their text.
#[derive(Debug, Default)]
pub struct Packer {
    /// Samples of what came so far.
    pattern: Arc<[u8]>,
    patterns: usize,
    /// Packed texts lie back to back, because an allocation each would cost more than many of them.
    arena: BytesMut,
    scratch: Vec<u8>,
}

impl Packer {
    /// Several alerts fit, and preparing it for a compression stays in the order of the compression itself.
    const PATTERN: usize = 8 * 1024;
    /// Each pattern lives as long as a payload that needs it; a body whose alerts are all different gains nothing from
    /// ever new ones.
    const PATTERNS: usize = 64;
    const CHUNK: usize = 64 * 1024;
    /// Bytes in front of a block that say how long its text is.
    const PREFIX: usize = 4;

    pub fn pack(&mut self, text: &[u8]) -> Payload {
        let packed = self.compress(text).unwrap_or(usize::MAX);
        if packed > text.len() / 2 {
            self.learn(text);
            return Payload(Form::Plain(self.keep(text)));
        }
        let scratch = std::mem::take(&mut self.scratch);
        let block = self.keep(&scratch[..packed]);
        self.scratch = scratch;
        let payload = Payload(Form::Packed { block, pattern: self.pattern.clone() });
        if packed > text.len() / 4 {
            self.learn(text);
        }
        payload
    }

    /// Fills `scratch` with the block of `text` and says how long it is.
    fn compress(&mut self, text: &[u8]) -> Option<usize> {
        let length = u32::try_from(text.len()).ok()?;
        let room = Self::PREFIX + lz4_flex::block::get_maximum_output_size(text.len());
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        self.scratch[..Self::PREFIX].copy_from_slice(&length.to_le_bytes());
        let output = &mut self.scratch[Self::PREFIX..];
        let packed = lz4_flex::block::compress_into_with_dict(text, output, &self.pattern).ok()?;
        Some(Self::PREFIX + packed)
    }

    /// Makes what follows compress better when it resembles `text`.
    fn learn(&mut self, text: &[u8]) {
        if self.patterns == Self::PATTERNS || text.len() > Self::PATTERN / 2 {
            return;
        }
        let fits = self.pattern.len() + text.len() <= Self::PATTERN;
        let known: &[u8] = if fits { &self.pattern } else { &[] };
        self.pattern = [known, text].concat().into();
        self.patterns += 1;
    }

    fn keep(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > Self::CHUNK / 4 {
            return Bytes::copy_from_slice(bytes);
        }
        if self.arena.capacity() < bytes.len() {
            self.arena = BytesMut::with_capacity(Self::CHUNK);
        }
        self.arena.extend_from_slice(bytes);
        self.arena.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: &str, number: usize) -> String {
        let long = "a text that all alerts of a group share ".repeat(20);
        format!(
            r#"{{"labels":{{"alertname":"{kind}","pod":"web-{number}"}},"annotations":{{"a":"{long}"}}}}"#
        )
    }

    fn block(payload: &Payload) -> usize {
        match &payload.0 {
            Form::Plain(text) => text.len(),
            Form::Packed { block, .. } => block.len(),
        }
    }

    #[test]
    fn what_was_packed_reads_back_as_it_was() {
        let mut packer = Packer::default();
        let long = "é".repeat(40_000);
        let texts: Vec<String> = (0..500)
            .map(|number| alert(["A", "B", "C"][number % 3], number))
            .chain([String::new(), "{}".to_owned(), long.clone(), long, alert("D", 7)])
            .collect();
        let payloads: Vec<Payload> = texts.iter().map(|text| packer.pack(text.as_bytes())).collect();
        for (payload, text) in payloads.iter().zip(&texts) {
            assert_eq!(payload.text(), text.as_bytes());
            assert_eq!(payload, &payload.detached());
        }
        let packed: usize = payloads[3..500].iter().map(block).sum();
        assert!(packed * 5 < alert("A", 0).len() * 497, "{packed} bytes");
    }

    #[test]
    fn alerts_that_have_nothing_in_common_take_no_more_than_their_text() {
        let mut packer = Packer::default();
        let mut noise = 1u64;
        let mut held = 0;
        for _ in 0..2_000 {
            let text: Vec<u8> = std::iter::repeat_with(|| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (noise >> 56) as u8
            })
            .take(600)
            .collect();
            let payload = packer.pack(&text);
            assert_eq!(payload.text(), text);
            held += block(&payload);
        }
        assert!(held <= 2_000 * 600 && packer.patterns <= Packer::PATTERNS);
    }

    #[test]
    fn a_packed_text_is_stored_whole() {
        let mut packer = Packer::default();
        packer.pack(alert("A", 1).as_bytes());
        let payload = packer.pack(alert("A", 2).as_bytes());
        assert!(matches!(payload.0, Form::Packed { .. }));
        let stored = serde_json::to_string(&payload).unwrap();
        let read: Payload = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.text(), alert("A", 2).as_bytes());
    }
}
