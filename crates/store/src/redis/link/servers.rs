//! Which server has a key, in each of the three modes.

use std::sync::Arc;
use std::time::Duration;

use super::address::{Address, Server};
use super::cluster::{Cluster, Map};
use super::dial::{Dialer, Peer};
use super::error::LinkError;
use super::node::Node;
use super::sentinel::Sentinels;
use super::{Links, pause};
use crate::redis::{RedisMode, RedisOptions};

/// About how often Sentinels are asked whether the primary is still the same. An old primary that is cut off from them
/// but not from us takes writes that will be lost, and nothing else tells us.
const ASK_SENTINELS: Duration = Duration::from_secs(1);

/// About how often a cluster is asked for its slots when nothing calls for it.
const ASK_CLUSTER: Duration = Duration::from_secs(10);

pub(super) enum Servers {
    /// Always this one.
    One(Arc<Node>),
    /// The one that Sentinels name.
    Primary { node: Arc<Node>, sentinels: Sentinels },
    /// The one that has the slot.
    Cluster(Cluster),
}

impl Servers {
    /// `servers` is not empty.
    pub(super) fn new(options: &RedisOptions, dialer: &Arc<Dialer>, servers: &[Server]) -> Self {
        let address =
            servers.first().map_or(Address { host: String::new(), port: 0 }, |server| server.address.clone());
        let node = Node::new(Arc::clone(dialer), Peer::Server, address, options.connections);
        match &options.mode {
            RedisMode::Standalone => Self::One(Arc::new(node)),
            RedisMode::Sentinel { master } => Self::Primary {
                // Its address is found out before it is used for the first time.
                node: Arc::new(node.primary_only()),
                sentinels: Sentinels::new(master, dialer, servers),
            },
            RedisMode::Cluster => Self::Cluster(Cluster::new(dialer, servers, options.connections)),
        }
    }

    /// Finds out anew who has what.
    pub(super) async fn locate(&self) -> Result<(), LinkError> {
        match self {
            Self::One(_) => Ok(()),
            Self::Primary { node, sentinels } => {
                let primary = sentinels.primary().await?;
                if node.move_to(primary.clone()) {
                    tracing::info!(%primary, "the Sentinels name this primary");
                }
                Ok(())
            }
            Self::Cluster(cluster) => cluster.refresh(&cluster.map()).await,
        }
    }

    /// All that take writes.
    pub(super) fn masters(&self) -> Vec<Arc<Node>> {
        match self {
            Self::One(node) | Self::Primary { node, .. } => vec![Arc::clone(node)],
            Self::Cluster(cluster) => cluster.map().masters.clone(),
        }
    }

    /// Whoever has a slot now.
    pub(super) fn owner(&self, slot: u16) -> Result<Arc<Node>, LinkError> {
        match self {
            Self::One(node) | Self::Primary { node, .. } => Ok(Arc::clone(node)),
            Self::Cluster(cluster) => {
                let map: Arc<Map> = cluster.map();
                map.owner(slot).cloned().ok_or_else(|| super::cluster::unserved(slot))
            }
        }
    }

    /// Whether messages still come from there.
    pub(super) fn has(&self, address: &Address) -> bool {
        match self {
            Self::One(node) | Self::Primary { node, .. } => node.address() == *address,
            Self::Cluster(cluster) => cluster.has(address),
        }
    }
}

impl Links {
    /// Keeps the knowledge of who has what fresh.
    pub(super) async fn watch(&self) {
        let every = match &self.servers {
            Servers::One(_) => return,
            Servers::Primary { .. } => ASK_SENTINELS,
            Servers::Cluster(_) => ASK_CLUSTER,
        };
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = pause(every) => {}
            }
            // During an outage the probe asks.
            if self.outages.health().available
                && let Err(error) = self.servers.locate().await
            {
                tracing::debug!(reason = error.reason, "who has what could not be asked");
            }
        }
    }

    /// Where to listen for messages; another server at every attempt if there are several.
    pub(super) async fn listening_address(&self, attempt: usize) -> Address {
        match &self.servers {
            Servers::One(node) | Servers::Primary { node, .. } => {
                // During an outage only the probe connects.
                self.outages.over().await;
                node.address()
            }
            Servers::Cluster(cluster) => cluster.listening_address(attempt),
        }
    }
}
