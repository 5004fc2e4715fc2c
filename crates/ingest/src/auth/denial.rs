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
    #[error("the user name or the password is not accepted")]
    WrongPassword,
    #[error("nobody has a name of the certificate")]
    Stranger,
    #[error("the review has no answer")]
    Unavailable { retry_after: Option<Duration> },
    #[error("too many credentials wait to be checked")]
    Saturated,
    #[error("more namespaces than are reviewed for one body")]
    TooManyNamespaces { limit: usize, received: usize },
}

/// After this a sender may ask again when the API server does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const BEARER: &str = "Bearer";
const BASIC: &str = r#"Basic realm="seawall", charset="UTF-8""#;

impl Denial {
    /// The answer, where `tokens` and `passwords` say what may be shown. A client certificate has no challenge of its own.
    pub(super) fn into_problem(self, tokens: bool, passwords: bool) -> Problem {
        let challenges: &[&str] = match (tokens, passwords) {
            (true, true) => &[BEARER, BASIC],
            (false, true) => &[BASIC],
            // One has to be named.
            (true, false) | (false, false) => &[BEARER],
        };
        let unauthenticated = |detail| {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Not authenticated", detail)
                .challenging(challenges)
        };
        match self {
            Self::Missing => unauthenticated(match (tokens, passwords) {
                (true, true) => {
                    "a bearer token or a user name with a password is needed: `Authorization: Bearer …` or \
                     `Authorization: Basic …`"
                }
                (true, false) => "a bearer token is needed: `Authorization: Bearer …`",
                (false, true) => "a user name with a password is needed: `Authorization: Basic …`",
                (false, false) => "a client certificate is needed",
            }),
            Self::Refused => unauthenticated(
                "the bearer token is not accepted; it may have expired or been replaced, or be meant for another audience",
            ),
            Self::WrongPassword => unauthenticated("the user name or the password is not accepted"),
            Self::Stranger => unauthenticated("nobody known here has a name of the client certificate"),
            Self::Unavailable { retry_after } => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "auth-unavailable",
                "Identity cannot be checked",
                "there is no answer to who is asking or what is allowed; nothing was taken, and sending it again is safe",
            )
            .retry_after(retry_after.unwrap_or(RETRY_AFTER)),
            Self::Saturated => Problem::saturated("more tokens or passwords than allowed wait to be checked"),
            Self::TooManyNamespaces { limit, received } => {
                Problem::too_large("the number of namespaces in one body", limit as u64)
                    .with("received", received)
            }
        }
    }
}

/// Where nobody is being let in any more, so that there is no telling how they could be.
impl From<Denial> for Problem {
    fn from(denial: Denial) -> Self {
        denial.into_problem(true, false)
    }
}

/// The sentence for somebody who lacks a right, who is told no more than what was asked for. An empty `namespace` stands
/// for all.
pub(crate) fn not_allowed(identity: &Identity, right: Right, namespace: &str) -> String {
    let user = identity.user();
    let may = match identity.grants() {
        None => right.in_the_cluster(),
        // Nowhere; another namespace would not help.
        Some(grants) if !grants.has(right) => return format!("`{user}` may not {}", right.in_the_file()),
        Some(_) => right.in_the_file(),
    };
    match namespace {
        "" => format!("`{user}` may not {may} in all namespaces; name one"),
        namespace => format!("`{user}` may not {may} in namespace `{namespace}`"),
    }
}
