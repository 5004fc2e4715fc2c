//! How many requests are answered at the same time. The last places are not for a sender that has many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// One in so many places is for senders that hold few, so that one that takes all there are, and keeps them with bodies
/// that never end, keeps nobody else out.
const KEPT: usize = 64;

pub(crate) struct Places {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Of each network that has any; so never more than there are places.
    by_network: HashMap<IpAddr, usize>,
}

/// A request that is being answered, until it is dropped.
#[must_use]
pub(crate) struct Place {
    places: Arc<Places>,
    network: Option<IpAddr>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A place for a request of this network, of nobody in particular inside of this process; nothing when there is none.
    pub(crate) fn take(self: &Arc<Self>, network: Option<IpAddr>) -> Option<Place> {
        let kept = self.most / KEPT;
        let mut taken = self.taken.lock();
        let own = network.and_then(|network| taken.by_network.get(&network)).copied().unwrap_or(0);
        let free = self.most.saturating_sub(taken.all);
        if free == 0 || free <= kept && own >= kept {
            return None;
        }
        taken.all += 1;
        if let Some(network) = network {
            taken.by_network.insert(network, own + 1);
        }
        Some(Place { places: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= 1;
        let Some(network) = self.network else { return };
        if let Some(own) = taken.by_network.get_mut(&network) {
            *own -= 1;
            if *own == 0 {
                taken.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    #[test]
    fn one_sender_may_have_nearly_all_places_and_leaves_some_to_others() {
        let places = Places::new(1024);
        let noisy: Vec<_> = std::iter::from_fn(|| places.take(network(1))).collect();
        assert_eq!(noisy.len(), 1008);
        let quiet: Vec<_> = std::iter::from_fn(|| places.take(network(2))).collect();
        assert_eq!(quiet.len(), 16);
        assert!(places.take(network(3)).is_none(), "there is none left at all");
        drop(quiet);
        assert!(places.take(network(1)).is_none());
        assert!(places.take(network(3)).is_some());
    }

    #[test]
    fn few_places_are_for_whoever_comes() {
        let places = Places::new(2);
        let both = (places.take(network(1)), places.take(network(1)));
        assert!(both.0.is_some() && both.1.is_some());
        assert!(places.take(network(2)).is_none());
        drop(both.0);
        assert!(places.take(network(2)).is_some());
    }

    #[test]
    fn whoever_has_no_request_is_forgotten() {
        let places = Places::new(100);
        let taken: Vec<_> = (0..50).map(|last| places.take(network(last)).unwrap()).collect();
        let inside = places.take(None).unwrap();
        let count = || {
            let taken = places.taken.lock();
            (taken.all, taken.by_network.len())
        };
        assert_eq!(count(), (51, 50));
        drop((taken, inside));
        assert_eq!(count(), (0, 0));
    }
}
