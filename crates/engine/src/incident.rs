//! A problem that is open, or was until a moment ago.

use seawall_model::{
    Fingerprint, Identity, Phase, Priority, RemediationPath, RequestId, RequestState, Severity, Signal,
    Timestamp,
};
use serde::{Deserialize, Serialize};

/// A point in time or none, in eight bytes: an incident has several of them and there may be a million incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) const NONE: Self = Self(i64::MIN);

    pub(crate) fn get(self) -> Option<Timestamp> {
        (self != Self::NONE).then(|| Timestamp::from_millis(self.0))
    }
}

impl From<Timestamp> for Moment {
    fn from(time: Timestamp) -> Self {
        Self(time.as_millis())
    }
}

impl From<Option<Timestamp>> for Moment {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::NONE, Self::from)
    }
}

/// No storm.
pub(crate) const NO_STORM: u32 = u32::MAX;

/// How urgent a request is. Rises with the worst signal and never falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Urgency {
    pub severity: Severity,
    pub priority: Priority,
    pub path: RemediationPath,
}

impl Urgency {
    pub(crate) fn of(signal: &Signal) -> Self {
        Self { severity: signal.severity, priority: signal.priority, path: signal.path }
    }

    pub(crate) fn raise(&mut self, other: Self) {
        if other.severity > self.severity {
            *self = other;
        }
    }
}

/// Why an incident began as it did; with `seen` and the storm's rule this is what `explain` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opening {
    /// Got a request of its own at once.
    Alone,
    /// Its own request was held back because a rule might still have tripped.
    Held,
    /// Joined an open storm.
    Joined,
    /// Made the rule trip.
    Tripped,
    /// Continued a storm that had lasted too long.
    Continued,
    /// Brought back from the requests on disk.
    Recalled,
}

/// What changes with every signal. Kept apart from the rest so that a repeat writes a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pulse {
    pub count: u64,
    pub last_seen: Timestamp,
    pub resolved_at: Moment,
    pub flaps: u32,
    pub urgency: Urgency,
    pub phase: Phase,
    /// When a worker finished its request.
    pub released_at: Moment,
    /// Until when its own request is held back; none once it is published.
    pub hold_until: Moment,
    /// The commit that last changed it.
    pub sequence: u64,
    /// Which of the groups it was counted in still count it, one bit each.
    pub counted_in: u32,
}

pub(crate) struct Incident {
    pub fingerprint: Fingerprint,
    /// [`Identity`], packed: it is only read when somebody looks.
    identity: Box<[u8]>,
    /// When this incident opened: the time under which groups count it.
    pub first_seen: Timestamp,
    pub pulse: Pulse,
    /// Generation of its own request, which exists only while it is no member of a storm.
    pub generation: u32,
    /// The storm it is a member of, else [`NO_STORM`]: then it counts on its own request.
    pub storm: u32,
    /// Its place among the members of the storm.
    pub ordinal: u32,
    /// What the deciding group counted when it opened.
    pub seen: u32,
    pub opening: Opening,
    pub flags: Flags,
    /// When watchers last heard of its own request. Not kept over a restart: then they hear of the next change at once.
    pub told: Moment,
}

/// What is to be done about an incident, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// In the list of changed incidents.
    pub(crate) const CHANGED: u8 = 1;
    /// The whole record is to be written, not only the pulse.
    pub(crate) const WHOLE: u8 = 2;
    /// A pulse record exists on disk.
    pub(crate) const PULSED: u8 = 4;
    /// An update of its request waits for its flush time.
    pub(crate) const FLUSHING: u8 = 8;

    pub(crate) fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Sets the flag and says whether it was clear before.
    pub(crate) fn set(&mut self, flag: u8) -> bool {
        let was_clear = !self.has(flag);
        self.0 |= flag;
        was_clear
    }

    pub(crate) fn clear(&mut self, flag: u8) {
        self.0 &= !flag;
    }
}

pub(crate) fn pack(identity: &Identity) -> Box<[u8]> {
    // Packing five texts into a vector has nothing that can fail.
    postcard::to_stdvec(identity).unwrap_or_default().into_boxed_slice()
}

impl Incident {
    pub(crate) fn new(
        fingerprint: Fingerprint,
        identity: Box<[u8]>,
        first_seen: Timestamp,
        pulse: Pulse,
    ) -> Self {
        Self {
            fingerprint,
            identity,
            first_seen,
            pulse,
            generation: 0,
            storm: NO_STORM,
            ordinal: 0,
            seen: 0,
            opening: Opening::Alone,
            flags: Flags::default(),
            told: Moment::NONE,
        }
    }

    pub(crate) fn packed_identity(&self) -> &[u8] {
        &self.identity
    }

    pub(crate) fn identity(&self) -> Identity {
        postcard::from_bytes(&self.identity).unwrap_or_else(|_| Identity {
            cluster: "".into(),
            namespace: "".into(),
            name: "?".into(),
            kind: "Unknown".into(),
            resource: "?".into(),
        })
    }

    pub(crate) fn own_request(&self) -> RequestId {
        RequestId { prefix: self.fingerprint.prefix(), generation: self.generation }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.pulse.hold_until != Moment::NONE
    }

    pub(crate) fn is_member(&self) -> bool {
        self.storm != NO_STORM
    }

    pub(crate) fn last_change(&self) -> Timestamp {
        let changes = [self.pulse.released_at.get(), self.pulse.resolved_at.get()];
        changes.into_iter().flatten().fold(self.pulse.last_seen, Timestamp::max)
    }

    /// Its own request as it should now exist.
    pub(crate) fn request_state(&self, epoch: u64, related: Vec<RequestId>) -> RequestState {
        RequestState {
            severity: self.pulse.urgency.severity,
            priority: self.pulse.urgency.priority,
            path: self.pulse.urgency.path,
            occurrences: self.pulse.count,
            first_seen: self.first_seen,
            last_seen: self.pulse.last_seen,
            resolved_at: self.pulse.resolved_at.get(),
            superseded_by: None,
            related,
            storm: None,
            epoch,
            sequence: self.pulse.sequence,
        }
    }
}
