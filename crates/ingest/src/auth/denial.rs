//! Why somebody is not let through.

use std::time::Duration;

use http::StatusCode;

use super::{Identity, Right};
use crate::problem::Problem;

/// Whoever gets one of these does not get on; there is no way from here to "yes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("nobody says who is asking")]
    Missing,
    #[error("the token is not accepted")]
    Refused,
    #[error("the review has no answer")]
    Unavailable { retry_after: Option<Duration> },
    #[error("too many tokens wait for their review")]
    Saturated,
    #[error("more namespaces than are reviewed for one body")]
    TooManyNamespaces { limit: usize, received: usize },
}

/// After this a sender may ask again when the API server does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Missing => unauthenticated("a bearer token is needed: `Authorization: Bearer …`"),
            Denial::Refused => unauthenticated(
                "the bearer token is not accepted; it may have expired, or be meant for another audience",
            ),
            Denial::Unavailable { retry_after } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "auth-unavailable",
                "Identity cannot be checked",
                "there is no answer to who is asking or what is allowed; nothing was taken, and sending it again is safe",
            )
            .retry_after(retry_after.unwrap_or(RETRY_AFTER)),
            Denial::Saturated => Self::saturated("more tokens than allowed wait for their review"),
            Denial::TooManyNamespaces { limit, received } => {
                Self::too_large("the number of namespaces in one body", limit as u64).with("received", received)
            }
        }
    }
}

fn unauthenticated(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Not authenticated", detail)
}

/// The sentence for somebody who lacks a right, who is told no more than what was asked for. An empty `namespace` stands
/// for all.
pub(crate) fn not_allowed(identity: &Identity, right: Right, namespace: &str) -> String {
    let (user, may) = (identity.user(), right.phrase());
    match namespace {
        "" => format!("`{user}` may not {may} in all namespaces; name one"),
        namespace => format!("`{user}` may not {may} in namespace `{namespace}`"),
    }
}
