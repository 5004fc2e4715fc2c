//! Finding the few labels that matter among all labels, each looked at once.

use compact_str::CompactString;
use hashbrown::HashMap;

use super::{Labels, MAX_LABELS, Rejection};

/// A label name that some rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u16);

/// All label names that some rule asks for, numbered.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<CompactString, Slot>);

impl Names {
    /// The slot of a name, a new one if nobody has asked for it yet.
    pub(super) fn slot(&mut self, name: &str) -> Slot {
        // Configuration holds some dozens of names; the bound only keeps the arithmetic honest.
        let next = Slot(u16::try_from(self.0.len()).unwrap_or(u16::MAX));
        *self.0.entry(name.into()).or_insert(next)
    }

    pub(super) fn find(&self, name: &str) -> Option<Slot> {
        self.0.get(name).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Where the value of a slot is: nowhere, or one more than its position in the alert's own labels followed by the
/// common ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place(u32);

/// The labels of one alert, by slot.
pub(super) struct Found<'f> {
    labels: &'f Labels<'f>,
    common: &'f [(Slot, &'f str)],
    places: &'f [Place],
}

impl<'f> Found<'f> {
    pub(super) fn look_up(
        labels: &'f Labels<'f>,
        common: &'f [(Slot, &'f str)],
        names: &Names,
        places: &'f mut [Place],
    ) -> Result<Self, Rejection> {
        if labels.len() > MAX_LABELS {
            return Err(Rejection::TooManyLabels { labels: labels.len() });
        }
        places.fill(Place::default());
        let mut position = 0;
        for (name, _) in labels {
            position += 1;
            if let Some(slot) = names.find(name) {
                places[usize::from(slot.0)] = Place(position);
            }
        }
        let own = position;
        for (slot, _) in common {
            position += 1;
            let place = &mut places[usize::from(slot.0)];
            // The alert's own label wins, also an empty one; of two common ones the last.
            if place.0 == 0 || place.0 > own {
                *place = Place(position);
            }
        }
        Ok(Self { labels, common, places })
    }

    /// The value; empty where there is none, for empty values do not count.
    pub(super) fn get(&self, slot: Slot) -> &'f str {
        let Some(position) = (self.places[usize::from(slot.0)].0 as usize).checked_sub(1) else { return "" };
        match self.labels.get(position) {
            Some((_, value)) => value,
            None => self.common[position - self.labels.len()].1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn own_labels_win_over_common_ones_and_the_last_of_two_counts() {
        let mut names = Names::default();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| names.slot(name));
        assert_eq!(names.slot("a"), a);
        let labels = [("a", "1"), ("x", "9"), ("b", ""), ("a", "2")]
            .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
        let common = [(b, "common b"), (c, "old"), (c, "new")];
        let mut places = vec![Place::default(); names.len()];
        let found = Found::look_up(&labels, &common, &names, &mut places).unwrap();
        assert_eq!([a, b, c, d].map(|slot| found.get(slot)), ["2", "", "new", ""]);
    }
}
