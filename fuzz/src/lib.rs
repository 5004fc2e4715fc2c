//! What the fuzz targets have in common: a body is read in both ways, and both must say the same.
//!
//! ```text
//! cargo fuzz run alertmanager -s none -- -max_total_time=30
//! ```

use std::io::{self, Read};
use std::sync::OnceLock;

use bytes::Bytes;
use seawall_engine::normalise::NormaliserConfig;
use seawall_ingest::adapters::{BodyError, Item, Normaliser, ParsedBody};
use seawall_model::{Field, Policy, Timestamp};

const RECEIVED: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MOST_ALERTS: usize = 50;

/// A body that arrives in pieces of different sizes, so that pieces end everywhere.
pub struct Trickle<'a> {
    body: &'a [u8],
    piece: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.piece).min(self.body.len());
        let (piece, rest) = self.body.split_at(count);
        buffer[..count].copy_from_slice(piece);
        self.body = rest;
        self.piece = self.piece % 7 + 1;
        Ok(count)
    }
}

type Result = std::result::Result<ParsedBody, BodyError>;

/// # Panics
///
/// When the two ways of reading disagree, or a signal is not what a signal must be.
pub fn read_both_ways(
    body: &[u8],
    in_place: impl FnOnce(Bytes, &Normaliser, Timestamp, usize) -> Result,
    while_arriving: impl FnOnce(Trickle<'_>, &Normaliser, Timestamp, usize) -> Result,
) {
    let normaliser = normaliser();
    let sliced = in_place(Bytes::copy_from_slice(body), normaliser, RECEIVED, MOST_ALERTS);
    let streamed = while_arriving(Trickle { body, piece: 1 }, normaliser, RECEIVED, MOST_ALERTS);
    match (sliced, streamed) {
        (Ok(sliced), Ok(streamed)) => {
            assert_eq!(sliced, streamed);
            sliced.items.iter().for_each(check);
        }
        (Err(sliced), Err(streamed)) => {
            assert!(!sliced.to_string().is_empty() && !streamed.to_string().is_empty())
        }
        (sliced, streamed) => panic!("in place it is {sliced:?}, while arriving {streamed:?}"),
    }
}

fn check(item: &Item) {
    let signal = match item {
        Item::Signal(signal) => signal,
        Item::Suppressed(reason) => return assert!(!reason.to_string().is_empty()),
        Item::Rejected(reason) => return assert!(!reason.to_string().is_empty()),
    };
    let identity = &signal.identity;
    for part in [&identity.name, &identity.kind, &identity.resource] {
        assert!(!part.is_empty() && !part.chars().any(char::is_control), "{identity:?}");
    }
    assert!((1..=63).contains(&signal.environment.len()));
    let detail = &signal.detail;
    assert_eq!(detail.detached(), *detail);
    assert!(detail.payload.text().len() <= seawall_model::Detail::MAX_PAYLOAD);
    detail.expand();
}

fn normaliser() -> &'static Normaliser {
    static NORMALISER: OnceLock<Normaliser> = OnceLock::new();
    NORMALISER.get_or_init(|| {
        let mut config = NormaliserConfig::default();
        config.extra_labels = vec!["team".into()];
        config.environments = [("shop".into(), "live".into())].into();
        let mut policy = Policy::default();
        policy.rules[0].group_by = ["owner", "node", "zone"].into_iter().map(Field::parse).collect();
        Normaliser::new(&config, &policy)
    })
}
