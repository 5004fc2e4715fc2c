//! Rebuilding the state from its records.

use std::cmp::Reverse;
use std::collections::HashMap;

use seawall_model::Millis;

use crate::engine::{Engine, Waiting};
use crate::group::{Entry, GroupKey};
use crate::incident::{Flags, Incident, Moment, NO_STORM};
use crate::record::{FLOOR, IncidentRecord, Opened, StormRecord, Table, TouchRecord};
use crate::storm::Storm;

/// A record that cannot be read. The state is never used without it: that would lose what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {table:?} record {key}: {reason}")]
pub struct RestoreError {
    pub table: Table,
    pub key: String,
    pub reason: String,
}

impl Engine {
    /// Rebuilds the state from the tables [`Table::Incident`], [`Table::Touch`], [`Table::Storm`] and [`Table::Meta`], in
    /// any order; other tables are not looked at.
    pub fn restore<'a>(
        epoch: u64,
        records: impl IntoIterator<Item = (Table, &'a [u8], &'a [u8])>,
    ) -> Result<Self, RestoreError> {
        let mut restoring = Self::restoring(epoch);
        for (table, key, value) in records {
            restoring.read(table, key, value)?;
        }
        Ok(restoring.finish())
    }

    /// Begins to rebuild the state record by record.
    pub fn restoring(epoch: u64) -> Restoring {
        Restoring { engine: Self::new(epoch), opened: HashMap::new(), touches: Vec::new() }
    }
}

/// A state being rebuilt.
pub struct Restoring {
    engine: Engine,
    opened: HashMap<u32, Opened>,
    touches: Vec<(u32, TouchRecord)>,
}

impl Restoring {
    /// Takes one record, in any order.
    pub fn read(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let fail = |reason: String| RestoreError { table, key: format!("{key:02x?}"), reason };
        let slot = || {
            let bytes = key.try_into().map_err(|_| fail("the key is not four bytes".to_owned()))?;
            Ok(u32::from_be_bytes(bytes))
        };
        match table {
            Table::Incident => {
                let record = postcard::from_bytes(value).map_err(|error| fail(error.to_string()))?;
                self.incident(slot()?, record);
            }
            Table::Touch => {
                let record = postcard::from_bytes(value).map_err(|error| fail(error.to_string()))?;
                self.touches.push((slot()?, record));
            }
            Table::Storm => {
                let record = postcard::from_bytes(value).map_err(|error| fail(error.to_string()))?;
                self.storm(slot()?, record);
            }
            Table::Meta if key == FLOOR => {
                let bytes = value.try_into().map_err(|_| fail("the value is not four bytes".to_owned()))?;
                self.engine.floor = u32::from_be_bytes(bytes);
            }
            Table::Request | Table::Closed | Table::Meta => {}
        }
        Ok(())
    }

    fn incident(&mut self, slot: u32, record: IncidentRecord<'_>) {
        let mut incident =
            Incident::new(record.fingerprint, record.identity.into(), record.first_seen, record.pulse);
        incident.generation = record.generation;
        incident.storm = record.storm;
        incident.ordinal = record.ordinal;
        incident.seen = record.seen;
        incident.opening = record.opening;
        self.engine.openings = self.engine.openings.max(record.opened.order + 1);
        if record.storm == NO_STORM && !record.opened.groups.is_empty() {
            self.opened.insert(slot, record.opened);
        }
        self.engine.incidents.restore(slot, incident);
    }

    fn storm(&mut self, slot: u32, record: StormRecord) {
        let engine = &mut self.engine;
        engine.storm_of_request.insert(record.facts.request.id, slot);
        let due = record.course.ended_at.unwrap_or(record.course.last_seen + record.facts.quiet);
        engine.storm_ends.push(Reverse((due, slot)));
        if record.course.ended_at.is_none() {
            engine.groups.entry(record.facts.group).or_default().storm = Some(slot);
        }
        if let Some(until) = record.course.hold_until {
            engine.holds.push(Reverse((until, Waiting::Storm(slot))));
            engine.held += 1;
        }
        let keeps_sample = record.course.ended_at.is_none() && record.sample.is_some();
        let mut sample = record.sample.unwrap_or_default();
        sample.index();
        let storm = Storm {
            facts: record.facts,
            course: record.course,
            sample,
            keeps_sample,
            members: Vec::new(),
            living: 0,
            unresolved: 0,
            changed: false,
            flushing: false,
        };
        engine.storms.restore(slot, storm);
    }

    /// Puts the pieces together.
    pub fn finish(mut self) -> Engine {
        for (slot, touch) in std::mem::take(&mut self.touches) {
            let Some(incident) = self.engine.incidents.get_mut(slot) else { continue };
            incident.flags.set(Flags::PULSED);
            // A record that was written later than the touch belongs to a later incident in the same slot, or knows it.
            if touch.pulse.sequence > incident.pulse.sequence {
                incident.pulse = touch.pulse;
            }
            if touch.pulse.sequence >= incident.pulse.sequence && !touch.links.is_empty() {
                self.engine.links.insert(slot, touch.links);
            }
        }
        self.engine.incidents.collect_free();
        self.engine.storms.collect_free();
        self.index();
        self.count_again();
        self.fill_storms();
        self.engine
    }

    /// Finds incidents by fingerprint again, and the held ones by time.
    fn index(&mut self) {
        let engine = &mut self.engine;
        let incidents = &engine.incidents;
        let prefix = |index: &u32| incidents.get(*index).map_or(0, |it| it.fingerprint.prefix());
        engine.index.reserve(incidents.len(), prefix);
        for (slot, incident) in incidents.iter() {
            engine.index.insert_unique(incident.fingerprint.prefix(), slot, prefix);
            if let Some(until) = incident.pulse.hold_until.get() {
                engine.holds.push(Reverse((until, Waiting::Incident(slot, incident.generation))));
                engine.held += 1;
            }
        }
    }

    /// Fills the windows again, in the order in which the incidents opened.
    fn count_again(&mut self) {
        let mut entries: Vec<(u64, (GroupKey, Millis), Entry)> = Vec::new();
        for (slot, opened) in &self.opened {
            let Some(incident) = self.engine.incidents.get(*slot) else { continue };
            for (bit, group) in (0u8..).zip(&opened.groups) {
                if incident.pulse.counted_in & (1 << bit) != 0 {
                    let prefix = incident.fingerprint.prefix();
                    let (at, generation) = (incident.first_seen, incident.generation);
                    let entry = Entry { at, prefix, generation, incident: *slot, bit };
                    entries.push((opened.order, *group, entry));
                }
            }
        }
        entries.sort_unstable_by_key(|(order, _, entry)| (entry.at, *order, entry.bit));
        for (_, (key, window), entry) in entries {
            let group = self.engine.groups.entry(key).or_default();
            group.window = window;
            group.entries.push_back(entry);
            if !group.queued {
                group.queued = true;
                self.engine.group_checks.push(Reverse((entry.at + window, key)));
            }
        }
    }

    /// Gives the storms their members back, in the order in which they joined.
    fn fill_storms(&mut self) {
        let engine = &mut self.engine;
        let mut members: HashMap<u32, Vec<(u32, u32)>> = HashMap::new();
        for (slot, incident) in engine.incidents.iter().filter(|(_, incident)| incident.is_member()) {
            members.entry(incident.storm).or_default().push((incident.ordinal, slot));
        }
        for (storm, mut members) in members {
            let Some(storm) = engine.storms.get_mut(storm) else { continue };
            members.sort_unstable();
            storm.living = members.len() as u64;
            let rebuild = storm.is_open() && !storm.keeps_sample;
            for (_, slot) in &members {
                let Some(incident) = engine.incidents.get(*slot) else { continue };
                storm.unresolved += u64::from(incident.pulse.resolved_at == Moment::NONE);
                if rebuild {
                    storm.sample.join(&incident.identity(), incident, storm.facts.sample);
                }
            }
            storm.members = members.into_iter().map(|(_, slot)| slot).collect();
        }
    }
}
