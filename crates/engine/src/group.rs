//! Signals that share the values of a storm rule, and the sliding window that counts them.

use std::collections::VecDeque;

use seawall_model::{Millis, Policy, Signal, StormRule, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Identifies a group: half a SHA-256 over the rule, the cluster and the values it groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct GroupKey(u128);

impl GroupKey {
    /// The group of the signal under the rule; none when it lacks a value, for grouping needs positive evidence.
    pub(crate) fn of(rule: &StormRule, signal: &Signal) -> Option<Self> {
        let mut key = Hashed::new(&rule.name, &signal.identity.cluster);
        for field in &rule.group_by {
            key.field(field.as_str(), signal.field(field)?);
        }
        Some(key.finish())
    }

    /// The group with these values, in the order of the rule's fields.
    pub(crate) fn of_values<'a>(
        rule: &str,
        cluster: &str,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut key = Hashed::new(rule, cluster);
        values.into_iter().for_each(|(field, value)| key.field(field, value));
        key.finish()
    }

    pub(crate) fn name(self) -> String {
        format!("{:032x}", self.0)
    }
}

struct Hashed(Sha256);

impl Hashed {
    fn new(rule: &str, cluster: &str) -> Self {
        let mut hashed = Self(Sha256::new());
        hashed.part(rule);
        hashed.part(cluster);
        hashed
    }

    fn field(&mut self, field: &str, value: &str) {
        self.part(field);
        self.part(value);
    }

    fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn finish(self) -> GroupKey {
        let digest: [u8; 32] = self.0.finalize().into();
        let half = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
        GroupKey(half)
    }
}

/// The groups of a signal for those who keep groups elsewhere: the place of the rule in the policy, and a name that no
/// other group has.
pub fn group_names(policy: &Policy, signal: &Signal) -> Vec<(usize, String)> {
    let named = |it: Membership| (it.rule, it.key.name());
    memberships(policy, signal).into_iter().map(named).collect()
}

/// One group of a signal: the rule by its place in the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub rule: usize,
    pub key: GroupKey,
}

/// Storm rules that a policy may have: each is a bit in [`Pulse::counted_in`](crate::incident::Pulse).
pub const MAX_RULES: usize = 32;

pub(crate) fn memberships(policy: &Policy, signal: &Signal) -> Vec<Membership> {
    let rules = policy.rules.iter().take(MAX_RULES).enumerate();
    rules.filter_map(|(rule, spec)| Some(Membership { rule, key: GroupKey::of(spec, signal)? })).collect()
}

/// A new incident that a group counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// When the incident opened.
    pub at: Timestamp,
    /// With `generation` this tells whether the slot still holds the same incident. The time would not: a problem may be
    /// over and open again within one millisecond.
    pub prefix: u64,
    pub generation: u32,
    pub incident: u32,
    /// Bit of this group in the incident's `counted_in`.
    pub bit: u8,
}

#[derive(Default)]
pub(crate) struct Group {
    /// In order of opening. Members of any storm do not count, but may still lie here until somebody counts.
    pub entries: VecDeque<Entry>,
    /// The storm that is open, or was the last time anybody looked.
    pub storm: Option<u32>,
    /// The window of its rule.
    pub window: Millis,
    /// Whether the group waits to be looked at for having run empty.
    pub queued: bool,
}

impl Group {
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.entries.back().map(|entry| entry.at)
    }

    /// Forgets what has slid out of the window.
    pub(crate) fn slide(&mut self, now: Timestamp, window: Millis) {
        while self.entries.front().is_some_and(|entry| now - entry.at >= window) {
            self.entries.pop_front();
        }
    }
}
