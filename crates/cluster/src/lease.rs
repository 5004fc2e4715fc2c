//! A lease: one replica at a time does what must not be done by two, and leaves notes for the one after it.
//!
//! ```text
//! Candidate::attempt ─► nobody has it, or it has run out ─► HeldLease ─► keep: renew, renew … ─► lost
//!                                                               └─► release
//! ```
//!
//! What can go wrong, and why it does not matter:
//!
//! - **Two want it.** Every write carries the resource version that was read, so the API server refuses all but one.
//! - **Clocks differ.** No time of another machine is compared with ours. A candidate measures by its own monotonic clock how
//!   long the record has stayed as it is, from the moment it saw the record so; the times in it are for people.
//! - **The holder cannot renew.** It counts from the beginning of its last write that succeeded, which is before anybody can
//!   have seen that write, and stops after two thirds of the lease. A candidate waits for the whole lease. The last third is
//!   for what the holder had begun.
//! - **The holder stood still** (a paused machine) and believes that it still holds the lease. Time went on: the first thing
//!   it does is to find that it must stop. Should it get as far as writing, the server refuses that, because the version is
//!   not the one it knows. What it had begun may happen late; whatever is done under a lease must bear being done twice.
//! - **The answer to a write is lost.** The next write is refused as a conflict; then the record is read, and when it still
//!   names us, the lost write was ours, or somebody else touched the record without taking it.
//! - **The holder dies.** Nobody does the work until the lease has run out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff;
use kube::Client;
use kube::api::{GetParams, PostParams};
use seawall_model::Clock;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::{ApiError, ApiFailure, Cluster, call};

/// What a holder wants its successor to know: annotations of the lease.
pub type Notes = BTreeMap<String, String>;

/// The least time between two writes that only bring news for the notes.
const NOTES_EVERY: Duration = Duration::from_secs(1);
/// Before a renewal that failed is tried again; short against any lease.
const AGAIN: Duration = Duration::from_millis(200);

/// Which lease, who wants it, and for how long it is taken.
#[derive(Clone, Debug)]
pub struct LeaseTerms {
    pub name: &'static str,
    /// Another one for every process.
    pub holder: String,
    /// Whole seconds.
    pub lasts: Duration,
}

/// What a lease and its holder share.
struct Place {
    client: Client,
    path: String,
    terms: LeaseTerms,
    clock: Arc<dyn Clock>,
}

impl Place {
    async fn call(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Lease, ApiError> {
        // So that a renewal has time for a second attempt before the holder must stop.
        Ok(call(&self.client, request?, self.terms.lasts / 6).await?.1)
    }

    async fn get(&self) -> Result<Lease, ApiError> {
        let request = kube::core::Request::new(&self.path);
        self.call(request.get(self.terms.name, &GetParams::default())).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, ApiError> {
        let request = kube::core::Request::new(&self.path);
        self.call(request.create(&PostParams::default(), written(lease)?)).await
    }

    /// Refused as a conflict when the record is not the one that was read any more.
    async fn replace(&self, lease: &Lease) -> Result<Lease, ApiError> {
        let request = kube::core::Request::new(&self.path);
        self.call(request.replace(self.terms.name, &PostParams::default(), written(lease)?)).await
    }

    fn now(&self) -> Option<MicroTime> {
        jiff::Timestamp::from_millisecond(self.clock.now().as_millis()).ok().map(MicroTime)
    }

    /// The record with us as its holder from now on.
    fn taken(&self, lease: Lease) -> Lease {
        let before = lease.spec.unwrap_or_default();
        let changes = before.holder_identity.as_deref() != Some(&self.terms.holder);
        let spec = LeaseSpec {
            acquire_time: self.now(),
            renew_time: self.now(),
            holder_identity: Some(self.terms.holder.clone()),
            lease_duration_seconds: i32::try_from(self.terms.lasts.as_secs()).ok(),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(changes)),
            ..before
        };
        Lease { spec: Some(spec), ..lease }
    }
}

fn written(lease: &Lease) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(lease).map_err(|error| ApiError::new(ApiFailure::Protocol, error.to_string()))
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    holder.filter(|holder| !holder.is_empty())
}

/// One who would take the lease.
pub struct Candidate {
    place: Arc<Place>,
    /// The version of the record that was seen last, and since when it is known.
    seen: Option<(String, Instant)>,
}

impl Candidate {
    /// Asks the API server for nothing yet. The lease is in our own namespace.
    pub fn new(cluster: &Cluster, terms: LeaseTerms, clock: Arc<dyn Clock>) -> Self {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", cluster.namespace);
        Self { place: Arc::new(Place { client: cluster.client.clone(), path, terms, clock }), seen: None }
    }

    /// How often to try: often enough that an abandoned lease is not left alone for much longer than it lasts.
    pub fn every(&self) -> Duration {
        self.place.terms.lasts / 10
    }

    /// Looks once, and takes the lease if nobody has it.
    ///
    /// # Errors
    /// When the API server cannot be asked, or refuses.
    pub async fn attempt(&mut self) -> Result<Option<HeldLease>, ApiError> {
        let began = Instant::now();
        let (answer, ours) = match self.place.get().await {
            Ok(lease) => {
                if !self.is_free(&lease) {
                    return Ok(None);
                }
                let ours = holder(&lease) == Some(&self.place.terms.holder);
                (self.place.replace(&self.place.taken(lease)).await, ours)
            }
            Err(error) if error.class == ApiFailure::NotFound => {
                let name = Some(self.place.terms.name.to_owned());
                let lease = Lease { metadata: ObjectMeta { name, ..ObjectMeta::default() }, spec: None };
                (self.place.create(&self.place.taken(lease)).await, false)
            }
            Err(error) => return Err(error),
        };
        match answer {
            Ok(lease) => Ok(Some(HeldLease { place: self.place.clone(), lease, renewed: began, ours })),
            // Somebody else was faster.
            Err(error) if matches!(error.class, ApiFailure::Conflict | ApiFailure::AlreadyExists) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_free(&mut self, lease: &Lease) -> bool {
        let version = lease.metadata.resource_version.as_deref().unwrap_or_default();
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if seen == version => *since,
            _ => {
                self.seen = Some((version.to_owned(), now));
                now
            }
        };
        // As long as its holder thinks that it lasts.
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = seconds.map_or(self.place.terms.lasts, Duration::from_secs);
        // One that names us is one that we could not renew, or whose write was not confirmed.
        holder(lease).is_none_or(|holder| holder == self.place.terms.holder) || now - since >= lasts
    }
}

/// A lease that is ours, for as long as it is kept.
pub struct HeldLease {
    place: Arc<Place>,
    /// As it was written last.
    lease: Lease,
    /// When the last write that succeeded began.
    renewed: Instant,
    ours: bool,
}

impl HeldLease {
    /// Whether it named us before it was taken: nobody else had it since.
    pub const fn was_ours(&self) -> bool {
        self.ours
    }

    /// What was noted last, by whomever.
    pub fn notes(&self) -> Notes {
        self.lease.metadata.annotations.clone().unwrap_or_default()
    }

    /// Renews the lease and writes what is in `notes`, until that is not possible any more; says why not. What is done under
    /// the lease must stop then.
    pub async fn keep(&mut self, notes: &mut watch::Receiver<Notes>) -> ApiError {
        loop {
            let (renewal, news) = (self.renewed + self.place.terms.lasts / 3, self.renewed + NOTES_EVERY);
            let has_news = async {
                sleep_until(news).await;
                if notes.changed().await.is_err() {
                    // Nobody will write any.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = sleep_until(renewal) => {}
                () = has_news => {}
            }
            let current = notes.borrow_and_update().clone();
            if let Err(error) = self.renew(&current).await {
                return error;
            }
        }
    }

    async fn renew(&mut self, notes: &Notes) -> Result<(), ApiError> {
        let until = self.renewed + self.place.terms.lasts * 2 / 3;
        let mut last = None;
        loop {
            // First, because whoever stood still must not write.
            if Instant::now() >= until {
                return Err(last.unwrap_or_else(|| ApiError::timed_out(self.place.terms.lasts * 2 / 3)));
            }
            match timeout_at(until, self.write(notes, true)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if error.class == ApiFailure::Conflict => return Err(error),
                Ok(Err(error)) => {
                    tracing::debug!(%error, lease = self.place.terms.name, "the lease is not renewed yet");
                    last = Some(error);
                    sleep(AGAIN).await;
                }
                Err(_) => {}
            }
        }
    }

    /// A conflict means that the lease is somebody else's.
    async fn write(&mut self, notes: &Notes, holding: bool) -> Result<(), ApiError> {
        let began = Instant::now();
        let mut lease = self.lease.clone();
        lease.metadata.managed_fields = None;
        lease.metadata.annotations.get_or_insert_default().extend(notes.clone());
        let spec = lease.spec.get_or_insert_default();
        spec.renew_time = self.place.now();
        spec.holder_identity = holding.then(|| self.place.terms.holder.clone());
        match self.place.replace(&lease).await {
            Ok(lease) => {
                self.lease = lease;
                self.renewed = began;
                Ok(())
            }
            Err(error) if error.class == ApiFailure::Conflict => {
                let lease = self.place.get().await?;
                if holder(&lease) != Some(&self.place.terms.holder) {
                    return Err(error);
                }
                self.lease = lease;
                Err(ApiError::new(ApiFailure::Ambiguous, "the record was changed in between"))
            }
            // Somebody deleted it, and whoever comes first makes a new one.
            Err(error) if error.class == ApiFailure::NotFound => {
                Err(ApiError::new(ApiFailure::Conflict, error.reason))
            }
            Err(error) => Err(error),
        }
    }

    /// Lets somebody else have it at once, with the last notes.
    ///
    /// # Errors
    /// When that cannot be written; then the lease runs out.
    pub async fn release(mut self, notes: &Notes) -> Result<(), ApiError> {
        match self.write(notes, false).await {
            Err(error) if error.class == ApiFailure::Ambiguous => self.write(notes, false).await,
            answer => answer,
        }
    }
}
