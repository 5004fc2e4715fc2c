//! A store and the engine on the same way through a history.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_model::{ManualClock, Millis, Phase, Policy, RequestDoc, RequestRef, RequestState, Signal};
use seawall_store::{Page, Placement, RequestFilter, StatusPatch, StoreError};
use serde_json::{Map, Value};

use super::history::{History, Step};
use super::machines::{Machines, Split};
use crate::support::{SECOND, START, StoreUnderTest};

type Requests = BTreeMap<RequestRef, (RequestDoc, RequestState)>;

/// Longer than everything in a history lasts.
const REST: Millis = 100_000;

pub struct Pair<S> {
    subject: S,
    clock: ManualClock,
    machine: Machines,
    /// How many histories both have lived through; makes their names.
    pub lived: u64,
}

impl<S: StoreUnderTest> Pair<S> {
    pub fn new(subject: S, clock: ManualClock, split: Split) -> Self {
        clock.set(START);
        Self { subject, clock, machine: Machines::new(Policy::default(), split), lived: 0 }
    }

    /// Lives through one more history. An error says where both went apart.
    pub async fn live(&mut self, history: &History) -> Result<(), String> {
        self.lived += 1;
        self.machine.set_policy(history.policy.clone());
        self.subject.store().set_policy(Arc::new(history.policy.clone()));
        // The policy holds from the next round on.
        self.turn(1).await;
        let after = format!(" (after {} histories)", self.lived - 1);
        for (nth, step) in history.steps.iter().enumerate() {
            let went = self.step(step).await;
            went.map_err(|reason| format!("step {nth}, {step:?}: {reason}{after}"))?;
        }
        self.compare().await.map_err(|reason| format!("at the end: {reason}{after}"))?;
        self.come_to_rest().await.map_err(|reason| format!("at rest: {reason}{after}"))
    }

    /// Every worker finishes, everything falls silent and is over, and the requests leave: nothing is left behind.
    async fn come_to_rest(&mut self) -> Result<(), String> {
        self.turn(REST).await;
        for nth in 0..self.machine.requests().len() {
            self.report(nth, "Completed").await?;
        }
        for _ in 0..3 {
            self.turn(REST).await;
        }
        self.compare().await?;
        let at_once = Policy { retention: 0, ..self.machine.policy.clone() };
        self.subject.store().set_policy(Arc::new(at_once.clone()));
        self.machine.set_policy(at_once);
        self.machine.forget_closed();
        for _ in 0..20 {
            self.turn(SECOND).await;
            if self.compare().await.is_ok() {
                break;
            }
        }
        self.compare().await?;
        same("what is left", &self.machine.left(), &0)
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Deliver(sketches) => {
                let signals = sketches.iter().map(|sketch| {
                    let alert = sketch.alert(self.lived);
                    if sketch.resolved { alert.resolved() } else { alert.firing() }
                });
                let signals = signals.collect();
                self.deliver(signals).await
            }
            Step::Burst(sketch, more) => {
                let first = sketch.alert(self.lived);
                for nth in 0..=*more {
                    let mut alert = first.clone();
                    alert.resource = format!("{}-{nth}", first.resource).into();
                    self.deliver(vec![alert.firing()]).await?;
                }
                Ok(())
            }
            Step::Report(nth, phase) => self.report(*nth, phase).await,
            Step::Delete(nth) => self.delete(*nth).await,
            Step::Clock(by) => {
                self.turn(*by).await;
                Ok(())
            }
            Step::LoseAnswer => {
                self.subject.lose_answer().await;
                Ok(())
            }
            Step::Restart | Step::Crash => {
                let policy = self.machine.policy.clone();
                match step {
                    Step::Crash => self.subject.crash_and_restart(&policy).await,
                    _ => self.subject.restart(&policy).await,
                }
                self.subject.settle().await;
                self.machine.restart();
                self.compare().await
            }
        }
    }

    async fn turn(&mut self, by: Millis) {
        let now = self.machine.now + by;
        self.clock.set(now);
        self.subject.settle().await;
        self.machine.turn(now);
    }

    async fn deliver(&mut self, signals: Vec<Signal>) -> Result<(), String> {
        let expected = self.machine.deliver(&signals);
        let decisions = self.subject.store().decide(signals).await.map_err(|error| error.to_string())?;
        same("the decisions", &decisions, &expected)
    }

    async fn report(&mut self, nth: usize, phase: &str) -> Result<(), String> {
        let known = self.machine.requests();
        let Some(reference) = known.keys().nth(nth % known.len().max(1)).cloned() else { return Ok(()) };
        self.machine.report(&reference, Phase::parse(phase));
        let patch = Map::from_iter([("overallPhase".to_owned(), Value::from(phase))]);
        let patched = self.subject.store().patch_status(reference.clone(), StatusPatch(patch)).await;
        let mut state = patched.map_err(|error| error.to_string())?.state;
        (state.epoch, state.sequence) = (0, 0);
        let expected = self.machine.requests().remove(&reference).map(|(_, state)| state);
        same("the reported request", &Some(state), &expected)
    }

    async fn delete(&mut self, nth: usize) -> Result<(), String> {
        let known = self.machine.requests();
        let Some(reference) = known.keys().nth(nth % known.len().max(1)).cloned() else { return Ok(()) };
        let store = self.subject.store();
        let failed = |error: StoreError| error.to_string();
        let record = store.request(reference.clone()).await.map_err(failed)?;
        let news = record.placement.is_none();
        if news {
            let placement = Placement {
                namespace: reference.namespace.clone(),
                name: reference.id.to_string().into(),
                uid: "1".into(),
                sequence: record.state.sequence,
                deleted: false,
            };
            store.placed(reference.clone(), placement).await.map_err(failed)?;
            self.machine.withdraw(&reference);
        }
        same("whether a deletion is news", &store.deleted(reference).await.map_err(failed)?, &news)?;
        self.compare().await
    }

    async fn compare(&self) -> Result<(), String> {
        let store = self.subject.store();
        let page = store.requests(RequestFilter::default(), Page { limit: 100_000, after: None }).await;
        let items = page.map_err(|error| error.to_string())?.items;
        let found: Requests = items
            .into_iter()
            .map(|mut request| {
                (request.state.epoch, request.state.sequence) = (0, 0);
                (request.doc.reference.clone(), (request.doc, request.state))
            })
            .collect();
        same("the requests", &found, &self.machine.requests())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, store: &T, engine: &T) -> Result<(), String> {
    if store == engine {
        return Ok(());
    }
    Err(format!("{what} differ\n  store:  {store:?}\n  engine: {engine:?}"))
}
