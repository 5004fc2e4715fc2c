//! Reaching the Kubernetes API: who we are there, the client, and what its refusals mean.
//!
//! Everything that speaks to the API server uses this client and these error classes. The crate must never decide what
//! to do about a failure: whoever called knows what the call was for.
//!
//! ```text
//! service account, else KUBECONFIG ─► connect ─► Cluster { client, namespace }
//! call ─► answer within its deadline, or ApiError
//! kube::Error ─► ApiError { class, reason, retry_after }
//! ```

mod call;
mod connect;
mod error;

pub use call::call;
pub use connect::{Cluster, ConnectError, is_inside};
pub use error::{ApiError, ApiFailure};
