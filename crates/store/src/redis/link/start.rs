//! What is looked at before the store starts, and what is refused because waiting does not cure it.

use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::{Instant, timeout};

use super::dial::Connection;
use super::error::{LinkError, Scope, first_error};
use super::facts::{Facts, OLDEST};
use super::{Links, pause};
use crate::redis::{RedisDurability, RedisMode, RedisOptions};
use crate::{Failure, StoreError};

/// How many deadlines a start waits for the server.
const DEADLINES: u32 = 5;

/// About how long it rests between two attempts.
const REST: Duration = Duration::from_millis(100);

/// What is wrong with the options whatever the server says.
pub(super) fn check_options(options: &RedisOptions) -> Result<(), StoreError> {
    let refused = |reason: &str| Err(StoreError::Refused { reason: reason.to_owned() });
    if options.timeout.is_zero() {
        return refused("state.redis.timeout is zero; give calls some time, for example 1s");
    }
    if options.connections == 0 {
        return refused("state.redis.connections is zero; at least one connection is needed");
    }
    if options.key_prefix.is_empty() || options.key_prefix.contains(['{', '}']) {
        return refused(
            "state.redis.keyPrefix must not be empty or contain braces, which decide where keys lie in a cluster",
        );
    }
    Ok(())
}

impl Links {
    /// Looks at the servers until they answer or a few deadlines are over.
    pub(super) async fn start(&self) -> Result<(), StoreError> {
        let give_up = Instant::now() + self.options.timeout * DEADLINES;
        loop {
            match self.inspect().await {
                Ok(()) => return Ok(()),
                Err(error) if error.class == Failure::Denied => {
                    return Err(StoreError::Refused { reason: error.reason });
                }
                Err(error) if Instant::now() >= give_up => return Err(error.into()),
                Err(error) => {
                    tracing::debug!(reason = error.reason, "the state store does not answer yet");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(LinkError::closed().into()),
                () = pause(REST) => {}
            }
        }
    }

    async fn inspect(&self) -> Result<(), LinkError> {
        self.servers.locate().await?;
        for node in self.servers.masters() {
            let connection = node.dial().await?;
            let within = self.options.timeout + super::Confirmation::patience(self.options.durability);
            let checked = timeout(within, Box::pin(self.check(&connection))).await;
            checked.unwrap_or_else(|_| Err(LinkError::late(within).at(&connection.address)))?;
        }
        Ok(())
    }

    async fn check(&self, connection: &Connection) -> Result<(), LinkError> {
        match Facts::ask(connection).await? {
            Some(facts) => {
                check_facts(&facts, &self.options.mode).map_err(|error| error.at(&connection.address))?
            }
            None => tracing::warn!(
                server = %connection.address,
                "the user may not call HELLO; whether the server is recent enough is not known"
            ),
        }
        match self.options.durability {
            RedisDurability::Memory => {
                // Nothing else is sent, so see whether the server answers commands at all.
                match connection.ask(&single(&["PING"])).await {
                    Err(error) if error.is_outage() => return Err(error),
                    _ => {}
                }
            }
            RedisDurability::Wait { replicas, .. } => warn_of_few_replicas(connection, replicas).await?,
            RedisDurability::Aof { .. } => check_disk(connection).await?,
        }
        Ok(())
    }
}

pub(super) fn check_facts(facts: &Facts, mode: &RedisMode) -> Result<(), LinkError> {
    if facts.is_too_old() {
        return Err(never(format!(
            "the server is {facts}; Seawall needs Redis {OLDEST} or newer, or Valkey"
        )));
    }
    match (mode, facts.mode.as_str()) {
        (RedisMode::Standalone | RedisMode::Cluster, "sentinel") => {
            Err(never("this is a Sentinel; set state.redis.mode to sentinel, or name the server itself"))
        }
        (RedisMode::Standalone | RedisMode::Sentinel { .. }, "cluster") => {
            Err(never("the server is part of a cluster; set state.redis.mode to cluster"))
        }
        (RedisMode::Cluster, "standalone") => {
            Err(never("the server is not part of a cluster; set state.redis.mode to standalone"))
        }
        _ if matches!(facts.role.as_str(), "replica" | "slave") => Err(LinkError::new(
            Failure::ReadOnly,
            Scope::Connection,
            "the server is a replica; name its primary",
        )),
        _ => Ok(()),
    }
}

/// Fewer replicas now may be more later, and until then calls fail; it is worth a word.
async fn warn_of_few_replicas(connection: &Connection, wanted: u32) -> Result<(), LinkError> {
    let answers = connection.ask(&single(&["WAIT", "0", "1"])).await?;
    if let Some(Value::Int(connected)) = answers.first()
        && *connected < i64::from(wanted)
    {
        tracing::warn!(
            server = %connection.address,
            connected,
            wanted,
            "fewer replicas are connected than have to confirm; alerts are answered 503 until there are enough"
        );
    }
    Ok(())
}

async fn check_disk(connection: &Connection) -> Result<(), LinkError> {
    let choose = "choose another state.redis.durability";
    let known = connection.send(&single(&["COMMAND", "INFO", "WAITAOF"])).await?;
    let is_missing = match known.first() {
        Some(Value::Array(commands)) => matches!(commands.first(), Some(Value::Nil) | None),
        // We may not ask; the command itself will tell.
        _ => false,
    };
    if is_missing {
        return Err(never(format!(
            "durability aof needs a server with WAITAOF (Redis 7.2, Valkey), which this one lacks; {choose}"
        ))
        .at(&connection.address));
    }
    let tried = connection.send(&single(&["WAITAOF", "1", "0", "1"])).await?;
    match first_error(&tried).map(LinkError::answered) {
        None => Ok(()),
        Some(error) if error.is_outage() => Err(error.at(&connection.address)),
        Some(error) => Err(never(format!(
            "durability aof cannot be kept: {}; set appendonly yes at the server, or {choose}",
            error.reason
        ))
        .at(&connection.address)),
    }
}

/// Waiting does not cure it.
fn never(reason: impl Into<String>) -> LinkError {
    LinkError::new(Failure::Denied, Scope::Connection, reason)
}

pub(super) fn single(words: &[&str]) -> Pipeline {
    let mut pipeline = Pipeline::new();
    let mut words = words.iter();
    if let Some(name) = words.next() {
        pipeline.cmd(name);
    }
    for word in words {
        pipeline.arg(*word);
    }
    pipeline
}
