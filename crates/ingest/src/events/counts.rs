//! How often each event was counted, and what a batch of sightings adds.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use seawall_model::Timestamp;

use super::sighting::{EventKey, Sighting};

/// Occurrences that one sighting of an event may bring. Between two sightings of a series lie up to six minutes; more than
/// this is no problem of anybody but a number that somebody wrote, and would keep everybody else's events waiting.
pub(super) const MOST_OF_ONE: u32 = 10_000;

/// The count of every event that the API server still has, as it was decided last. About 50 bytes an event; the API
/// server keeps one for an hour, and says when it is gone.
#[derive(Debug, Default)]
pub(super) struct Counts(HashMap<EventKey, u32>);

impl Counts {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// This was counted by whoever was there before.
    pub(super) fn recall(&mut self, sighting: &Sighting) {
        self.0.insert(sighting.key, sighting.count);
    }

    /// The batch is durable.
    pub(super) fn settle(&mut self, changes: HashMap<EventKey, Option<u32>>) {
        for (key, count) in changes {
            match count {
                Some(count) => self.0.insert(key, count),
                None => self.0.remove(&key),
            };
        }
    }

    /// Forgets what a complete list does not have.
    pub(super) fn keep_only(&mut self, listed: &HashSet<EventKey>) {
        self.0.retain(|key, _| listed.contains(key));
        self.0.shrink_to(listed.len() * 2);
    }
}

/// What has happened since it was last looked.
pub(super) struct News {
    /// The event as somebody would post it.
    pub(super) text: Bytes,
    /// Where it is, for logs.
    pub(super) event: String,
    /// How often it has happened.
    pub(super) times: u32,
    /// How often beyond [`MOST_OF_ONE`], which is not counted.
    pub(super) excess: u32,
    pub(super) is_first: bool,
}

/// Sightings that are decided together. What they change is remembered when they are.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) changes: HashMap<EventKey, Option<u32>>,
    pub(super) news: Vec<News>,
    /// Sightings and deletions in it.
    pub(super) size: usize,
    /// The resource version that is reached with it, when it moves.
    pub(super) version: Option<String>,
}

impl Batch {
    /// What happened last before `since` is none of ours, unless it is known.
    pub(super) fn add(&mut self, counts: &Counts, sighting: &Sighting, since: Option<Timestamp>) {
        self.size += 1;
        let Sighting { key, count, last_seen, .. } = *sighting;
        let before = self.changes.get(&key).copied().unwrap_or_else(|| counts.0.get(&key).copied());
        self.changes.insert(key, Some(count));
        let is_old = || since.is_some_and(|since| last_seen.is_some_and(|last_seen| last_seen < since));
        if before.is_none() && is_old() {
            return;
        }
        let times = count.saturating_sub(before.unwrap_or_default());
        if times == 0 {
            return;
        }
        self.news.push(News {
            text: sighting.text(),
            event: sighting.to_string(),
            times: times.min(MOST_OF_ONE),
            excess: times.saturating_sub(MOST_OF_ONE),
            is_first: before.is_none(),
        });
    }

    pub(super) fn remove(&mut self, sighting: &Sighting) {
        self.size += 1;
        self.changes.insert(sighting.key, None);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(uid: &str, count: u32, last: &str) -> Sighting {
        Sighting::new(json!({"metadata": {"uid": uid}, "eventTime": last, "series": {"count": count}}))
    }

    const EARLY: &str = "2027-01-15T07:00:00Z";
    const LATE: &str = "2027-01-15T08:00:00Z";

    /// What is new in a batch, which is then durable.
    fn decide(counts: &mut Counts, sightings: &[Sighting], since: Option<&str>) -> Vec<u32> {
        let mut batch = Batch::default();
        for sighting in sightings {
            batch.add(counts, sighting, since.and_then(Timestamp::parse));
        }
        counts.settle(batch.changes);
        batch.news.iter().map(|news| news.times).collect()
    }

    #[test]
    fn the_first_sight_counts_whole_and_later_ones_what_was_added() {
        let mut counts = Counts::default();
        let in_one_batch = [seen("a", 3, LATE), seen("b", 1, LATE), seen("a", 5, LATE)];
        assert_eq!(decide(&mut counts, &in_one_batch, None), [3, 1, 2]);
        assert_eq!(decide(&mut counts, &[seen("a", 5, LATE), seen("b", 4, LATE)], None), [3]);
    }

    #[test]
    fn a_count_that_begins_again_is_followed_from_there() {
        let mut counts = Counts::default();
        let sightings = [seen("a", 9, LATE), seen("a", 2, LATE), seen("a", 3, LATE)];
        assert_eq!(decide(&mut counts, &sightings, None), [9, 1]);
    }

    #[test]
    fn what_was_over_before_is_not_taken_until_it_happens_again() {
        let mut counts = Counts::default();
        let sightings = [seen("old", 4, EARLY), seen("new", 2, LATE)];
        assert_eq!(decide(&mut counts, &sightings, Some(LATE)), [2]);
        assert_eq!(decide(&mut counts, &[seen("old", 6, LATE)], None), [2]);
    }

    #[test]
    fn what_was_recalled_is_not_counted_again_and_what_is_gone_is_forgotten() {
        let mut counts = Counts::default();
        counts.recall(&seen("a", 3, EARLY));
        assert_eq!(decide(&mut counts, &[seen("a", 3, EARLY)], None), Vec::<u32>::new());
        let mut batch = Batch::default();
        batch.remove(&seen("a", 3, EARLY));
        counts.settle(batch.changes);
        assert!(counts.0.is_empty());
        counts.recall(&seen("b", 1, EARLY));
        counts.keep_only(&HashSet::new());
        assert!(counts.0.is_empty());
    }

    #[test]
    fn a_number_that_somebody_made_up_does_not_keep_the_others_waiting() {
        let mut batch = Batch::default();
        batch.add(&Counts::default(), &seen("a", u32::MAX, LATE), None);
        assert_eq!((batch.news[0].times, batch.news[0].excess), (MOST_OF_ONE, u32::MAX - MOST_OF_ONE));
    }
}
