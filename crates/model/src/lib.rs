//! The vocabulary everybody in Seawall speaks.
//!
//! Pure values and pure functions: what a signal is, how a problem is identified, what a decision says, and what
//! the `RemediationRequest` looks like. It must never do I/O, read a clock (except through [`Clock`], which is
//! handed in) or know how state is stored.
//!
//! ```text
//! Signal ──(Policy)──► Decision
//! RequestDoc + RequestState + Status ──build──► RemediationRequest ──read──► the same, when the store has lost them
//! ```

mod classification;
mod clock;
mod decision;
mod fingerprint;
mod name;
mod payload;
mod policy;
mod request;
mod signal;
mod time;

pub use classification::{Priority, RemediationPath, Severity, priority_of, remediation_path_of};
pub use clock::{Clock, ManualClock, Stopwatch, SystemClock};
pub use decision::{Decision, DecisionKind, StormSummary};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use name::{ParseRequestIdError, RequestId, RequestRef, is_dns_label, label_safe, matches_pattern};
pub use payload::{Packer, Payload};
pub use policy::{Field, Policy, StormRule};
pub use request::{
    Affected, AffectedResource, Condition, ConditionStatus, Deduplication, Phase, ReadRequestError,
    RecoveredRequest, RemediationRequest, RemediationRequestSpec, RemediationRequestStatus, RequestDoc,
    RequestState, StormAggregation, StormState, TargetResource, TargetType, TimeoutConfig, build_request,
    crd_yaml, mark, read_request,
};
pub use signal::{Context, Detail, Identity, Signal, SignalType, cut};
pub use time::{Millis, Timestamp};
