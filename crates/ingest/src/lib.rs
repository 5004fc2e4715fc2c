//! The way into Seawall.
//!
//! Takes what senders post, says at once what became of it, and lets everybody look at what there is. Takes what a cluster
//! reports, too, where nobody posts it. It must never decide
//! anything itself, acknowledge what the store has not made durable, hold a large body whole, or let one connection keep
//! the others waiting.
//!
//! ```text
//! accept loop ─► [TLS] ─► connection (timeouts) ─► layer (request id, limits, problems, headers, metrics) ─► auth ─► route
//!   signals: body within limits ─► adapter ─► StateStore::decide ─► answer
//!   reads:   StateStore ─► pages, streams, explanations
//! watch of Kubernetes events ─► adapter ─► StateStore::decide ─► checkpoint
//! ```

pub mod adapters;
mod audit;
mod auth;
mod body;
mod detach;
mod edge;
mod events;
mod freshness;
mod health;
mod layer;
mod openapi;
mod peer;
mod places;
mod problem;
mod query;
mod rate;
mod reads;
mod router;
mod serve;
mod settings;
mod signals;
mod tls;
mod turns;

pub use audit::{AuditLog, AuditSettings};
pub use auth::{
    Authenticator, CredentialDigest, CredentialError, Grants, Identities, Identity, IdentityEntry,
    NamespacePattern, PasswordHash, ReviewSettings, Reviewer, Right, new_token, read_authorization,
};
pub use edge::Edge;
pub use events::{EventSettings, follow_events};
pub use freshness::Freshness;
pub use layer::with_edge_layers;
pub use openapi::openapi_json;
pub use problem::Problem;
pub use rate::RateSettings;
pub use router::{operations_router, router};
pub use serve::{DrainReport, serve};
pub use settings::{EdgeSettings, Limits, Timeouts};
pub use tls::{Tls, TlsError, TlsFiles};
