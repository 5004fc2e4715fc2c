//! What is looked at before the store starts, and what is refused.

use std::time::Duration;

use redis::Pipeline;
use tokio::time::Instant;

use super::error::LinkError;
use super::{Links, Servers, pause};
use crate::redis::RedisOptions;
use crate::{Failure, StoreError};

/// How many deadlines a start waits for the server.
const DEADLINES: u32 = 5;

/// About how long it rests between two attempts.
const REST: Duration = Duration::from_millis(100);

fn refused(reason: impl Into<String>) -> StoreError {
    StoreError::Refused { reason: reason.into() }
}

/// What is wrong with the options whatever the server says.
pub(super) fn check_options(options: &RedisOptions) -> Result<(), StoreError> {
    if options.timeout.is_zero() {
        return Err(refused("state.redis.timeout is zero; give calls some time, for example 1s"));
    }
    if options.connections == 0 {
        return Err(refused("state.redis.connections is zero; at least one connection is needed"));
    }
    if options.key_prefix.is_empty() || options.key_prefix.contains(['{', '}']) {
        return Err(refused(
            "state.redis.keyPrefix must not be empty or contain braces, which decide where keys lie in a cluster",
        ));
    }
    Ok(())
}

impl Links {
    /// Looks at the server until it answers or a few deadlines are over.
    pub(super) async fn start(&self) -> Result<(), StoreError> {
        let give_up = Instant::now() + self.options.timeout * DEADLINES;
        loop {
            match self.inspect().await {
                Ok(()) => return Ok(()),
                Err(error) if error.class == Failure::Denied => return Err(refused(error.reason)),
                Err(error) if Instant::now() >= give_up => return Err(error.into()),
                Err(_) => {}
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(LinkError::closed().into()),
                () = pause(REST) => {}
            }
        }
    }

    async fn inspect(&self) -> Result<(), LinkError> {
        let Servers::One(node) = &self.servers;
        let connection = node.dial().await?;
        let mut ping = Pipeline::new();
        ping.cmd("PING");
        tokio::time::timeout(self.options.timeout, connection.ask(&ping))
            .await
            .unwrap_or_else(|_| Err(LinkError::late(self.options.timeout)))?;
        Ok(())
    }
}
