//! The answer to a watch, which goes on until somebody ends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::read::Watching;
use super::serve::{Body, Cut};
use super::{Shared, Signal};

/// How long a watch goes on that does not say how long it wants to; the API server's own minimum.
const GOES_ON_FOR: Duration = Duration::from_secs(30 * 60);

struct Feed {
    shared: Arc<Shared>,
    signal: watch::Receiver<Signal>,
    seen: Signal,
    watching: Watching,
    events: VecDeque<Value>,
    until: Instant,
    is_over: bool,
}

/// A line for each event: first these, then what happens.
pub(super) fn feed(
    shared: Arc<Shared>,
    signal: watch::Receiver<Signal>,
    seen: Signal,
    watching: Watching,
    first: Vec<Value>,
    timeout: Option<Duration>,
) -> Body {
    // After an error nothing more is told.
    let is_over = first.iter().any(|event| event["type"] == "ERROR");
    let until = Instant::now() + timeout.unwrap_or(GOES_ON_FOR);
    let feed = Feed { shared, signal, seen, watching, events: first.into(), until, is_over };
    StreamBody::new(unfold(feed, |mut feed| async move {
        let next = feed.next().await?;
        Some((next, feed))
    }))
    .boxed_unsync()
}

impl Feed {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, Cut>> {
        loop {
            let signal = *self.signal.borrow_and_update();
            if signal.cuts != self.seen.cuts {
                return Some(Err(Cut));
            }
            if !self.is_over {
                let news = self.watching.news(&self.shared.state.lock());
                self.events.extend(news);
                if signal.bookmarks != self.seen.bookmarks {
                    self.events.extend(self.watching.bookmark());
                }
            }
            self.seen = signal;
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(Frame::data(Bytes::from(format!("{event}\n")))));
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                changed = self.signal.changed() => self.is_over = changed.is_err(),
                () = tokio::time::sleep_until(self.until) => {
                    self.is_over = true;
                    self.events.extend(self.watching.bookmark());
                }
            }
        }
    }
}
