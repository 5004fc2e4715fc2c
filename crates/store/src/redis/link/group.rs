//! Calls that are confirmed together.
//!
//! `WAIT` and `WAITAOF` keep their connection waiting: what is sent behind them is executed only when they are answered,
//! which takes a round trip to a replica, or up to a second where the disk is synced once a second. So while one
//! confirmation is on its way the calls of the same connection gather, and the next one is for all of them.

use std::sync::Arc;

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::error::LinkError;
use super::node::{Deadline, Node};

type Answer = Result<Vec<Value>, LinkError>;

/// Who waits for the next confirmation on one connection. Each is a caller with a deadline, so there are never more than
/// callers.
#[derive(Default)]
pub(super) struct Group(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// A task takes care of them.
    running: bool,
}

struct Waiting {
    commands: Pipeline,
    confirm: Cmd,
    answer: oneshot::Sender<Answer>,
}

impl Group {
    /// Says whether the caller has to start the task.
    fn join(&self, waiting: Waiting) -> bool {
        let mut state = self.0.lock();
        state.waiting.push(waiting);
        !std::mem::replace(&mut state.running, true)
    }

    /// Everybody who waits; the task is over when that is nobody.
    fn take(&self) -> Vec<Waiting> {
        let mut state = self.0.lock();
        // Those who have given up are not executed any more.
        let waiting: Vec<Waiting> =
            state.waiting.drain(..).filter(|waiting| !waiting.answer.is_closed()).collect();
        state.running = !waiting.is_empty();
        waiting
    }
}

impl Node {
    /// Sends the commands with those of others and one `confirm` behind all of them, whose answer comes last.
    pub(super) async fn exchange_confirmed(
        self: &Arc<Self>,
        slot: u16,
        commands: &Pipeline,
        confirm: &Cmd,
        deadline: Deadline,
    ) -> Answer {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { commands: commands.clone(), confirm: confirm.clone(), answer };
        if self.group(slot).join(waiting) {
            let node = Arc::clone(self);
            self.dialer.spawn(async move {
                loop {
                    let together = node.group(slot).take();
                    if together.is_empty() {
                        return;
                    }
                    node.confirm(slot, together).await;
                }
            });
        }
        match timeout_at(deadline.at, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LinkError::closed().sent()),
            Err(_) => Err(deadline.late().at(&self.address()).sent()),
        }
    }

    async fn confirm(&self, slot: u16, together: Vec<Waiting>) {
        let mut all = Pipeline::with_capacity(together.len() * 2 + 1);
        for waiting in &together {
            for command in waiting.commands.cmd_iter() {
                all.add_command(command.clone());
            }
        }
        if let Some(last) = together.last() {
            all.add_command(last.confirm.clone());
        }
        let deadline = Deadline::within(self.dialer.confirmed_within());
        match Box::pin(self.exchange(slot, &all, deadline)).await {
            Ok(answers) => {
                let confirmation = answers.last().cloned().unwrap_or_default();
                let mut answers = answers.into_iter();
                for waiting in together {
                    let mut own: Vec<Value> = answers.by_ref().take(waiting.commands.len()).collect();
                    own.push(confirmation.clone());
                    _ = waiting.answer.send(Ok(own));
                }
            }
            Err(error) => {
                for waiting in together {
                    _ = waiting.answer.send(Err(error.clone()));
                }
            }
        }
    }
}
