//! The one task that finds out when an outage is over.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::Pipeline;
use tokio::time::{Instant, timeout};

use super::error::LinkError;
use super::node::Node;
use super::outage::Began;
use super::servers::Servers;
use super::slot::slot;
use super::{Links, pause};

/// About how long the probe rests between two attempts.
const EVERY: Duration = Duration::from_millis(200);

/// How long the first attempt may take; each later one twice as long as that before, up to the time that calls have. A
/// server that is gone must not keep the probe from noticing that another one has taken over.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);

/// The hash tag of the probe's key where all keys are in one place.
const PROBE: &str = "probe";

/// How long the probe's key lives.
const LIVES_MILLIS: u64 = 60_000;

impl Links {
    /// Notes that a call has failed at `node`, if one had the key, and begins an outage if others would fail, too.
    pub(super) fn note(&self, error: &LinkError, node: Option<&Arc<Node>>, tag: &str, started: Instant) {
        if !error.is_outage() || self.stop.is_cancelled() {
            return;
        }
        // Alone, a server has every key; which one is probed says nothing.
        let (tag, all_at_once) = match &self.servers {
            Servers::One(_) | Servers::Primary { .. } => (PROBE, true),
            Servers::Cluster(_) => (tag, false),
        };
        let server = node.map(|node| node.address());
        let began = self.outages.note(error, server, tag, started, Instant::now());
        if began == Began::Stale {
            return;
        }
        // In a cluster other slots may be served, and other keys of this node may be: only silence is about all.
        if let Some(node) = node.filter(|_| all_at_once || error.is_silence()) {
            node.set_down(error);
        }
        if began == Began::Known {
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

    /// Notes that nobody could be listened to. Without calls that may be the first sign of an outage. In a cluster it
    /// says nothing: another node is listened to then.
    pub(super) fn note_of_listening(&self, error: &LinkError, started: Instant) {
        if let Servers::One(node) | Servers::Primary { node, .. } = &self.servers
            && error.is_silence()
        {
            self.note(error, Some(node), PROBE, started);
        }
    }

    async fn probe(&self) {
        let mut patience = FIRST_PATIENCE;
        loop {
            let everything = self.probe_everything(patience.min(self.options.timeout));
            let is_up = tokio::select! {
                () = self.stop.cancelled() => return,
                is_up = everything => is_up,
            };
            if is_up && let Some(ended) = self.outages.end(Instant::now()) {
                if !ended.again {
                    tracing::info!(
                        seconds = ended.length.as_secs_f64(),
                        "the state store is available again"
                    );
                }
                return;
            }
            patience = (patience * 2).min(self.options.timeout.max(FIRST_PATIENCE));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = pause(EVERY) => {}
            }
        }
    }

    /// Tries everything that has failed; says whether all servers are heard of again.
    async fn probe_everything(&self, patience: Duration) -> bool {
        if let Err(error) = self.servers.locate().await {
            self.outages.still(&error.reason);
        }
        let is_cluster = matches!(self.servers, Servers::Cluster(_));
        let mut failing = self.outages.failing();
        if failing.is_empty() && !is_cluster {
            // A late failure can close the node again just after a write has opened it.
            failing.push((None, PROBE.to_owned()));
        }
        let writes = failing.iter().map(|(server, tag)| async move {
            match timeout(patience, Box::pin(self.write_to(tag))).await {
                Ok(Ok(())) => self.outages.works(server, tag),
                Ok(Err(error)) => self.outages.still(&error.reason),
                Err(_) => self.outages.still(&LinkError::late(patience).reason),
            }
        });
        join_all(writes).await;
        let masters = self.servers.masters();
        // A node may be silent although what failed there has found another place. Elsewhere only a write is proof.
        let down = masters.iter().filter(|node| is_cluster && node.is_down());
        join_all(down.map(|node| timeout(patience, Box::pin(Self::greet(node))))).await;
        masters.iter().all(|node| !node.is_down())
    }

    /// A small write, because a server that is full or must not write answers everything else.
    async fn write_to(&self, tag: &str) -> Result<(), LinkError> {
        let key = format!("{}:1:{{{tag}}}:probe-{}", self.options.key_prefix, self.instance);
        let node = self.servers.owner(slot(&key))?;
        let connection = node.dial().await?;
        let mut write = Pipeline::new();
        write.cmd("SET").arg(&key).arg(1).arg("PX").arg(LIVES_MILLIS);
        match connection.ask(&write).await {
            // Whoever may run scripts need not be allowed to do this; the server is there.
            Err(error) if error.is_outage() => return Err(error),
            _ => node.set_up(),
        }
        Ok(())
    }

    async fn greet(node: &Node) -> Result<(), LinkError> {
        let connection = node.dial().await?;
        let mut ping = Pipeline::new();
        ping.cmd("PING");
        match connection.ask(&ping).await {
            Err(error) if error.is_outage() => return Err(error),
            _ => node.set_up(),
        }
        Ok(())
    }
}
