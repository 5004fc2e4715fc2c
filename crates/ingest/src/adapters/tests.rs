//! Both ways of reading a body are asked everything, and must say the same.

mod arbitrary;
mod envelopes;
mod events;
mod limits;

use std::io::{self, Read};

use bytes::Bytes;
use seawall_engine::normalise::NormaliserConfig;
use seawall_model::{Policy, Signal, Timestamp};

use super::*;

const RECEIVED: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const MOST: usize = 1000;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Webhook,
    List,
    Event,
}

/// A body that arrives in pieces of some bytes.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.1).min(self.0.len());
        let (piece, rest) = self.0.split_at(count);
        buffer[..count].copy_from_slice(piece);
        self.0 = rest;
        Ok(count)
    }
}

fn normaliser() -> Normaliser {
    Normaliser::new(&NormaliserConfig::default(), &Policy::default())
}

/// What both ways make of a body.
#[track_caller]
fn read_with(kind: Kind, body: &[u8], most: usize) -> Result<ParsedBody, BodyError> {
    let (bytes, normaliser) = (Bytes::copy_from_slice(body), normaliser());
    let sliced = match kind {
        Kind::Webhook => parse_alertmanager(bytes, &normaliser, RECEIVED, most),
        Kind::List => parse_prometheus(bytes, &normaliser, RECEIVED, most),
        Kind::Event => parse_kubernetes_event(bytes, &normaliser, RECEIVED, most),
    };
    for piece in [1, 3, 1000, usize::MAX] {
        let trickle = Trickle(body, piece);
        let streamed = match kind {
            Kind::Webhook => stream_alertmanager(trickle, &normaliser, RECEIVED, most),
            Kind::List => stream_prometheus(trickle, &normaliser, RECEIVED, most),
            Kind::Event => stream_kubernetes_event(trickle, &normaliser, RECEIVED, most),
        };
        match (&sliced, &streamed) {
            (Ok(sliced), Ok(streamed)) => assert_eq!(sliced, streamed),
            (Err(_), Err(_)) => {}
            (one, other) => panic!("slices say {one:?} and pieces of {piece} say {other:?}"),
        }
    }
    sliced
}

#[track_caller]
fn read(kind: Kind, body: impl AsRef<[u8]>) -> Result<ParsedBody, BodyError> {
    read_with(kind, body.as_ref(), MOST)
}

#[track_caller]
fn items(kind: Kind, body: impl AsRef<[u8]>) -> Vec<Item> {
    read(kind, body).unwrap().items
}

/// `namespace/Kind/name`, or why there is none.
fn about(item: &Item) -> String {
    match item {
        Item::Signal(Signal { identity, .. }) => {
            format!("{}/{}/{}", identity.namespace, identity.kind, identity.resource)
        }
        Item::Suppressed(reason) => format!("suppressed: {reason}"),
        Item::Rejected(reason) => format!("{}: {reason}", reason.code()),
    }
}

fn abouts(items: &[Item]) -> Vec<String> {
    items.iter().map(about).collect()
}

#[track_caller]
fn signal(item: &Item) -> &Signal {
    match item {
        Item::Signal(signal) => signal,
        other => panic!("{}", about(other)),
    }
}
