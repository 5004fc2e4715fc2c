//! Looking at servers without becoming one of their stores.

use std::sync::Arc;

use redis::Value;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::address::{Address, Server};
use super::dial::{Connection, Dialer};
use super::error::LinkError;
use super::facts::Facts;
use super::node::Node;
use super::servers::Servers;
use super::start::{check_facts, check_options, single};
use crate::StoreError;
use crate::redis::{RedisMode, RedisOptions};

/// Knows where the servers are. Nothing of it stays when it is dropped.
pub(crate) struct Visit {
    options: Arc<RedisOptions>,
    dialer: Arc<Dialer>,
    servers: Servers,
    _over: DropGuard,
}

impl Visit {
    /// # Errors
    /// [`StoreError::Refused`] when the options make no sense.
    pub(crate) fn new(options: &RedisOptions) -> Result<Self, StoreError> {
        check_options(options)?;
        let servers = Server::parse_all(&options.urls)?;
        let options = Arc::new(options.clone());
        let stop = CancellationToken::new();
        let dialer = Dialer::new(Arc::clone(&options), &servers, TaskTracker::new(), stop.clone())?;
        let dialer = Arc::new(dialer);
        let servers = Servers::new(&options, &dialer, &servers);
        Ok(Self { options, dialer, servers, _over: stop.drop_guard() })
    }

    /// Everybody who takes writes.
    pub(crate) async fn masters(&self) -> Result<Vec<Arc<Node>>, LinkError> {
        self.servers.locate().await?;
        Ok(self.servers.masters())
    }

    pub(crate) async fn enter(&self, node: &Node) -> Result<Guest, LinkError> {
        Ok(Guest { connection: node.dial().await?, options: Arc::clone(&self.options) })
    }

    /// Whether messages of a channel may be listened to there.
    pub(crate) async fn listen(&self, address: &Address, channel: &str) -> Result<(), LinkError> {
        let mut pubsub = self.dialer.listen(address).await?;
        let within = self.options.timeout;
        let subscribed = timeout(within, pubsub.subscribe(channel)).await;
        subscribed.map_err(|_| LinkError::late(within))?.map_err(|error| LinkError::lost(&error))
    }
}

/// A connection to one server.
pub(crate) struct Guest {
    connection: Connection,
    options: Arc<RedisOptions>,
}

impl Guest {
    pub(crate) async fn ask(&self, words: &[&str]) -> Result<Value, LinkError> {
        let within = self.options.timeout;
        let answers = timeout(within, self.connection.send(&single(words))).await;
        let answers = answers.unwrap_or_else(|_| Err(LinkError::late(within)))?;
        match answers.into_iter().next() {
            Some(Value::ServerError(error)) => Err(LinkError::answered(&error)),
            Some(answer) => Ok(answer),
            None => Err(LinkError::protocol("an answer without a value")),
        }
    }

    /// What the server says it is; nothing when we may not ask.
    pub(crate) async fn facts(&self) -> Result<Option<Facts>, LinkError> {
        let within = self.options.timeout;
        let facts = timeout(within, Facts::ask(&self.connection)).await;
        facts.unwrap_or_else(|_| Err(LinkError::late(within)))
    }
}

impl Facts {
    /// What keeps a store from working with this server.
    pub(crate) fn objection(&self, mode: &RedisMode) -> Option<String> {
        check_facts(self, mode).err().map(|error| error.reason)
    }
}
