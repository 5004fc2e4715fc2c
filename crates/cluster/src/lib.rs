//! Reaching the Kubernetes API: who we are there, the client, and what its refusals mean.
//!
//! Everything that speaks to the API server uses this client and these error classes. The crate must never decide what
//! to do about a failure: whoever called knows what the call was for. The one exception is a lease, where what a failure
//! means is what a lease is about.
//!
//! ```text
//! service account, else KUBECONFIG ─► connect ─► Cluster { client, namespace }
//! call ─► answer within its deadline, or ApiError
//! kube::Error ─► ApiError { class, reason, retry_after }
//! Candidate ─► free? ─► HeldLease: renewed, with notes for the next holder ─► lost, or released
//! ```

mod call;
mod connect;
mod error;
mod lease;

pub use call::call;
pub use connect::{Cluster, ConnectError, is_inside};
pub use error::{ApiError, ApiFailure};
pub use lease::{Candidate, HeldLease, LeaseTerms, Notes};
