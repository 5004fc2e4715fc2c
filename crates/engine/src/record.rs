//! What the state looks like on disk, and the changes that a commit has to write.

use seawall_model::{Fingerprint, Millis, Phase, RequestId, RequestRef, RequestState, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::group::GroupKey;
use crate::incident::{Flags, Opening, Pulse};
use crate::storm::{Sample, StormCourse, StormFacts};

/// Where a record belongs. Records are whole values: writing one again, or an older one before a newer one, is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Incidents, by slot.
    Incident,
    /// What changed about an incident since its record was written, by slot.
    Touch,
    /// Storms, by slot.
    Storm,
    /// What a request shows of the signal that opened it, by `namespace/name`. Held requests have one, too.
    Request,
    /// The final state of requests that have left memory, by `namespace/name`.
    Closed,
    /// What is known about all incidents together, by name.
    Meta,
}

/// A request that nothing in memory counts on any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosedRequest {
    pub state: RequestState,
    pub phase: Phase,
    /// When it last changed.
    pub at: Timestamp,
}

/// Under which key the tables [`Table::Request`] and [`Table::Closed`] keep a request.
pub fn request_key(reference: &RequestRef) -> Vec<u8> {
    reference.to_string().into_bytes()
}

/// Key of the record of [`Engine`]'s floor.
pub(crate) const FLOOR: &[u8] = b"floor";

/// The part of an incident's record that is only needed to count it again after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// The groups it was counted in and their windows; `Pulse::counted_in` says by bit which still count it.
    pub groups: Vec<(GroupKey, Millis)>,
    pub order: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct IncidentRecord<'a> {
    pub fingerprint: Fingerprint,
    #[serde(borrow)]
    pub identity: &'a [u8],
    pub first_seen: Timestamp,
    pub pulse: Pulse,
    pub generation: u32,
    pub storm: u32,
    pub ordinal: u32,
    pub seen: u32,
    pub opening: Opening,
    pub opened: Opened,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TouchRecord {
    pub pulse: Pulse,
    pub links: Vec<RequestId>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StormRecord {
    pub facts: StormFacts,
    pub course: StormCourse,
    /// Of an open storm the sample follows from its members, if they are all known.
    pub sample: Option<Sample>,
}

/// Takes one change: table, key, and the value or nothing to delete it.
pub type Write<'a> = dyn FnMut(Table, &[u8], Option<&[u8]>) + 'a;

impl Engine {
    /// Hands over everything that changed since the last call.
    pub fn drain(&mut self, write: &mut Write<'_>) {
        let mut buffer = Vec::with_capacity(256);
        self.drain_gone(write);
        for index in std::mem::take(&mut self.changed) {
            self.drain_incident(index, &mut buffer, write);
        }
        for index in std::mem::take(&mut self.changed_storms) {
            let Some(storm) = self.storms.get_mut(index) else { continue };
            storm.changed = false;
            let record = StormRecord {
                facts: storm.facts.clone(),
                course: storm.course.clone(),
                sample: (!storm.is_open() || storm.keeps_sample).then(|| storm.sample.clone()),
            };
            pack(&mut buffer, &record);
            write(Table::Storm, &index.to_be_bytes(), Some(&buffer));
        }
        for (reference, doc) in std::mem::take(&mut self.docs) {
            put(&mut buffer, write, Table::Request, &reference, doc.as_ref());
        }
        for (reference, closed) in std::mem::take(&mut self.closed) {
            put(&mut buffer, write, Table::Closed, &reference, closed.as_ref());
        }
        if std::mem::take(&mut self.floor_changed) {
            write(Table::Meta, FLOOR, Some(&self.floor.to_be_bytes()));
        }
        self.opened.clear();
    }

    fn drain_gone(&mut self, write: &mut Write<'_>) {
        for (index, flags) in std::mem::take(&mut self.gone) {
            write(Table::Incident, &index.to_be_bytes(), None);
            if flags.has(Flags::PULSED) {
                write(Table::Touch, &index.to_be_bytes(), None);
            }
            self.incidents.release(index);
        }
        for index in std::mem::take(&mut self.gone_storms) {
            write(Table::Storm, &index.to_be_bytes(), None);
            self.storms.release(index);
        }
    }

    fn drain_incident(&mut self, index: u32, buffer: &mut Vec<u8>, write: &mut Write<'_>) {
        let links = self.links.get(&index).cloned().unwrap_or_default();
        let Some(incident) = self.incidents.get_mut(index) else { return };
        incident.flags.clear(Flags::CHANGED);
        let key = index.to_be_bytes();
        let whole = incident.flags.has(Flags::WHOLE);
        if whole {
            incident.flags.clear(Flags::WHOLE);
            let record = IncidentRecord {
                fingerprint: incident.fingerprint,
                identity: incident.packed_identity(),
                first_seen: incident.first_seen,
                pulse: incident.pulse,
                generation: incident.generation,
                storm: incident.storm,
                ordinal: incident.ordinal,
                seen: incident.seen,
                opening: incident.opening,
                opened: self.opened.remove(&index).unwrap_or_default(),
            };
            pack(buffer, &record);
            write(Table::Incident, &key, Some(buffer));
        }
        if !whole || !links.is_empty() {
            incident.flags.set(Flags::PULSED);
            pack(buffer, &TouchRecord { pulse: incident.pulse, links });
            write(Table::Touch, &key, Some(buffer));
        }
    }
}

fn put<T: Serialize>(
    buffer: &mut Vec<u8>,
    write: &mut Write<'_>,
    table: Table,
    reference: &RequestRef,
    value: Option<&T>,
) {
    let key = request_key(reference);
    match value {
        None => write(table, &key, None),
        Some(value) => {
            pack(buffer, value);
            write(table, &key, Some(buffer));
        }
    }
}

/// Encodes into a buffer that is used again and again.
fn pack<T: Serialize>(buffer: &mut Vec<u8>, value: &T) {
    buffer.clear();
    let taken = std::mem::take(buffer);
    // Encoding into memory fails only for sequences of unknown length, which no record has.
    *buffer = postcard::to_extend(value, taken).unwrap_or_default();
}
