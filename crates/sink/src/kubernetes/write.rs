//! Bringing one object up to date.
//!
//! ```text
//! placed before? ── no ──► apply ─────────────┐ namespace missing ─► the fallback one
//!     │ yes                  ▲                ├ taken by another problem ─► the next name
//!     ▼                      │ older          └ written
//!  known? ── no ──► look ────┤
//!     │ yes           ▲      ├ newer, same ─► nothing to do
//!     └─► apply with its uid │ gone ─► deleted by somebody
//!           └── refused ─────┘
//! ```

use compact_str::CompactString;
use moka::future::Cache;
use parking_lot::RwLock;
use seawall_cluster::{ApiError, ApiFailure};
use seawall_model::{RemediationRequest, RequestId, RequestRef};
use seawall_store::{Placement, RequestRecord};
use seawall_telemetry::SinkMetrics;
use serde_json::Value;

use super::api::Objects;
use super::object::{Known, Seen, Verdict, Version, judge, object};
use super::schema::leave_out;

/// Objects whose resource version is remembered; those written or seen last. One that is not among them costs a call more.
const REMEMBERED: u64 = 16_384;
/// Calls for one write before it is left for later. The longest way takes a look and an apply for every name.
const MAX_CALLS: usize = 16;
/// Names that are tried when those before them are taken by other problems.
const MAX_NAMES: u32 = 5;

/// In which namespace requests are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespacePolicy {
    /// In that of the signal; in the fallback namespace when there is none.
    #[default]
    Signal,
    /// All in the fallback namespace.
    Fallback,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Created(Placement),
    Updated(Placement),
    /// It was as it should be, or newer.
    Unchanged(Placement),
    /// It had been published, and somebody deleted it.
    Deleted,
}

/// Writes requests as objects. Whoever calls makes sure that no two calls are about the same request.
pub(crate) struct Writer {
    objects: Objects,
    known: Cache<RequestRef, Known>,
    policy: NamespacePolicy,
    fallback: CompactString,
    metrics: SinkMetrics,
    /// Fields that the installed definition does not know. The server would refuse everything that has one of them.
    left_out: RwLock<Vec<String>>,
}

/// What to do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// See what is there now.
    Look,
    /// Use the fallback namespace.
    Fallback,
    /// Leave it for later.
    Leave,
}

/// What is known while an object is being written.
struct Attempt<'a> {
    record: &'a RequestRecord,
    place: RequestRef,
    known: Option<Known>,
    /// Whether it has been published, so that an object that is not there was deleted.
    placed: bool,
    /// Whether an earlier write may have made it.
    in_doubt: bool,
    names: u32,
}

/// What a look said.
enum Looked {
    Apply,
    Done(Written),
}

impl Writer {
    pub(crate) fn new(
        objects: Objects,
        policy: NamespacePolicy,
        fallback: CompactString,
        metrics: SinkMetrics,
    ) -> Self {
        let known = Cache::new(REMEMBERED);
        Self { objects, known, policy, fallback, metrics, left_out: RwLock::default() }
    }

    pub(crate) const fn objects(&self) -> &Objects {
        &self.objects
    }

    pub(crate) const fn fallback(&self) -> &CompactString {
        &self.fallback
    }

    /// Writes objects without these fields from now on.
    pub(crate) fn leave_out(&self, fields: Vec<String>) {
        *self.left_out.write() = fields;
    }

    /// The object as the server takes it.
    pub(crate) fn written(&self, object: &RemediationRequest) -> Result<Value, ApiError> {
        let unwritable = |error| ApiError::new(ApiFailure::Protocol, format!("unwritable object: {error}"));
        let mut object = serde_json::to_value(object).map_err(unwritable)?;
        self.left_out.read().iter().for_each(|field| leave_out(&mut object, field));
        Ok(object)
    }

    /// Takes note of an object that was seen. Sightings come in any order; the latest counts. Returns whether it shows less
    /// than it once did.
    pub(crate) async fn note(&self, place: &RequestRef, known: Known) -> bool {
        let before = self.known.get(place).await;
        if before.as_ref().is_some_and(|before| known.is_before(before)) {
            return false;
        }
        let is_behind =
            before.is_some_and(|before| before.uid == known.uid && known.version < before.version);
        self.known.insert(place.clone(), known).await;
        is_behind
    }

    pub(crate) async fn forget(&self, place: &RequestRef) {
        self.known.invalidate(place).await;
    }

    /// Whether the object is known to show less than `version`, although the note says that it was written.
    pub(crate) async fn is_behind(&self, placement: &Placement, version: Version) -> bool {
        let Some(place) = place_of(placement) else { return false };
        self.known.get(&place).await.is_some_and(|known| known.version < version)
    }

    /// Makes the object show `record`. `in_doubt` says that an earlier write may have been carried out without an answer.
    pub(crate) async fn write(&self, record: &RequestRecord, in_doubt: bool) -> Result<Written, ApiError> {
        let place = record.placement.as_ref().and_then(place_of);
        let noted = place.is_some();
        let place = place.unwrap_or_else(|| self.target(&record.doc.reference));
        let known = if in_doubt { None } else { self.known.get(&place).await };
        let mut look = known.is_none() && (noted || in_doubt);
        let placed = noted || known.is_some();
        let mut attempt = Attempt { record, place, known, placed, in_doubt, names: 1 };
        let mut refusal = None;
        for _ in 0..MAX_CALLS {
            if look {
                match self.look(&mut attempt, refusal.take()).await? {
                    Looked::Done(written) => return Ok(written),
                    Looked::Apply => look = false,
                }
                continue;
            }
            let error = match self.apply(&attempt).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            let at_fallback = attempt.place.namespace == self.fallback;
            match next(error.class, attempt.known.is_some(), attempt.placed, at_fallback) {
                Next::Leave => return Err(error),
                Next::Look => look = true,
                Next::Fallback => {
                    attempt.place.namespace = self.fallback.clone();
                    attempt.known = self.known.get(&attempt.place).await;
                }
            }
            refusal = Some(error);
        }
        let often = || ApiError::new(ApiFailure::Conflict, "the object changed as often as it was looked at");
        Err(refusal.unwrap_or_else(often))
    }

    fn target(&self, reference: &RequestRef) -> RequestRef {
        let namespace = match self.policy {
            NamespacePolicy::Signal => reference.namespace.clone(),
            NamespacePolicy::Fallback => self.fallback.clone(),
        };
        RequestRef { namespace, id: reference.id }
    }

    async fn apply(&self, attempt: &Attempt<'_>) -> Result<Written, ApiError> {
        let Attempt { record, place, known, .. } = attempt;
        if let Some(known) = known.as_ref().filter(|known| known.version >= Version::of(record)) {
            return Ok(Written::Unchanged(placement(place, known)));
        }
        let object = self.written(&object(record, place, known.as_ref()))?;
        let applied = self.objects.apply(place, &object, false).await;
        let (created, seen) = applied.inspect_err(|error| self.metrics.error(error.class.as_str()))?;
        let now = seen.known();
        let _ = self.note(place, now.clone()).await;
        let placement = placement(place, &now);
        Ok(if created { Written::Created(placement) } else { Written::Updated(placement) })
    }

    /// Reads what is there. `refusal` is why.
    async fn look(&self, attempt: &mut Attempt<'_>, refusal: Option<ApiError>) -> Result<Looked, ApiError> {
        let seen = match self.objects.get(&attempt.place).await {
            Ok(seen) => seen,
            Err(error) if error.class == ApiFailure::NotFound => {
                self.forget(&attempt.place).await;
                attempt.known = None;
                return match refusal {
                    _ if attempt.placed => Ok(Looked::Done(Written::Deleted)),
                    // Nobody is in the way, so it was meant as it was said.
                    Some(refusal) if is_about_content(refusal.class) => Err(refusal),
                    _ => Ok(Looked::Apply),
                };
            }
            Err(error) => {
                self.metrics.error(error.class.as_str());
                return Err(error);
            }
        };
        match judge(&seen, attempt.record) {
            Verdict::Other if attempt.placed => Ok(Looked::Done(Written::Deleted)),
            Verdict::Other => self.next_name(attempt).await.map(|()| Looked::Apply),
            Verdict::Newer | Verdict::Same => {
                let placement = self.seen(&attempt.place, &seen).await;
                let made = attempt.in_doubt && !attempt.placed;
                Ok(Looked::Done(if made {
                    Written::Created(placement)
                } else {
                    Written::Unchanged(placement)
                }))
            }
            Verdict::Older => {
                let known = seen.known();
                self.known.insert(attempt.place.clone(), known.clone()).await;
                attempt.known = Some(known);
                Ok(Looked::Apply)
            }
        }
    }

    async fn seen(&self, place: &RequestRef, seen: &Seen) -> Placement {
        let known = seen.known();
        self.known.insert(place.clone(), known.clone()).await;
        placement(place, &known)
    }

    /// Another problem has the name: two that differ only behind the sixteenth digit, or somebody who uses our names.
    async fn next_name(&self, attempt: &mut Attempt<'_>) -> Result<(), ApiError> {
        self.metrics.error("name_taken");
        tracing::error!(
            request = %attempt.record.doc.reference,
            taken = %attempt.place,
            "the name of a request is taken by an object about another problem; the next one is used"
        );
        if attempt.names >= MAX_NAMES {
            let reason = format!("the {MAX_NAMES} names up to {} are taken by other problems", attempt.place);
            return Err(ApiError::new(ApiFailure::AlreadyExists, reason));
        }
        attempt.names += 1;
        let id = attempt.place.id;
        attempt.place.id = RequestId { generation: id.generation.saturating_add(1), ..id };
        attempt.known = self.known.get(&attempt.place).await;
        Ok(())
    }
}

/// What a refusal of an apply leads to. `known` says that it named the object that was seen, `placed` that it had been
/// published, `at_fallback` that there is no other namespace left.
const fn next(class: ApiFailure, known: bool, placed: bool, at_fallback: bool) -> Next {
    match class {
        ApiFailure::AlreadyExists | ApiFailure::Conflict => Next::Look,
        // Fields that must not change, or that somebody else owns: perhaps it is another problem's object.
        ApiFailure::Invalid | ApiFailure::ForeignManager if !known => Next::Look,
        ApiFailure::NotFound if known => Next::Look,
        ApiFailure::NamespaceMissing | ApiFailure::NamespaceTerminating if placed => Next::Look,
        ApiFailure::NamespaceMissing | ApiFailure::NamespaceTerminating if !at_fallback => Next::Fallback,
        _ => Next::Leave,
    }
}

const fn is_about_content(class: ApiFailure) -> bool {
    matches!(class, ApiFailure::Invalid | ApiFailure::ForeignManager)
}

fn placement(place: &RequestRef, known: &Known) -> Placement {
    Placement {
        namespace: place.namespace.clone(),
        name: place.id.to_string().into(),
        uid: known.uid.as_str().into(),
        sequence: known.version.sequence,
        deleted: false,
    }
}

/// Where a request was published; nothing for a note that does not read as one.
pub(crate) fn place_of(placement: &Placement) -> Option<RequestRef> {
    let id = placement.name.parse().ok()?;
    Some(RequestRef { namespace: placement.namespace.clone(), id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_first_write_lead_to_a_look_or_to_another_place() {
        use ApiFailure::{
            AlreadyExists, Ambiguous, Conflict, Forbidden, ForeignManager, Invalid, KindMissing,
            NamespaceMissing, NamespaceTerminating, NotFound, ServerError, Throttled, Unreachable,
        };
        for class in [AlreadyExists, Conflict, Invalid, ForeignManager] {
            assert_eq!(next(class, false, false, false), Next::Look, "{class:?}");
        }
        for class in [NamespaceMissing, NamespaceTerminating] {
            assert_eq!(next(class, false, false, false), Next::Fallback, "{class:?}");
            assert_eq!(next(class, false, false, true), Next::Leave, "{class:?}");
        }
        for class in [NotFound, KindMissing, Forbidden, Throttled, ServerError, Ambiguous, Unreachable] {
            assert_eq!(next(class, false, false, false), Next::Leave, "{class:?}");
        }
    }

    #[test]
    fn refusals_of_a_later_write_are_looked_at_unless_they_are_about_the_content() {
        use ApiFailure::{
            Conflict, ForeignManager, Invalid, NamespaceMissing, NamespaceTerminating, NotFound,
        };
        for class in [Conflict, NotFound, NamespaceMissing, NamespaceTerminating] {
            assert_eq!(next(class, true, true, false), Next::Look, "{class:?}");
        }
        for class in [Invalid, ForeignManager] {
            assert_eq!(next(class, true, true, false), Next::Leave, "{class:?}");
        }
    }
}
