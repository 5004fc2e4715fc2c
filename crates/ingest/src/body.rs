//! Reading a body within its limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::Extensions;
use hyper::body::Body as _;

use crate::edge::{Edge, Held};
use crate::problem::Problem;
use crate::serve::{Expired, Timing};

/// A body that is being received.
pub(crate) struct BodyReader {
    edge: Arc<Edge>,
    body: Body,
    timing: Option<Arc<Timing>>,
    limit: u64,
    received: u64,
    held: Held,
}

/// The beginning of a body.
pub(crate) enum Beginning {
    /// All of it.
    Whole(Bytes),
    /// More than asked for; the rest is still to be read.
    Part(Vec<Bytes>),
}

impl BodyReader {
    /// Refuses at once what says that it is too large, and what there is no room for.
    pub(crate) fn new(
        edge: &Arc<Edge>,
        extensions: &Extensions,
        body: Body,
        limit: u64,
    ) -> Result<Self, Problem> {
        let announced = body.size_hint().lower();
        if announced > limit {
            return Err(Problem::too_large("the body", limit).with("received", announced));
        }
        edge.require_room(announced)?;
        let reader = Self {
            edge: edge.clone(),
            body,
            timing: extensions.get::<Arc<Timing>>().cloned(),
            limit,
            received: 0,
            held: edge.held(),
        };
        Ok(reader)
    }

    /// The next piece; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let piece = poll_fn(|cx| {
            loop {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => return Poll::Ready(Ok(Some(data))),
                        Err(_trailers) => {}
                    },
                    Poll::Ready(Some(Err(_))) => {
                        return Poll::Ready(Err(Problem::malformed("the body ended before its end")));
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(None)),
                    Poll::Pending => return self.pending(),
                }
            }
        });
        let piece = piece.await?;
        match &piece {
            Some(data) => self.account(data.len() as u64)?,
            None => self.timing.iter().for_each(|timing| timing.end_body()),
        }
        Ok(piece)
    }

    fn pending(&self) -> Poll<Result<Option<Bytes>, Problem>> {
        if let Some(timing) = &self.timing {
            if timing.expired() == Some(Expired::Body) {
                return Poll::Ready(Err(Problem::slow_body()));
            }
            timing.await_body(self.received);
        }
        Poll::Pending
    }

    fn account(&mut self, bytes: u64) -> Result<(), Problem> {
        self.received += bytes;
        if self.received > self.limit {
            return Err(Problem::too_large("the body", self.limit).with("received", self.received));
        }
        self.edge.hold(&mut self.held, bytes)
    }

    /// Reads until the end, or until there is more than `enough`.
    pub(crate) async fn begin(&mut self, enough: u64) -> Result<Beginning, Problem> {
        let Some(first) = self.next().await? else { return Ok(Beginning::Whole(Bytes::new())) };
        if self.body.is_end_stream() {
            // The common case: one piece, nothing to copy.
            self.timing.iter().for_each(|timing| timing.end_body());
            return Ok(Beginning::Whole(first));
        }
        let mut pieces = vec![first];
        while self.received <= enough {
            match self.next().await? {
                Some(piece) => pieces.push(piece),
                None => return Ok(Beginning::Whole(join(pieces, self.received))),
            }
        }
        Ok(Beginning::Part(pieces))
    }

    /// Everything, for bodies whose limit is small.
    pub(crate) async fn whole(mut self) -> Result<(Bytes, Held), Problem> {
        match self.begin(u64::MAX).await? {
            Beginning::Whole(body) => Ok((body, self.held)),
            Beginning::Part(pieces) => Ok((join(pieces, self.received), self.held)),
        }
    }

    pub(crate) fn into_held(self) -> Held {
        self.held
    }
}

fn join(mut pieces: Vec<Bytes>, length: u64) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}
