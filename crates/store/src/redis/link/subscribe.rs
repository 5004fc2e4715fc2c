//! Messages of a channel, over a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::address::Address;
use super::error::LinkError;
use super::{Links, pause};

/// Messages that wait for their reader; when there are more they are dropped, and that is said. Several seconds of
/// announcements, one per changed request and flush interval.
const WAITING_MESSAGES: usize = 4096;

/// How often a connection is asked whether it is still there, and whether it still leads to the right server.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The pause before the second attempt to connect; it doubles up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a subscriber hears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Message(Vec<u8>),
    /// Messages may have been missed before this. Comes once at the beginning, and after every new connection.
    Gap,
}

pub(super) fn start(links: &Arc<Links>, channel: String) -> mpsc::Receiver<Heard> {
    let (out, reader) = mpsc::channel(WAITING_MESSAGES);
    links.tasks.spawn(listen(Arc::clone(links), channel, out));
    reader
}

/// Ends with its reader or with the store.
async fn listen(links: Arc<Links>, channel: String, out: mpsc::Sender<Heard>) {
    let (mut attempt, mut wait) = (0_usize, FIRST_PAUSE);
    loop {
        let ended = tokio::select! {
            () = links.stop.cancelled() => return,
            () = out.closed() => return,
            ended = hear(&links, &channel, attempt, &out) => ended,
        };
        let Ended { error, heard } = ended;
        if !heard && !error.is_outage() {
            tracing::warn!(channel, reason = error.reason, "changes made by other replicas are not heard of");
        }
        attempt += 1;
        wait = if heard { FIRST_PAUSE } else { (wait * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = links.stop.cancelled() => return,
            () = out.closed() => return,
            () = pause(wait) => {}
        }
    }
}

struct Ended {
    error: LinkError,
    /// It had worked.
    heard: bool,
}

/// Listens until the connection breaks.
async fn hear(links: &Links, channel: &str, attempt: usize, out: &mpsc::Sender<Heard>) -> Ended {
    let address = links.listening_address(attempt).await;
    let started = Instant::now();
    match connect(links, channel, &address).await {
        Ok(halves) => Ended { error: forward(links, &address, halves, out).await, heard: true },
        Err(error) => {
            links.note_of_listening(&error, started);
            Ended { error, heard: false }
        }
    }
}

async fn connect(
    links: &Links,
    channel: &str,
    address: &Address,
) -> Result<(PubSubSink, PubSubStream), LinkError> {
    let mut pubsub: PubSub = links.dialer.listen(address).await?;
    let within = links.options.timeout;
    match timeout(within, pubsub.subscribe(channel)).await {
        Ok(Ok(())) => Ok(pubsub.split()),
        Ok(Err(error)) => Err(LinkError::lost(&error).at(address)),
        Err(_) => Err(LinkError::late(within).at(address)),
    }
}

async fn forward(
    links: &Links,
    address: &Address,
    (mut sink, mut stream): (PubSubSink, PubSubStream),
    out: &mpsc::Sender<Heard>,
) -> LinkError {
    let mut gap = true;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let within = links.options.timeout;
    loop {
        tokio::select! {
            // A reader that is too slow is told so as soon as it has room; until then messages are dropped here,
            // because the library would keep them without bound.
            permit = out.reserve(), if gap => match permit {
                Ok(permit) => {
                    permit.send(Heard::Gap);
                    gap = false;
                }
                Err(_) => return LinkError::closed(),
            },
            message = stream.next() => match message {
                Some(message) if !gap => {
                    gap = out.try_send(Heard::Message(message.get_payload_bytes().to_vec())).is_err();
                }
                Some(_) => {}
                None => return LinkError::protocol("the connection broke"),
            },
            _ = look.tick() => {
                if !links.servers.has(address) {
                    return LinkError::protocol("messages come from another server now");
                }
                match timeout(within, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return LinkError::lost(&error),
                    Err(_) => return LinkError::late(within),
                }
            }
        }
    }
}
