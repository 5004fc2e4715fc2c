//! The connections to the server: one place that knows where it is, how long a call may take, what a failure means and
//! when an outage is over. It must never repeat a command whose answer was lost; callers do, under the same operation id.
//!
//! ```text
//! run(script, key) ─► node that has the key ─► lane (a multiplexed connection) ─► EVALSHA [WAIT]
//!        │ a failure others would share            │ broken: made anew, by one caller at a time
//!        ▼                                         ▼
//!     outage: calls fail at once, one probe writes until it succeeds
//! ```

mod address;
mod cluster;
mod deliver;
mod dial;
mod error;
mod facts;
mod group;
mod node;
mod outage;
mod probe;
mod script;
mod sentinel;
mod servers;
mod slot;
mod start;
mod subscribe;
mod tls;
mod visit;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::address::Server;
pub(crate) use self::address::shown;
use self::deliver::Call;
use self::dial::Dialer;
pub(crate) use self::error::LinkError;
use self::error::first_error;
pub(crate) use self::facts::Facts;
use self::node::Deadline;
pub(crate) use self::node::Node;
use self::outage::Outages;
use self::script::Confirmation;
pub(crate) use self::script::Script;
use self::servers::Servers;
pub(crate) use self::subscribe::Heard;
pub(crate) use self::visit::{Guest, Visit};
use super::RedisOptions;
use crate::{Health, StoreError};

/// The connections of one store.
pub(crate) struct Links {
    options: Arc<RedisOptions>,
    dialer: Arc<Dialer>,
    servers: Servers,
    outages: Outages,
    /// Names the probe's key.
    instance: String,
    me: Weak<Self>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Links {
    /// Connects, and looks whether the server can keep what the options promise.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for what can never work, [`StoreError::Unavailable`] when the server could not be reached
    /// within a few deadlines.
    pub(crate) async fn open(
        options: Arc<RedisOptions>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, StoreError> {
        start::check_options(&options)?;
        let servers = Server::parse_all(&options.urls)?;
        let dialer = Arc::new(Dialer::new(Arc::clone(&options), &servers, tasks.clone(), stop.clone())?);
        let links = Arc::new_cyclic(|me| Self {
            servers: Servers::new(&options, &dialer, &servers),
            options,
            dialer,
            outages: Outages::new(),
            instance: format!("{:016x}", random()),
            me: Weak::clone(me),
            tasks: tasks.clone(),
            stop,
        });
        links.start().await?;
        let watching = Arc::clone(&links);
        tasks.spawn(async move { watching.watch().await });
        Ok(links)
    }

    /// Runs a script on the node that has `key`, its `KEYS[1]`. When it `writes`, waits for what the durability
    /// promises. A script that the server does not know (any more) is sent with its text.
    ///
    /// # Errors
    /// Within the configured time, and that of the confirmation. A script whose answer was lost is not repeated here.
    pub(crate) async fn run(
        &self,
        script: &Script,
        key: &str,
        args: &[&[u8]],
        writes: bool,
    ) -> Result<Value, LinkError> {
        let durability = self.options.durability;
        let confirmation =
            if writes { Confirmation::of(durability, &self.options.key_prefix, key) } else { None };
        // Of two confirmations, because one for others may be on its way.
        let patience =
            confirmation.as_ref().map_or(Duration::ZERO, |_| Confirmation::patience(durability) * 2);
        let deadline = Deadline::within(self.options.timeout + patience);
        let marked = |mut commands: Pipeline| {
            if let Some(confirmation) = &confirmation {
                confirmation.mark(&mut commands);
            }
            commands
        };
        let confirm = confirmation.as_ref().map(Confirmation::command);
        let call = marked(script.by_name(key, args));
        let mut answers =
            self.deliver(Call { commands: &call, confirm: confirm.as_ref() }, key, deadline).await?;
        if matches!(answers.first(), Some(Value::ServerError(error)) if error.code() == "NOSCRIPT") {
            let call = marked(script.by_text(key, args));
            answers =
                self.deliver(Call { commands: &call, confirm: confirm.as_ref() }, key, deadline).await?;
        }
        if let Some(Value::ServerError(error)) = answers.first() {
            return Err(LinkError::answered(error).of_script());
        }
        if let Some(confirmation) = &confirmation {
            confirmation.check(answers.get(1..).unwrap_or_default())?;
        }
        answers.into_iter().next().ok_or_else(|| LinkError::protocol("an answer without a value"))
    }

    /// Sends other commands, in one piece and without a transaction, to the node that has `key`; all their keys lie
    /// there. The first error among the answers is the error of the call.
    pub(crate) async fn pipe(&self, pipeline: &Pipeline, key: &str) -> Result<Vec<Value>, LinkError> {
        let deadline = Deadline::within(self.options.timeout);
        let answers = self.deliver(Call { commands: pipeline, confirm: None }, key, deadline).await?;
        match first_error(&answers) {
            Some(error) => Err(LinkError::answered(error)),
            None => Ok(answers),
        }
    }

    /// Messages of a channel. The reader is told when some may have been missed.
    pub(crate) fn subscribe(self: &Arc<Self>, channel: String) -> mpsc::Receiver<Heard> {
        subscribe::start(self, channel)
    }

    pub(crate) fn health(&self) -> Health {
        self.outages.health()
    }

    /// How many outages there were, and how many seconds they took in all, with the one that is running.
    pub(crate) fn outages(&self) -> (u64, f64) {
        self.outages.totals(Instant::now())
    }

    /// The server's clock in microseconds since 1970; of several that which is furthest behind.
    pub(crate) async fn server_time(&self) -> Result<u64, LinkError> {
        let deadline = Deadline::within(self.options.timeout);
        let mut time = Pipeline::new();
        time.cmd("TIME");
        let masters = self.servers.masters();
        let asked = masters.iter().map(|node| async {
            let answers = node.exchange(0, &time, deadline).await?;
            if let Some(error) = first_error(&answers) {
                return Err(LinkError::answered(error).at(&node.address()));
            }
            answers.first().and_then(micros).ok_or_else(|| LinkError::protocol("TIME without a time"))
        });
        let (mut times, mut failure) = (Vec::new(), None);
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(time) => times.push(time),
                Err(error) => failure = Some(error),
            }
        }
        let smallest = times.into_iter().min();
        smallest.ok_or_else(|| failure.unwrap_or_else(|| LinkError::protocol("there is no server to ask")))
    }
}

/// The answer to `TIME`, in microseconds.
fn micros(value: &Value) -> Option<u64> {
    let (seconds, micros): (u64, u64) = redis::from_redis_value_ref(value).ok()?;
    Some(seconds * 1_000_000 + micros)
}

/// A number that nobody else has drawn; for names and for spreading attempts in time.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Waits for about so long: between three quarters and five quarters of it, so that replicas do not move in step.
async fn pause(about: Duration) {
    let spread = about / 2;
    let part = u32::try_from(random() % 1024).unwrap_or_default();
    tokio::time::sleep(about - spread / 2 + spread * part / 1024).await;
}
