//! The one task that finds out when an outage is over.

use std::sync::Arc;
use std::time::Duration;

use redis::Pipeline;
use tokio::time::{Instant, timeout};

use super::error::LinkError;
use super::node::Node;
use super::outage::Began;
use super::{Links, pause};

/// About how long the probe rests between two attempts.
const EVERY: Duration = Duration::from_millis(200);

/// How long the probe's key lives.
const LIVES_MILLIS: u64 = 60_000;

impl Links {
    /// Notes that a call has failed at `node`, and begins an outage if others would fail, too.
    pub(super) fn note(&self, error: &LinkError, node: &Arc<Node>, tag: &str, started: Instant) {
        if !error.is_outage() || self.stop.is_cancelled() {
            return;
        }
        let began = self.outages.note(error, node.address(), tag, started, Instant::now());
        if !self.outages.health().available {
            node.set_down(error);
        }
        if began == Began::No {
            return;
        }
        if began == Began::Anew {
            tracing::error!(
                class = error.class.as_str(),
                reason = error.reason,
                "the state store is unavailable; alerts are answered 503 until it is back"
            );
        }
        if let Some(links) = self.me.upgrade() {
            self.tasks.spawn(async move { links.probe().await });
        }
    }

    async fn probe(&self) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.probe_everything() => {}
            }
            if let Some(ended) = self.outages.end(Instant::now()) {
                if !ended.again {
                    tracing::info!(
                        seconds = ended.length.as_secs_f64(),
                        "the state store is available again"
                    );
                }
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = pause(EVERY) => {}
            }
        }
    }

    async fn probe_everything(&self) {
        for (server, tag) in self.outages.failing() {
            match self.probe_one().await {
                Ok(()) => self.outages.works(&server, &tag),
                Err(error) => self.outages.still(&error.reason),
            }
        }
    }

    async fn probe_one(&self) -> Result<(), LinkError> {
        let super::Servers::One(node) = &self.servers;
        let connection = node.dial().await?;
        let mut write = Pipeline::new();
        let key = format!("{}:1:{{probe}}:{}", self.options.key_prefix, self.instance);
        write.cmd("SET").arg(key).arg(1).arg("PX").arg(LIVES_MILLIS);
        let within = self.options.timeout;
        timeout(within, connection.ask(&write))
            .await
            .unwrap_or_else(|_| Err(LinkError::late(within).at(&connection.address)))?;
        node.set_up();
        Ok(())
    }
}
