//! The pure engine as a store has it: one for everything, or one for each partition.

use std::collections::BTreeMap;

use seawall_model::{
    Decision, Field, Phase, Policy, RequestDoc, RequestRef, RequestState, Signal, Timestamp,
};

use super::machine::{Machine, Sweep};
use crate::support::START;

/// What a store decides together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Everything.
    None,
    /// The signals of one namespace of a cluster, or of the whole cluster when a rule looks across namespaces.
    Partitions,
}

pub struct Machines {
    split: Split,
    pub policy: Policy,
    pub now: Timestamp,
    parts: BTreeMap<String, Machine>,
}

impl Machines {
    pub fn new(policy: Policy, split: Split) -> Self {
        Self { split, policy, now: START, parts: BTreeMap::new() }
    }

    fn part_of(&self, signal: &Signal) -> String {
        let spans = self.policy.rules.iter().any(|rule| !rule.group_by.contains(&Field::Namespace));
        let identity = &signal.identity;
        match self.split {
            Split::None => String::new(),
            Split::Partitions if spans => format!("all of {}", identity.cluster),
            Split::Partitions => format!("{} of {}", identity.namespace, identity.cluster),
        }
    }

    pub fn set_policy(&mut self, policy: Policy) {
        self.parts.values_mut().for_each(|machine| machine.policy = policy.clone());
        self.policy = policy;
    }

    pub fn deliver(&mut self, signals: &[Signal]) -> Vec<Decision> {
        let mut batches: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (nth, signal) in signals.iter().enumerate() {
            batches.entry(self.part_of(signal)).or_default().push(nth);
        }
        let mut decisions = BTreeMap::new();
        for (part, order) in batches {
            let batch: Vec<Signal> = order.iter().map(|nth| signals[*nth].clone()).collect();
            decisions.extend(order.into_iter().zip(self.part(part).deliver(&batch)));
        }
        decisions.into_values().collect()
    }

    fn part(&mut self, part: String) -> &mut Machine {
        let (policy, now) = (&self.policy, self.now);
        let sweep = match self.split {
            Split::None => Sweep::ByTime,
            Split::Partitions => Sweep::Everything,
        };
        self.parts.entry(part).or_insert_with(|| {
            let mut machine = Machine::new(policy.clone(), sweep);
            machine.turn(now);
            machine
        })
    }

    pub fn report(&mut self, reference: &RequestRef, phase: Phase) {
        let has = |machine: &&mut Machine| machine.requests().contains_key(reference);
        let machine = self.parts.values_mut().find(has).expect("the request exists");
        machine.report(reference, phase);
    }

    pub fn withdraw(&mut self, reference: &RequestRef) {
        let has = |machine: &&mut Machine| machine.requests().contains_key(reference);
        let machine = self.parts.values_mut().find(has).expect("the request exists");
        machine.withdraw(reference);
    }

    pub fn turn(&mut self, now: Timestamp) {
        self.now = now;
        self.parts.values_mut().for_each(|machine| machine.turn(now));
    }

    /// The process ends and another one takes over. Where the state lies elsewhere that is nothing to it.
    pub fn restart(&mut self) {
        match self.split {
            Split::None => self.parts.values_mut().for_each(Machine::restart),
            Split::Partitions => self.turn(self.now),
        }
    }

    pub fn requests(&self) -> BTreeMap<RequestRef, (RequestDoc, RequestState)> {
        self.parts.values().flat_map(Machine::requests).collect()
    }

    pub fn left(&self) -> usize {
        self.parts.values().map(Machine::left).sum()
    }

    pub fn forget_closed(&mut self) {
        self.parts.values_mut().for_each(Machine::forget_closed);
    }
}
