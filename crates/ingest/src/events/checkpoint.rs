//! How far events were decided, as the next holder of the lease reads it.

use seawall_cluster::Notes;
use seawall_model::Timestamp;

const VERSION: &str = "remediation.kubernaut.io/events-version";
const TIME: &str = "remediation.kubernaut.io/events-time";

/// Everything up to here is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// A resource version of the API server.
    pub(super) version: String,
    /// When it was reached, for the case that the API server has forgotten the version.
    pub(super) time: Timestamp,
}

impl Checkpoint {
    pub(super) fn notes(&self) -> Notes {
        [(VERSION.to_owned(), self.version.clone()), (TIME.to_owned(), self.time.to_string())].into()
    }

    /// Nothing when nobody has left one, or it was damaged.
    pub(super) fn read(notes: &Notes) -> Option<Self> {
        let version = notes.get(VERSION).filter(|text| is_version(text))?.clone();
        Some(Self { version, time: Timestamp::parse(notes.get(TIME)?)? })
    }
}

fn is_version(text: &str) -> bool {
    text.parse().is_ok_and(|version: u64| version > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_and_what_was_damaged_is_not() {
        let checkpoint =
            Checkpoint { version: "4711".to_owned(), time: Timestamp::from_millis(1_793_530_800_123) };
        assert_eq!(Checkpoint::read(&checkpoint.notes()), Some(checkpoint.clone()));
        assert_eq!(Checkpoint::read(&Notes::new()), None);
        for (key, damaged) in [(VERSION, ""), (VERSION, "0"), (VERSION, "latest"), (TIME, "yesterday")] {
            let mut notes = checkpoint.notes();
            notes.insert(key.to_owned(), damaged.to_owned());
            assert_eq!(Checkpoint::read(&notes), None, "{key}: {damaged}");
        }
    }
}
