//! Who is asking, and what they may do.
//!
//! Two may say so: the identities file, which has hashes of tokens and passwords, names of client certificates, and rights; and
//! the Kubernetes API server, which is asked both whose a token is and whether its owner has the right, and whose answers are
//! kept for a short while. It must never let anybody in because a question failed, believe what a token says about itself, or show
//! a token to anybody but the API server.
//!
//! ```text
//! Authorization, else ─► gate ─► Authenticator ─┬ Roster: what the file says ─ Verifier: passwords, apart from everything
//! client certificate                            └ Reviewer::identify ─ TokenReview        └► Identity, for the route, the
//! route ─► Caller::require, Caller::forbidden ─┬ Grants of the file                          limits and the logs
//!                                              └ Reviewer::allows ─ SubjectAccessReview ─► go on, 403 or 503
//! ```

mod api;
mod authenticator;
mod caller;
mod credential;
mod denial;
mod digest;
mod gate;
mod identities;
mod identity;
mod password;
mod reviewer;
mod right;
mod roster;
mod token;
mod verifier;

pub use authenticator::Authenticator;
pub use credential::read_authorization;
pub use digest::CredentialDigest;
pub use identities::{CredentialError, Grants, Identities, IdentityEntry, NamespacePattern};
pub use identity::Identity;
pub use password::PasswordHash;
pub use reviewer::{ReviewSettings, Reviewer};
pub use right::Right;
pub use token::new_token;

pub(crate) use caller::{Caller, Forbidden};
pub(crate) use credential::Credential;
pub(crate) use denial::{Denial, not_allowed};
pub(crate) use gate::{Entry, OPEN, identify, look};
