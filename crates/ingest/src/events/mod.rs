//! Kubernetes events as a source of their own: the replica that holds a lease watches them, and decides what they say.
//!
//! ```text
//! lease ─► where its last holder was ─► list as of then: what was counted ─► watch from there
//!                                                                              │ batch of what is ready
//!   news of an event: its count less the count that was decided ◄──────────────┘
//!   └─► adapter ─► that many occurrences, in turns ─► StateStore::decide ─► checkpoint ─► lease
//! ```
//!
//! Nobody sends a watched event again, so nothing may be skipped: what the store does not take now is tried until it does,
//! and nothing is read meanwhile. The checkpoint, kept in the lease for whoever holds it next, moves only over what is
//! durable. So a hand-over loses nothing, and counts twice what was decided after the checkpoint was last written.

mod api;
mod checkpoint;
mod counts;
mod follower;
mod occurrences;
mod sighting;
mod status;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use seawall_cluster::{ApiError, Candidate, Cluster, HeldLease, LeaseTerms, Notes};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use status::{EventsState, EventsStatus};

use crate::edge::Edge;
use api::EventsApi;
use follower::Follower;

const LEASE: &str = "seawall-kubernetes-events";

/// How events are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSettings {
    /// For how long a replica that is not heard of keeps the others waiting. Whole seconds, and at least
    /// [`EventSettings::SHORTEST`].
    pub lease: Duration,
}

impl EventSettings {
    /// A renewal has a sixth of the lease to be answered in.
    pub const SHORTEST: Duration = Duration::from_secs(3);
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { lease: Duration::from_secs(15) }
    }
}

/// Watches events whenever no other replica does, until `stop`. The store must be open until this returns.
pub async fn follow_events(
    cluster: Cluster,
    edge: Arc<Edge>,
    settings: EventSettings,
    stop: CancellationToken,
) {
    let terms = LeaseTerms { name: LEASE, holder: replica(), lasts: settings.lease };
    let mut candidate = Candidate::new(&cluster, terms, edge.clock());
    let mut follower = Follower::new(edge.clone(), EventsApi::new(cluster.client, edge.metrics().clone()));
    let mut failing = false;
    loop {
        match stop.run_until_cancelled(candidate.attempt()).await {
            None => return,
            Some(Ok(Some(held))) => {
                failing = false;
                // Boxed, because it is much larger than what waits for the lease.
                Box::pin(hold(held, &mut follower, &edge, &stop)).await;
            }
            Some(Ok(None)) => {
                failing = false;
                edge.events().set(EventsState::Elsewhere);
            }
            Some(Err(error)) => complain(&edge, &error, std::mem::replace(&mut failing, true)),
        }
        if stop.run_until_cancelled(sleep(candidate.every())).await.is_none() {
            return;
        }
    }
}

fn complain(edge: &Edge, error: &ApiError, known: bool) {
    if !known {
        let class = error.class.as_str();
        tracing::warn!(%error, class, "the lease of the Kubernetes events cannot be taken; nobody may be watching");
    }
    edge.events().set(EventsState::Failing(format!("the lease cannot be taken: {error}")));
}

/// Does the work of the holder until the lease is lost or the server stops.
async fn hold(mut held: HeldLease, follower: &mut Follower, edge: &Edge, stop: &CancellationToken) {
    tracing::info!("this replica watches Kubernetes events");
    let (noted, mut notes) = watch::channel(Notes::new());
    // What has begun ends by itself, so that what is durable is also noted.
    let session = stop.child_token();
    let found = held.notes();
    let begun = !held.was_ours();
    let mut work = Box::pin(follower.run(&found, begun, &noted, &session));
    let lost = tokio::select! {
        () = &mut work => None,
        error = held.keep(&mut notes) => Some(error),
    };
    match lost {
        None => {
            let last = notes.borrow().clone();
            if let Err(error) = held.release(&last).await {
                tracing::warn!(%error, "the lease of the Kubernetes events runs out by itself");
            }
        }
        Some(error) => {
            session.cancel();
            work.await;
            let class = error.class.as_str();
            tracing::warn!(%error, class, "this replica does not watch Kubernetes events any more");
            edge.events().set(EventsState::Failing(format!("the lease was lost: {error}")));
        }
    }
}

/// Where it runs, for people, and something that no other process has.
fn replica() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "seawall".to_owned());
    // Names need to differ, not to be secret.
    format!("{host}-{:016x}", RandomState::new().build_hasher().finish())
}
