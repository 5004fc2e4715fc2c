//! What readiness says about the source.

use std::borrow::Cow;

use parking_lot::RwLock;

/// How the source is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum EventsState {
    #[default]
    Off,
    /// This replica has the lease and is finding out where to begin.
    Beginning,
    Watching,
    /// Another replica has the lease.
    Elsewhere,
    /// Nothing comes, for this reason.
    Failing(String),
}

/// The same, for everybody who asks.
#[derive(Debug, Default)]
pub(crate) struct EventsStatus(RwLock<EventsState>);

impl EventsStatus {
    pub(crate) fn set(&self, state: EventsState) {
        *self.0.write() = state;
    }

    /// Whether this replica watches; nothing where events are no source.
    pub(crate) fn is_watching(&self) -> Option<bool> {
        match &*self.0.read() {
            EventsState::Off => None,
            state => Some(*state == EventsState::Watching),
        }
    }

    pub(crate) fn in_words(&self) -> Cow<'static, str> {
        match &*self.0.read() {
            EventsState::Off => "off".into(),
            EventsState::Beginning => "beginning".into(),
            EventsState::Watching => "ok".into(),
            EventsState::Elsewhere => "ok, by another replica".into(),
            EventsState::Failing(reason) => format!("not watched: {reason}").into(),
        }
    }
}
