//! Bodies too large to be held: parsed while they arrive.

use std::io::{self, Read};
use std::sync::Arc;

use axum::response::Response;
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::decide::decide;
use super::{Arrival, Source, parse_problem};
use crate::body::BodyReader;
use crate::detach::Detached;
use crate::edge::{Edge, Held};
use crate::problem::Problem;

/// Pieces of a body on their way to the parser. Each is at most what a connection buffers, 128 KiB, so that no more
/// than a megabyte of the body waits for it.
const PIECES: usize = 8;

/// A piece of the body. The end is said, not concluded from silence: silence means that the sender has gone.
enum Piece {
    Data(Bytes),
    /// With the room that the body takes.
    End(Held),
}

/// Passes on what arrives while a thread of its own parses it, then decides everything as one batch.
pub(super) async fn receive(
    edge: Arc<Edge>,
    source: Source,
    arrival: Arrival,
    beginning: Vec<Bytes>,
    body: BodyReader,
) -> Result<Response, Problem> {
    let (pieces, incoming) = mpsc::channel(PIECES);
    let (normaliser, received) = (edge.normaliser(), arrival.received);
    let most = edge.settings().limits.alerts_per_body;
    let parsing = tokio::task::spawn_blocking(move || {
        let mut reader = PieceReader { incoming, current: Bytes::new(), end: None };
        let parsed = source.parse_stream(&mut reader, &normaliser, received, most);
        (parsed, reader.end)
    });
    let owner = edge.clone();
    let work = async move {
        let (parsed, held) = parsing.await.map_err(|_| Problem::internal())?;
        let parsed = parsed.map_err(|error| parse_problem(&edge, source, error))?;
        let Some(held) = held else {
            return Err(Problem::malformed("there is more after the end of the body"));
        };
        decide(edge, source, parsed, arrival, held).await
    };
    // From here on the work ends by itself. When the sender goes before the end of its body, the pieces stop without
    // one, the parser fails and nothing is decided.
    let work = Detached::new(&owner, work);
    forward(pieces, beginning, body).await?;
    work.await
}

/// A parser that has seen enough to refuse the body closes the channel; what it says is the answer then.
async fn forward(
    pieces: mpsc::Sender<Piece>,
    beginning: Vec<Bytes>,
    mut body: BodyReader,
) -> Result<(), Problem> {
    for piece in beginning {
        if pieces.send(Piece::Data(piece)).await.is_err() {
            return Ok(());
        }
    }
    while let Some(piece) = body.next().await? {
        if pieces.send(Piece::Data(piece)).await.is_err() {
            return Ok(());
        }
    }
    // Refused just before the end is refused all the same.
    let _ = pieces.send(Piece::End(body.into_held())).await;
    Ok(())
}

/// The parser's end of the channel.
struct PieceReader {
    incoming: mpsc::Receiver<Piece>,
    current: Bytes,
    end: Option<Held>,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && self.end.is_none() {
            match self.incoming.blocking_recv() {
                Some(Piece::Data(piece)) => self.current = piece,
                Some(Piece::End(held)) => self.end = Some(held),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
