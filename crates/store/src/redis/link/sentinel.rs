//! Which server is the primary, as Sentinels know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{Pipeline, Value};

use super::address::{Address, Server};
use super::dial::{Connection, Dialer, Peer};
use super::error::{LinkError, Scope, first_error};
use super::facts::Facts;
use super::node::{Deadline, Node};
use crate::Failure;

/// The Sentinels that watch one primary.
pub(super) struct Sentinels {
    master: String,
    nodes: Vec<Node>,
    dialer: Arc<Dialer>,
}

impl Sentinels {
    pub(super) fn new(master: &str, dialer: &Arc<Dialer>, servers: &[Server]) -> Self {
        let node = |server: &Server| Node::new(Arc::clone(dialer), Peer::Sentinel, server.address.clone(), 1);
        Self {
            master: master.to_owned(),
            nodes: servers.iter().map(node).collect(),
            dialer: Arc::clone(dialer),
        }
    }

    /// The primary that most of the Sentinels name. One alone may be cut off from the others and name the old one, so
    /// all are asked at once, until a majority agrees or everybody has had time to answer.
    pub(super) async fn primary(&self) -> Result<Address, LinkError> {
        // Half of the time that a call has: who waits for this wants to connect afterwards.
        let deadline = Deadline::within(self.dialer.timeout() / 2);
        let mut answers: FuturesUnordered<_> =
            self.nodes.iter().map(|node| self.ask(node, deadline)).collect();
        let mut votes: BTreeMap<Address, usize> = BTreeMap::new();
        let mut failure: Option<LinkError> = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(address) => {
                    let count = votes.entry(address.clone()).or_default();
                    *count += 1;
                    if *count > self.nodes.len() / 2 {
                        return Ok(address);
                    }
                }
                // What can be cured by waiting is worth more than what cannot: the start refuses the latter.
                Err(error) if failure.as_ref().is_none_or(|known| known.class == Failure::Denied) => {
                    failure = Some(error);
                }
                Err(_) => {}
            }
        }
        let named = votes.into_iter().max_by_key(|(_, count)| *count);
        named.map(|(address, _)| address).ok_or_else(|| {
            failure.unwrap_or_else(|| LinkError::protocol("there are no Sentinels to ask for the primary"))
        })
    }

    async fn ask(&self, node: &Node, deadline: Deadline) -> Result<Address, LinkError> {
        let mut question = Pipeline::new();
        question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let answers = node.exchange(0, &question, deadline).await?;
        let denied =
            |reason: String| LinkError::new(Failure::Denied, Scope::Connection, reason).at(&node.address());
        if let Some(error) = first_error(&answers) {
            let error = LinkError::answered(error);
            return Err(match error.class {
                Failure::Protocol => denied(format!(
                    "is not a Sentinel ({}); in mode sentinel, state.redis.urls are those of the Sentinels",
                    error.reason
                )),
                _ => error.at(&node.address()),
            });
        }
        let address = answers.first().and_then(|answer| {
            let (host, port): (String, u16) = redis::from_redis_value_ref(answer).ok()?;
            Some(Address { host, port })
        });
        address.ok_or_else(|| {
            denied(format!(
                "the Sentinel knows no primary named `{}`; check state.redis.sentinelMaster",
                self.master
            ))
        })
    }
}

/// Asks a server whether it is a primary.
pub(super) async fn check_primary(connection: &Connection) -> Result<(), LinkError> {
    let role = match Facts::ask(connection).await? {
        Some(facts) => facts.role,
        // Who may not say hello may be allowed to ask for this.
        None => role(connection).await?,
    };
    if role == "master" {
        return Ok(());
    }
    let reason = "the server that the Sentinels name is not the primary (yet)";
    Err(LinkError::new(Failure::ReadOnly, Scope::Connection, reason).at(&connection.address))
}

async fn role(connection: &Connection) -> Result<String, LinkError> {
    let mut role = Pipeline::new();
    role.cmd("ROLE");
    let answers = connection.ask(&role).await?;
    match answers.first() {
        Some(Value::Array(parts)) => match parts.first() {
            Some(Value::BulkString(role)) => Ok(String::from_utf8_lossy(role).into_owned()),
            _ => Err(LinkError::protocol("ROLE without a role")),
        },
        _ => Err(LinkError::protocol("ROLE without a role")),
    }
}
