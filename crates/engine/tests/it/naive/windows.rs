//! Groups, and the sliding windows in which they count new incidents.

use seawall_model::{Fingerprint, Millis, Policy, Signal, StormRule, Timestamp};

use super::Naive;

/// The rule, the cluster, and the values of the fields the rule groups by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    rule: String,
    cluster: String,
    values: Vec<String>,
}

/// The groups a signal counts in, in the order of the rules. A signal that lacks a field is in no group of that rule.
pub(super) fn groups_of(policy: &Policy, signal: &Signal) -> Vec<(StormRule, Group)> {
    let group = |rule: &StormRule| {
        let values: Option<Vec<String>> =
            rule.group_by.iter().map(|field| signal.field(field).map(str::to_owned)).collect();
        let cluster = signal.identity.cluster.to_string();
        Some((rule.clone(), Group { rule: rule.name.to_string(), cluster, values: values? }))
    };
    policy.rules.iter().filter_map(group).collect()
}

/// One new incident, counted in one group.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub group: Group,
    window: Millis,
    pub at: Timestamp,
    pub fingerprint: Fingerprint,
    generation: u32,
    /// Whether it has slid out of the window.
    is_out: bool,
}

impl Naive {
    pub(super) fn count(&mut self, rule: &StormRule, group: &Group, fingerprint: Fingerprint, t: Timestamp) {
        for entry in self.entries.iter_mut().filter(|entry| entry.group == *group) {
            entry.is_out = entry.is_out || entry.at <= t - rule.window;
        }
        // A problem that is open again counts once.
        self.entries.retain(|entry| entry.group != *group || entry.fingerprint != fingerprint);
        let generation = self.incidents[&fingerprint].generation;
        let (group, window) = (group.clone(), rule.window);
        self.entries.push(Entry { group, window, at: t, fingerprint, generation, is_out: false });
    }

    /// What counts in a group now.
    pub(super) fn living(&self, group: &Group) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.group == *group && !entry.is_out && self.may_count(entry))
    }

    /// Members of storms do not, and a problem that is open again with other labels only where it was counted last.
    fn may_count(&self, entry: &Entry) -> bool {
        let incident = self.incidents.get(&entry.fingerprint);
        incident.is_some_and(|incident| incident.generation == entry.generation && incident.storm.is_none())
    }

    /// When the group counted something last, whatever has become of that.
    pub(super) fn newest(&self, group: &Group) -> Option<Timestamp> {
        let in_window = self.entries.iter().filter(|entry| entry.group == *group && !entry.is_out);
        in_window.map(|entry| entry.at).next_back()
    }

    /// A group is forgotten when its newest entry has slid out.
    pub(super) fn forget_old_groups(&mut self, now: Timestamp) {
        let groups: Vec<Group> = self.entries.iter().map(|entry| entry.group.clone()).collect();
        for group in groups {
            let newest = self.entries.iter().rfind(|entry| entry.group == group && !entry.is_out);
            if newest.is_some_and(|newest| newest.at <= now - newest.window) {
                self.entries
                    .iter_mut()
                    .filter(|entry| entry.group == group)
                    .for_each(|entry| entry.is_out = true);
            }
        }
    }

    /// A storm has taken what was counted.
    pub(super) fn start_from_zero(&mut self, group: &Group) {
        self.entries.retain(|entry| entry.group != *group || entry.is_out);
    }

    /// An incident that is recalled later does not count again.
    pub(super) fn count_no_forgotten_ones(&mut self) {
        for entry in &mut self.entries {
            if !self.incidents.contains_key(&entry.fingerprint) {
                entry.generation = 0;
            }
        }
    }

    /// Incidents are written down with where they count, windows are not: they are filled again, and what had slid out
    /// slides out again by time, unless the clock has gone back.
    pub fn restarted(&mut self) {
        let all = std::mem::take(&mut self.entries);
        let counted = all.into_iter().filter(|entry| self.may_count(entry));
        self.entries = counted.map(|entry| Entry { is_out: false, ..entry }).collect();
        self.entries.sort_by_key(|entry| entry.at);
    }

    /// Whether the incident may still count somewhere.
    pub(super) fn is_counted(&self, policy: &Policy, fingerprint: Fingerprint, now: Timestamp) -> bool {
        let its = |entry: &&Entry| entry.fingerprint == fingerprint && !entry.is_out && self.may_count(entry);
        self.entries.iter().filter(its).any(|entry| {
            let rule = policy.rules.iter().find(|rule| *rule.name == *entry.group.rule);
            rule.is_some_and(|rule| entry.at > now - rule.window.min(entry.window))
        })
    }
}
