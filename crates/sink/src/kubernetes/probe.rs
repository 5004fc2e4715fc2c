//! Finds out early that a server is back that is left alone.
//!
//! The watch would notice it too, but it waits up to half a minute between two tries, and on a connection that has outlived the
//! outage it notices nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::write::Writer;
use crate::publisher::Hint;

/// Between two questions: soon enough for everybody who waits, and nothing for a server that has just come back.
const EVERY: Duration = Duration::from_secs(1);

/// Asks a small question again and again for as long as the server is left alone. Of an answer after a failure the publisher
/// hears. A server that answers all the time and yet does not write is not hurried.
pub(crate) async fn probe(
    writer: Arc<Writer>,
    mut suspended: watch::Receiver<bool>,
    hints: mpsc::Sender<Hint>,
    stop: CancellationToken,
) {
    let asking = async {
        while suspended.wait_for(|suspended| *suspended).await.is_ok() {
            // For the publisher it was.
            let mut was_down = true;
            while *suspended.borrow() {
                let is_down = writer.objects().look().await.is_err();
                if was_down && !is_down {
                    // Losing it costs time only.
                    let _ = hints.try_send(Hint::Reached);
                }
                was_down = is_down;
                tokio::time::sleep(EVERY).await;
            }
        }
    };
    stop.run_until_cancelled(asking).await;
}
