//! What happens by itself: held requests come out, updates are flushed, storms end, what is over leaves memory.

use std::cmp::Reverse;

use seawall_model::{Policy, Timestamp};

use crate::engine::{Agenda, Engine, Publication, PublicationKind, Standing, Waiting};
use crate::group::GroupKey;
use crate::incident::{Flags, Moment};
use crate::record::ClosedRequest;
use crate::repeat::is_open;
use crate::storm::Storm;

/// How long to wait before looking again at an ended storm that some member still keeps in memory, in milliseconds.
const LOOK_AGAIN: i64 = 10_000;

impl Engine {
    /// Does what is due at `now`. Looks at up to `budget` incidents for whether they may leave memory.
    pub fn tick(&mut self, policy: &Policy, now: Timestamp, budget: usize) {
        self.now = now;
        while let Some(waiting) = pop_due(&mut self.holds, now) {
            self.release_hold(policy, &waiting);
        }
        while let Some(waiting) = pop_due(&mut self.flushes, now) {
            self.flush(policy, waiting);
        }
        while let Some(storm) = pop_due(&mut self.storm_ends, now) {
            self.look_at_storm(policy, storm, now);
        }
        while let Some(key) = pop_due(&mut self.group_checks, now) {
            self.look_at_group(key, now);
        }
        self.sweep(policy, now, budget);
    }

    /// When something is due next, apart from sweeping.
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = [
            self.holds.peek().map(|Reverse((at, _))| *at),
            self.flushes.peek().map(|Reverse((at, _))| *at),
            self.storm_ends.peek().map(|Reverse((at, _))| *at),
            self.group_checks.peek().map(|Reverse((at, _))| *at),
        ];
        due.into_iter().flatten().min()
    }

    /// Requests that are held back.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Until when the longest held request is held.
    pub fn oldest_hold(&self) -> Option<Timestamp> {
        (self.held > 0).then(|| self.holds.peek().map(|Reverse((until, _))| *until)).flatten()
    }

    /// What watchers should hear of since the last call.
    pub fn take_publications(&mut self) -> Vec<Publication> {
        std::mem::take(&mut self.publications)
    }

    fn release_hold(&mut self, policy: &Policy, waiting: &Waiting) {
        let reference = match waiting {
            Waiting::Incident(index, generation) => {
                let held = self.incidents.get_mut(*index);
                let held = held.filter(|it| it.generation == *generation && it.is_held() && !it.is_member());
                let Some(incident) = held else { return };
                incident.pulse.hold_until = Moment::NONE;
                incident.told = self.now.into();
                self.held = self.held.saturating_sub(1);
                let reference =
                    Self::request_ref(policy, &incident.identity().namespace, incident.own_request());
                self.touch(*index);
                reference
            }
            Waiting::Storm(index) => {
                let held = self.storms.get_mut(*index).filter(|storm| storm.course.hold_until.is_some());
                let Some(storm) = held else { return };
                storm.course.hold_until = None;
                self.held = self.held.saturating_sub(1);
                storm.course.sequence = self.sequence;
                if !std::mem::replace(&mut storm.changed, true) {
                    self.changed_storms.push(*index);
                }
                storm.facts.request.clone()
            }
            Waiting::Closed(_) => return,
        };
        self.publications.push(Publication { reference, kind: PublicationKind::Added });
    }

    fn flush(&mut self, policy: &Policy, waiting: Waiting) {
        let reference = match waiting {
            Waiting::Incident(index, generation) => {
                let flushing = self.incidents.get_mut(index);
                let flushing = flushing.filter(|incident| {
                    incident.generation == generation
                        && incident.flags.has(Flags::FLUSHING)
                        && !incident.is_member()
                });
                let Some(incident) = flushing else { return };
                incident.flags.clear(Flags::FLUSHING);
                incident.told = self.now.into();
                // Whoever resumes from a revision before this one must be told again; that holds until the next start,
                // which raises the epoch and with it every resumption, so it need not be written.
                incident.pulse.sequence = self.sequence;
                Self::request_ref(policy, &incident.identity().namespace, incident.own_request())
            }
            Waiting::Storm(index) => {
                let Some(storm) = self.storms.get_mut(index).filter(|storm| storm.flushing) else { return };
                storm.flushing = false;
                storm.course.sequence = self.sequence;
                storm.facts.request.clone()
            }
            Waiting::Closed(reference) => {
                self.closed_flushes.remove(&reference);
                reference
            }
        };
        self.publications.push(Publication { reference, kind: PublicationKind::Modified });
    }

    fn look_at_storm(&mut self, policy: &Policy, index: u32, now: Timestamp) {
        let Some(storm) = self.storms.get(index) else { return };
        if storm.is_open() {
            if now >= storm.ends_at() {
                self.end_quiet(index, now);
            } else {
                let ends_at = storm.ends_at();
                self.storm_ends.push(Reverse((ends_at, index)));
            }
        } else if storm.living == 0 && is_forgettable(policy, storm, now) {
            self.forget_storm(index, now);
        } else {
            self.storm_ends.push(Reverse((now + LOOK_AGAIN, index)));
        }
    }

    fn forget_storm(&mut self, index: u32, now: Timestamp) {
        let Some(storm) = self.storms.take(index) else { return };
        self.gone_storms.push(index);
        self.storm_of_request.remove(&storm.facts.request.id);
        let closed =
            ClosedRequest { state: storm.request_state(self.epoch), phase: storm.course.phase, at: now };
        self.closed.push((storm.facts.request, Some(closed)));
    }

    fn look_at_group(&mut self, key: GroupKey, now: Timestamp) {
        let Some(group) = self.groups.get_mut(&key) else { return };
        match group.newest() {
            // All or nothing: which entries still count is decided when the group counts, at its own time.
            Some(newest) if now - newest < group.window => {
                let due = newest + group.window;
                self.group_checks.push(Reverse((due, key)));
            }
            _ => {
                group.entries = std::collections::VecDeque::new();
                group.queued = false;
                if group.storm.is_none() {
                    self.groups.remove(&key);
                    shrink(&mut self.groups);
                }
            }
        }
    }

    fn sweep(&mut self, policy: &Policy, now: Timestamp, budget: usize) {
        let slots = self.incidents.slots() as u32;
        for _ in 0..budget.min(slots as usize) {
            self.sweep_at = if self.sweep_at + 1 < slots { self.sweep_at + 1 } else { 0 };
            if self.is_over(policy, self.sweep_at, now) {
                self.let_go(policy, self.sweep_at);
                self.remove(self.sweep_at);
            }
        }
    }

    fn is_over(&self, policy: &Policy, index: u32, now: Timestamp) -> bool {
        let Some(incident) = self.incidents.get(index) else { return false };
        let longest = policy.rules.iter().map(|rule| rule.window).max().unwrap_or(0);
        let is_counted = incident.pulse.counted_in != 0 && now - incident.first_seen < longest;
        if is_counted || incident.is_held() || incident.flags.has(Flags::FLUSHING) {
            return false;
        }
        match self.storms.get(incident.storm) {
            Some(storm) => is_forgettable(policy, storm, now),
            None => self.standing(policy, index, now) == Standing::Over,
        }
    }

    /// Ends the part an incident plays: leaves its storm, or closes its own request with its final state.
    pub(crate) fn let_go(&mut self, policy: &Policy, index: u32) {
        let Some(incident) = self.incidents.get(index) else { return };
        if incident.is_member() {
            return self.leave_storm(index);
        }
        let reference = Self::request_ref(policy, &incident.identity().namespace, incident.own_request());
        let state = incident.request_state(self.epoch, self.links_of(index));
        let closed = ClosedRequest { state, phase: incident.pulse.phase, at: incident.last_change() };
        if incident.is_held() {
            // It fired again before its hold was over: nothing of it may get lost.
            let publication = Publication { reference: reference.clone(), kind: PublicationKind::Added };
            self.publications.push(publication);
            self.held = self.held.saturating_sub(1);
        } else if incident.flags.has(Flags::FLUSHING) {
            self.closed_changed(policy, reference.clone());
        }
        self.links.remove(&index);
        self.closed.push((reference, Some(closed)));
    }

    pub(crate) fn remove(&mut self, index: u32) {
        let Some(incident) = self.incidents.take(index) else { return };
        let hash = incident.fingerprint.prefix();
        if let Ok(entry) = self.index.find_entry(hash, |known| *known == index) {
            entry.remove();
        }
        self.raise_floor(incident.generation);
        self.opened.remove(&index);
        self.gone.push((index, incident.flags));
    }

    pub(crate) fn raise_floor(&mut self, generation: u32) {
        if generation > self.floor {
            self.floor = generation;
            self.floor_changed = true;
        }
    }
}

/// Whether an ended storm has been remembered for long enough and nobody counts on its request any more.
fn is_forgettable(policy: &Policy, storm: &Storm, now: Timestamp) -> bool {
    let course = &storm.course;
    let Some(ended_at) = course.ended_at else { return false };
    now - ended_at >= policy.storm_memory
        && !storm.flushing
        && course.hold_until.is_none()
        && !is_open(policy, course.phase, course.released_at, course.last_seen, now)
}

fn pop_due<T: Ord>(agenda: &mut Agenda<T>, now: Timestamp) -> Option<T> {
    let due = agenda.peek().is_some_and(|Reverse((at, _))| *at <= now);
    if !due {
        return None;
    }
    agenda.pop().map(|Reverse((_, item))| item)
}

/// Gives memory back after a flood of groups, without doing so at every step.
fn shrink<K: std::hash::Hash + Eq, V>(map: &mut std::collections::HashMap<K, V>) {
    if map.capacity() > 1024 && map.len() * 8 < map.capacity() {
        map.shrink_to(map.len() * 2);
    }
}
