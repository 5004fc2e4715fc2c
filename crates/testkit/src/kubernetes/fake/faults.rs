//! What goes wrong, and when.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a request is, as the API server's own metrics call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Get,
    List,
    Watch,
    /// Server-side apply.
    Apply,
    /// A merge patch.
    Patch,
    /// A `PUT`.
    Update,
    Delete,
}

impl Verb {
    /// Everything that changes something.
    pub const WRITES: [Self; 4] = [Self::Apply, Self::Patch, Self::Update, Self::Delete];

    /// Everything.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::List, Self::Watch, Self::Apply, Self::Patch, Self::Update, Self::Delete];
}

/// Whether what was asked for is done although it is not answered as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    BeforeCommit,
    AfterCommit,
}

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 409, as for a stale resource version.
    Conflict,
    /// 429 with `Retry-After`, in whole seconds.
    Throttle { retry_after: Duration },
    /// A refusal with this code, reason and message, such as 403, `Forbidden`, `exceeded quota`.
    Refuse { code: u16, reason: String, message: String },
    /// An answer of the 5xx.
    Fail { code: u16, moment: Moment },
    /// The connection is reset instead of an answer.
    Reset { moment: Moment },
    /// No answer ever comes.
    Hang { moment: Moment },
    /// The answer takes this long.
    Slow(Duration),
}

impl Fault {
    pub(super) const fn moment(&self) -> Moment {
        match self {
            Self::Conflict | Self::Throttle { .. } | Self::Refuse { .. } => Moment::BeforeCommit,
            Self::Fail { moment, .. } | Self::Reset { moment } | Self::Hang { moment } => *moment,
            Self::Slow(_) => Moment::AfterCommit,
        }
    }
}

#[derive(Debug)]
struct Planned {
    verbs: Vec<Verb>,
    /// Requests that are to pass first.
    pass: usize,
    /// Whether it stays after it has happened.
    stays: bool,
    fault: Fault,
}

/// What is still to go wrong, and what was asked so far.
#[derive(Debug, Default)]
pub(super) struct Plan {
    planned: Vec<Planned>,
    counts: BTreeMap<Verb, u64>,
}

impl Plan {
    pub(super) fn add(&mut self, verbs: &[Verb], pass: usize, stays: bool, fault: Fault) {
        self.planned.push(Planned { verbs: verbs.to_vec(), pass, stays, fault });
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    pub(super) fn count(&self, verb: Verb) -> u64 {
        self.counts.get(&verb).copied().unwrap_or_default()
    }

    /// Counts a request, and says what goes wrong with it. Every plan that is about it comes nearer, and the first that
    /// has come happens.
    pub(super) fn next(&mut self, verb: Verb) -> Option<Fault> {
        *self.counts.entry(verb).or_default() += 1;
        let mut happens = None;
        for (index, planned) in self.planned.iter_mut().enumerate() {
            if !planned.verbs.contains(&verb) {
                continue;
            }
            match planned.pass {
                0 if happens.is_none() => happens = Some(index),
                0 => {}
                _ => planned.pass -= 1,
            }
        }
        let index = happens?;
        match self.planned[index].stays {
            true => Some(self.planned[index].fault.clone()),
            false => Some(self.planned.remove(index).fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_happens_once_at_its_request_and_what_stays_stays() {
        let mut plan = Plan::default();
        let reset = Fault::Reset { moment: Moment::AfterCommit };
        plan.add(&[Verb::Apply], 1, false, Fault::Conflict);
        plan.add(&[Verb::Get], 0, true, reset.clone());
        let happened: Vec<_> = (0..3).map(|_| plan.next(Verb::Apply)).collect();
        assert_eq!(happened, [None, Some(Fault::Conflict), None]);
        assert_eq!([plan.next(Verb::Get), plan.next(Verb::Get)], [Some(reset.clone()), Some(reset)]);
        plan.clear();
        assert_eq!(plan.next(Verb::Get), None);
        assert_eq!((plan.count(Verb::Apply), plan.count(Verb::Get), plan.count(Verb::List)), (3, 3, 0));
    }
}
