//! Sending commands to whoever has a key, wherever that is by now.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use super::cluster::{Cluster, Redirect, unserved};
use super::error::LinkError;
use super::node::{Deadline, Node};
use super::servers::Servers;
use super::slot::{hash_tag, slot};
use super::{Links, pause};

/// How often in a row a call follows the nodes of a cluster before it gives up. A slot that is handed over is two: to
/// where it goes, and once more when that is done meanwhile.
const REDIRECTIONS: usize = 5;

/// About how long to wait before trying again. `TRYAGAIN` lasts as long as the keys of the slot are on their way, which for
/// a few keys are milliseconds.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// What is sent in one piece.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) commands: &'a Pipeline,
    /// A command behind them that confirms what the node has executed that answers it, and nothing else.
    pub(super) confirm: Option<&'a Cmd>,
}

impl Call<'_> {
    async fn send(
        self,
        commands: &Pipeline,
        node: &Arc<Node>,
        slot: u16,
        deadline: Deadline,
    ) -> Result<Vec<Value>, LinkError> {
        match self.confirm {
            Some(confirm) => node.exchange_confirmed(slot, commands, confirm, deadline).await,
            None => node.exchange(slot, commands, deadline).await,
        }
    }
}

impl Links {
    /// Sends commands to the node that has `key`, and notes when the answer shows an outage. Errors of the server are
    /// among the answers.
    pub(super) async fn deliver(
        &self,
        call: Call<'_>,
        key: &str,
        deadline: Deadline,
    ) -> Result<Vec<Value>, LinkError> {
        if self.stop.is_cancelled() {
            return Err(LinkError::closed());
        }
        let (slot, started) = (slot(key), Instant::now());
        let delivered = match &self.servers {
            Servers::One(node) | Servers::Primary { node, .. } => {
                let answers = Box::pin(call.send(call.commands, node, slot, deadline)).await;
                answers
                    .map_err(|error| (error, Some(Arc::clone(node))))
                    .map(|answers| (answers, Arc::clone(node)))
            }
            Servers::Cluster(cluster) => Box::pin(self.follow(cluster, slot, call, deadline)).await,
        };
        match delivered {
            Ok((answers, node)) => {
                let mut errors = answers.iter().filter_map(|answer| match answer {
                    Value::ServerError(error) => Some(LinkError::answered(error)),
                    _ => None,
                });
                if let Some(error) = errors.find(LinkError::is_outage) {
                    let error = error.at(&node.address());
                    self.note(&error, Some(&node), hash_tag(key), started);
                }
                Ok(answers)
            }
            Err((error, node)) => {
                self.note(&error, node.as_ref(), hash_tag(key), started);
                Err(error)
            }
        }
    }

    /// Goes where the nodes of a cluster send it. With an error comes the node that failed, if one did.
    async fn follow(
        &self,
        cluster: &Cluster,
        slot: u16,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<(Vec<Value>, Arc<Node>), (LinkError, Option<Arc<Node>>)> {
        let mut journey = Journey::new(call);
        let (mut next, mut in_a_row) = (None, 0);
        while in_a_row < REDIRECTIONS {
            let (node, asking) = match &next {
                Some(Redirect::Moved(address)) => (cluster.node(address), false),
                Some(Redirect::Ask(address)) => (cluster.node(address), true),
                Some(Redirect::TryAgain) | None => match cluster.map().owner(slot) {
                    Some(node) => (Arc::clone(node), false),
                    None => return Err((unserved(slot), None)),
                },
            };
            let answers = call.send(&journey.commands(asking), &node, slot, deadline).await;
            let answers = answers.map_err(|error| (journey.ambiguous(error), Some(Arc::clone(&node))))?;
            next = journey.arrive(answers, asking, &node);
            in_a_row += 1;
            match &next {
                None => return Ok((journey.answers, node)),
                Some(Redirect::Moved(_)) => self.refresh_soon(),
                Some(Redirect::Ask(_)) => {}
                // What is left must be enough for an answer: running out of time would look like an outage.
                Some(Redirect::TryAgain) if deadline.is_near() => break,
                Some(Redirect::TryAgain) => {
                    in_a_row = 0;
                    pause(TRY_AGAIN).await;
                }
            }
        }
        // The last redirection is among the answers and becomes the error of the call.
        let node = cluster.map().owner(slot).cloned().ok_or_else(|| (unserved(slot), None))?;
        Ok((journey.answers, node))
    }

    /// Asks for a new map of the cluster beside the call that showed that the old one is out of date.
    fn refresh_soon(&self) {
        let Some(links) = self.me.upgrade() else { return };
        if matches!(&self.servers, Servers::Cluster(cluster) if cluster.is_asking()) {
            return;
        }
        self.tasks.spawn(async move {
            let Servers::Cluster(cluster) = &links.servers else { return };
            let seen = cluster.map();
            tokio::select! {
                () = links.stop.cancelled() => {}
                refreshed = cluster.refresh(&seen) => if let Err(error) = refreshed {
                    tracing::debug!(reason = error.reason, "the slots of the cluster could not be asked");
                }
            }
        });
    }
}

/// Commands on their way through a cluster, and the answers so far.
struct Journey<'a> {
    call: Call<'a>,
    answers: Vec<Value>,
    /// Places of the commands that still have to be executed.
    open: Vec<usize>,
    /// Some of the others have been.
    executed: bool,
}

impl<'a> Journey<'a> {
    fn new(call: Call<'a>) -> Self {
        let count = call.commands.len();
        let answers = vec![Value::Nil; count + usize::from(call.confirm.is_some())];
        Self { call, answers, open: (0..count).collect(), executed: false }
    }

    /// The commands to send now. Where a slot only arrives, each has to say that it was sent there.
    fn commands(&self, asking: bool) -> Cow<'a, Pipeline> {
        if !asking && self.open.len() == self.call.commands.len() {
            return Cow::Borrowed(self.call.commands);
        }
        let mut commands = Pipeline::with_capacity(self.open.len() * 2);
        for (place, command) in self.call.commands.cmd_iter().enumerate() {
            if self.open.binary_search(&place).is_ok() {
                if asking {
                    commands.cmd("ASKING");
                }
                commands.add_command(command.clone());
            }
        }
        Cow::Owned(commands)
    }

    /// Takes the answers; says where the rest has to go.
    fn arrive(&mut self, mut answers: Vec<Value>, asking: bool, node: &Node) -> Option<Redirect> {
        if self.call.confirm.is_some()
            && let Some((own, confirmed)) = self.answers.last_mut().zip(answers.pop())
        {
            *own = confirmed;
        }
        let step = if asking { 2 } else { 1 };
        let answers = answers.into_iter().skip(step - 1).step_by(step);
        let (mut open, mut next) = (Vec::new(), None);
        for (place, answer) in std::mem::take(&mut self.open).into_iter().zip(answers) {
            let redirect = match &answer {
                Value::ServerError(error) => Redirect::of(error, &node.address()),
                _ => None,
            };
            if redirect.is_some() {
                open.push(place);
                next = next.or(redirect);
            } else {
                self.executed = true;
            }
            if let Some(slot) = self.answers.get_mut(place) {
                *slot = answer;
            }
        }
        if self.call.confirm.is_some() {
            // The confirmation is of the node that executed the script, and of no other.
            let first = open.first() == Some(&0);
            self.executed = !first;
            next = next.filter(|_| first);
            open = if first { (0..self.call.commands.len()).collect() } else { Vec::new() };
        }
        self.open = open;
        next
    }

    /// An error on a later leg leaves the commands of an earlier one executed.
    fn ambiguous(&self, mut error: LinkError) -> LinkError {
        error.ambiguous |= self.executed;
        error
    }
}
