//! Who is asking, and what they may do.
//!
//! The Kubernetes API server is asked both: whose a bearer token is, and whether its owner has the right. Answers are kept
//! for a short while. It must never let anybody in because a question failed, believe what a token says about itself,
//! or show a token to anybody but the API server.
//!
//! ```text
//! Authorization ─► gate ─► Reviewer::identify ─ TokenReview ─► Identity, for the route, the limits and the logs
//! route ─► Caller::require, Caller::forbidden ─ SubjectAccessReview per namespace ─► go on, 403 or 503
//! ```

mod api;
mod caller;
mod denial;
mod gate;
mod identity;
mod reviewer;
mod right;
mod token;

pub use identity::Identity;
pub use reviewer::{ReviewSettings, Reviewer};

pub(crate) use caller::{Caller, Forbidden};
pub(crate) use denial::{Denial, not_allowed};
pub(crate) use gate::{Entry, OPEN, identify, look};
pub(crate) use right::Right;
pub(crate) use token::BearerToken;
