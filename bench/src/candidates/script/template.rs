//! Bytes of one call, in which the numbers of other signals are patched.

use anyhow::{Context, Result};
use redis::Script;

use super::capture::{Call, FINGERPRINT, SAMPLE};
use crate::cases::Traffic;
use crate::driver::{Exchange, Reply};
use crate::payload::{DIGITS, GROUP, Numbers, decimal};

/// Digits of the partition between the braces of a key.
const TAG: usize = 16;
/// Operations of a run are numbered from here on, above those that prepare it.
const OPERATIONS: u64 = 1 << 32;
/// The number of the operation in the first argument: the key in MessagePack, and the head of eight bytes.
const OPERATION: &[u8] = b"\xa2op";
const EIGHT_BYTES: u8 = 0xcf;

/// What one call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub partition: u64,
    /// Of the first signal; the others follow it.
    pub number: u64,
    /// Grows within a partition. A call with one that is not new is answered from the record of the last one.
    pub op: u64,
}

pub struct ScriptTemplate {
    sha: String,
    bytes: Vec<u8>,
    traffic: Traffic,
    alerts: usize,
    tag_at: usize,
    op_at: usize,
    fingerprints_at: usize,
    /// Where the number of which signal stands.
    numbers_at: Vec<(usize, usize)>,
    /// Where the number of the namespace stands, when a hundred share one.
    groups_at: Vec<usize>,
}

impl ScriptTemplate {
    pub fn new(call: &Call, traffic: Traffic, alerts: usize) -> Result<Self> {
        let sha = Script::new(&String::from_utf8_lossy(&call.script)).get_hash().to_owned();
        let mut arguments = call.arguments.clone();
        let op_in_first = widen_operation(&mut arguments[0])?;
        let mut words: Vec<&[u8]> = vec![b"EVALSHA", sha.as_bytes(), b"1", &call.key];
        words.extend(arguments.iter().map(Vec::as_slice));
        let bytes = packed(&words);
        let tag = call.key.iter().position(|byte| *byte == b'{').context("the key has no hash tag")? + 1;
        anyhow::ensure!(call.key.get(tag + TAG) == Some(&b'}'), "the hash tag has not {TAG} digits");
        let at = |word: usize| offset(&words, word);
        let numbers_at = (0..alerts).flat_map(|index| {
            places(&bytes, &decimal(SAMPLE + index as u64)).into_iter().map(move |at| (at, index))
        });
        Ok(Self {
            traffic,
            alerts,
            tag_at: at(3) + tag,
            op_at: at(4) + op_in_first,
            fingerprints_at: at(5),
            numbers_at: numbers_at.collect(),
            groups_at: places(&bytes, &decimal(SAMPLE / GROUP)),
            bytes,
            sha,
        })
    }

    pub fn sha(&self) -> &str {
        &self.sha
    }

    pub fn alerts(&self) -> u64 {
        self.alerts as u64
    }

    /// What the next call of a connection is about. Calls to one partition come from one connection or far apart, so that
    /// their operations arrive in the order of their numbers.
    pub fn next(&self, connection: usize, numbers: &mut Numbers) -> Place {
        let first = numbers.take();
        let op = OPERATIONS + numbers.taken();
        let own = connection as u64;
        let (partition, number) = match self.traffic {
            Traffic::Repeats | Traffic::Fresh => (first, first),
            // Any of its hundred.
            Traffic::GroupRepeats => (own, own * GROUP + op % GROUP / self.alerts() * self.alerts()),
            Traffic::Members => (own, first * self.alerts()),
            Traffic::NewGroups => (first * self.alerts() / GROUP, first * self.alerts()),
        };
        Place { partition, number, op }
    }

    pub fn patch(&self, buffer: &mut [u8], place: Place) {
        let tag = format!("{:0TAG$}", place.partition);
        buffer[self.tag_at..self.tag_at + TAG].copy_from_slice(tag.as_bytes());
        buffer[self.op_at..self.op_at + 8].copy_from_slice(&place.op.to_be_bytes());
        for index in 0..self.alerts {
            let at = self.fingerprints_at + index * FINGERPRINT;
            buffer[at..at + 8].copy_from_slice(&scattered(place.number + index as u64).to_be_bytes());
        }
        for (at, index) in &self.numbers_at {
            let digits = decimal(place.number + *index as u64);
            buffer[*at..at + DIGITS].copy_from_slice(&digits);
        }
        for at in &self.groups_at {
            buffer[*at..at + DIGITS].copy_from_slice(&decimal(place.number / GROUP));
        }
    }
}

impl Exchange for ScriptTemplate {
    type Answer = Reply;

    fn buffer(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    fn fill(&self, connection: usize, buffer: &mut [u8], numbers: &mut Numbers) {
        self.patch(buffer, self.next(connection, numbers));
    }
}

/// Different for different numbers, and as far apart as the first bytes of hashes.
fn scattered(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Gives the number of the operation eight bytes, so that any fits; says where they are.
fn widen_operation(argument: &mut Vec<u8>) -> Result<usize> {
    let found = places(argument, OPERATION);
    let [key] = found[..] else { anyhow::bail!("the number of the operation stands {} times", found.len()) };
    let at = key + OPERATION.len();
    let length = match argument.get(at) {
        Some(0..=0x7f) => 1,
        Some(0xcc) => 2,
        Some(0xcd) => 3,
        Some(0xce) => 5,
        Some(0xcf) => 9,
        other => anyhow::bail!("the number of the operation begins with {other:?}"),
    };
    let wide = std::iter::once(EIGHT_BYTES).chain([0; 8]);
    drop(argument.splice(at..at + length, wide));
    Ok(at + 1)
}

fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(wanted.len()).enumerate();
    windows.filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
}

/// A command as Redis reads it.
pub fn packed(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Where a word begins in the packed command.
fn offset(words: &[&[u8]], word: usize) -> usize {
    let before = packed(&words[..=word]).len() - 2 - words[word].len();
    // The head says how many words there are in all.
    before - format!("{}", word + 1).len() + format!("{}", words.len()).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERTS: usize = 100;

    fn call() -> Call {
        let pods: Vec<u8> = (0..ALERTS)
            .flat_map(|index| decimal(SAMPLE + index as u64))
            .chain(decimal(SAMPLE / GROUP))
            .collect();
        let first = [b"\x82\xa2op\x07\xa7signals", pods.as_slice()].concat();
        let docs = (0..ALERTS).map(|index| decimal(SAMPLE + index as u64).to_vec());
        let arguments = [first, vec![b'f'; ALERTS * FINGERPRINT]].into_iter().chain(docs).collect();
        Call { script: b"return 1".to_vec(), key: b"seawall:1:{0123456789abcdef}:p".to_vec(), arguments }
    }

    #[test]
    fn a_call_is_patched_to_be_about_other_signals() {
        let template = ScriptTemplate::new(&call(), Traffic::NewGroups, ALERTS).unwrap();
        let mut buffer = template.buffer();
        template.patch(&mut buffer, Place { partition: 7, number: 700, op: 0x0102_0304_0506_0708 });
        let text = String::from_utf8_lossy(&buffer);
        assert!(text.contains("{0000000000000007}:p"), "{text}");
        for index in 0..ALERTS {
            assert_eq!(text.matches(&format!("{:010}", 700 + index)).count(), 2, "{index}");
        }
        assert!(text.contains("\u{fffd}\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}"));
        assert!(!text.contains("31415926"));
    }

    #[test]
    fn words_are_found_where_they_are_packed() {
        let words: [&[u8]; 12] = [b"a", b"bb", b"c", b"", b"e", b"f", b"g", b"h", b"i", b"j", b"kkk", b"l"];
        let bytes = packed(&words);
        for (place, word) in words.iter().enumerate() {
            let at = offset(&words, place);
            assert_eq!(&bytes[at..at + word.len() + 2], [word, &b"\r\n"[..]].concat());
        }
    }

    #[test]
    fn connections_do_not_meet_in_one_storm() {
        let template = ScriptTemplate::new(&call(), Traffic::Members, ALERTS).unwrap();
        let mut numbers = Numbers::fresh(0);
        let (one, other) = (template.next(3, &mut numbers), template.next(4, &mut numbers));
        assert_eq!((one.partition, other.partition), (3, 4));
        assert!(other.op > one.op && other.number == one.number + ALERTS as u64);
    }
}
