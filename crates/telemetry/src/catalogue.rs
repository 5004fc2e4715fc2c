//! All metric families: what each is called, what its labels are and what it means.
//!
//! What is registered, the reference for people, the alert rules and the dashboard take names from here, so none of them
//! can speak of a family that there is not.

use std::fmt;

/// What every name begins with.
pub(crate) const PREFIX: &str = "seawall";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    /// A gauge that is always 1 and tells by its labels.
    Info,
}

impl FamilyKind {
    /// What the text format appends to the name.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }

    /// What the text format calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label, and what it can be where that is a fixed set; nothing where the configuration or a route names it.
#[derive(Clone, Copy, Debug)]
pub struct LabelDescription {
    pub name: &'static str,
    pub values: &'static [&'static str],
}

/// One metric family. Displayed as the name that a query uses.
#[derive(Clone, Copy, Debug)]
pub struct FamilyDescription {
    /// Without the prefix, and without what its kind appends.
    pub(crate) stem: &'static str,
    pub kind: FamilyKind,
    pub labels: &'static [LabelDescription],
    /// One sentence, without its full stop.
    pub help: &'static str,
}

impl FamilyDescription {
    /// What is counted or measured in.
    pub fn unit(&self) -> &'static str {
        match self.stem {
            stem if stem.ends_with("_seconds") => "seconds",
            _ => "",
        }
    }

    pub(crate) fn sentence(&self) -> String {
        format!("{}.", self.help)
    }
}

impl fmt::Display for FamilyDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}_{}{}", self.stem, self.kind.suffix())
    }
}

const fn fixed(name: &'static str, values: &'static [&'static str]) -> LabelDescription {
    LabelDescription { name, values }
}

const fn open(name: &'static str) -> LabelDescription {
    LabelDescription { name, values: &[] }
}

const SOURCE: LabelDescription = fixed("source", &["alertmanager", "prometheus", "kubernetes-event"]);
const RULE: LabelDescription = open("rule");
const STORE: LabelDescription = fixed("store", &["embedded", "redis"]);
const SINK: LabelDescription = fixed("sink", &["store", "kubernetes"]);
const ROUTE: LabelDescription = open("route");
const AUTH_METHOD: LabelDescription = fixed(
    "method",
    &["access_review", "basic", "certificate", "static_access", "static_bearer", "token_review"],
);

/// Failures of a state store.
const STORE_CLASSES: LabelDescription = fixed(
    "class",
    &[
        "closed",
        "cluster_down",
        "denied",
        "disk",
        "incomplete",
        "loading",
        "not_replicated",
        "out_of_memory",
        "protocol",
        "read_only",
        "refused",
        "reset",
        "saturated",
        "superseded",
        "timeout",
    ],
);

/// Failures of a sink: those of the Kubernetes API, and those of the state store where that is the sink.
const SINK_CLASSES: LabelDescription = fixed(
    "class",
    &[
        "already_exists",
        "ambiguous",
        "closed",
        "cluster_down",
        "conflict",
        "denied",
        "disk",
        "expired",
        "forbidden",
        "foreign_manager",
        "incomplete",
        "invalid",
        "kind_missing",
        "loading",
        "name_taken",
        "namespace_missing",
        "namespace_terminating",
        "not_found",
        "not_replicated",
        "out_of_memory",
        "protocol",
        "read_only",
        "refused",
        "reset",
        "saturated",
        "server_error",
        "superseded",
        "throttled",
        "timeout",
        "unauthorized",
        "unreachable",
    ],
);

const REASONS: LabelDescription = fixed(
    "reason",
    &[
        "forbidden",
        "internal",
        "left_out_by_sender",
        "malformed",
        "media_type",
        "no_name",
        "no_object",
        "no_reason",
        "not_durable",
        "not_fresh",
        "not_reviewed",
        "rate_limited",
        "timeout",
        "too_large",
        "too_long",
        "too_many_labels",
        "too_many_occurrences",
    ],
);

/// Declares the families, each as a constant, and all of them in their order.
macro_rules! families {
    ($($name:ident = $kind:ident $stem:literal [$($label:expr),*] $help:literal;)*) => {
        $(pub const $name: FamilyDescription = FamilyDescription {
            stem: $stem,
            kind: FamilyKind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// All families, in the order of their reference.
        pub const FAMILIES: &[FamilyDescription] = &[$($name),*];
    };
}

families! {
    SIGNALS_RECEIVED = Counter "signals_received" [SOURCE, fixed("severity", &["critical", "warning", "info"])]
        "Valid signals received";
    DECISIONS = Counter "decisions"
        [SOURCE, fixed("decision", &["created", "accepted", "duplicate", "aggregated", "resolved", "suppressed", "rejected"])]
        "What became of the signals";
    SIGNALS_REJECTED = Counter "signals_rejected" [SOURCE, REASONS]
        "Signals and bodies that were not taken";
    INCIDENTS_OPEN = Gauge "incidents_open" [] "Incidents that are open";
    STORMS_STARTED = Counter "storms_started" [RULE] "Storms opened";
    STORMS_OPEN = Gauge "storms_open" [RULE] "Storms that are open";
    STORM_MEMBERS = Counter "storm_members" [RULE] "Fingerprints that joined a storm";
    REQUESTS_OPEN = Gauge "requests_open" [] "Requests that no worker has finished";
    REQUESTS_AVOIDED = Counter "requests_avoided" []
        "Firing signals that did not become a request of their own";
    REQUESTS_PUBLISHED = Counter "requests_published" [fixed("outcome", &["created", "updated", "deleted"])]
        "Requests that came to exist, were updated or were deleted in the sink";
    PUBLISH_PENDING = Gauge "publish_pending" [] "Requests that are decided but not in the sink yet";
    PUBLISH_OLDEST_PENDING = Gauge "publish_oldest_pending_seconds" []
        "How long the oldest pending request has been due";
    PUBLISH_DURATION = Histogram "publish_duration_seconds"
        [SINK, fixed("verb", &["commit", "create", "update"])]
        "Duration of writes to the sink";
    PUBLISH_ERRORS = Counter "publish_errors" [SINK, SINK_CLASSES] "Failed writes to the sink";
    STATE_AVAILABLE = Gauge "state_available" [STORE] "1 while the state store makes decisions durable";
    STATE_OUTAGES = Counter "state_outages" [STORE] "Times the state store became unavailable";
    STATE_OUTAGE_SECONDS = Counter "state_outage_seconds" [STORE] "Time the state store was unavailable";
    STATE_LOSSES = Counter "state_losses" [STORE]
        "Times the state store was found empty where there had been state";
    STATE_ERRORS = Counter "state_errors" [STORE, STORE_CLASSES] "Failed calls to the state store";
    STATE_OPERATION_DURATION = Histogram "state_operation_duration_seconds"
        [STORE, fixed("operation", &["decide", "read", "patch_status"])]
        "Duration of calls to the state store";
    HTTP_REQUESTS = Counter "http_requests" [ROUTE, open("method"), open("status")] "HTTP requests answered";
    HTTP_REQUEST_DURATION = Histogram "http_request_duration_seconds" [ROUTE]
        "Time from the end of the headers to the answer";
    HTTP_IN_FLIGHT = Gauge "http_requests_in_flight" [] "HTTP requests being answered";
    RATE_LIMITED = Counter "rate_limited" [fixed("scope", &["client", "identity"])]
        "Requests that were refused because their sender sends too many";
    AUTH = Counter "auth" [AUTH_METHOD, fixed("outcome", &["allowed", "denied", "missing", "unavailable"])]
        "Checks of who is asking and what they may do";
    AUTH_DURATION = Histogram "auth_duration_seconds" [AUTH_METHOD]
        "Duration of the reviews that checks needed; remembered answers need none";
    KUBE_API_DURATION = Histogram "kube_api_duration_seconds"
        [fixed("verb", &["apply", "create", "get", "list"])]
        "Duration of calls to the Kubernetes API about requests, who is asking and events";
    KUBERNETES_EVENTS_WATCHED = Gauge "kubernetes_events_watched" []
        "1 while this replica watches Kubernetes events; shown only where they are a source";
    POLICY_EVALUATIONS = Counter "policy_evaluations"
        [
            fixed("policy", &["environment", "priority", "path"]),
            fixed("outcome", &["ok", "undefined", "invalid", "error", "timeout", "resting"])
        ]
        "Evaluations of classification policies";
    CONFIG_RELOADS = Counter "config_reloads" [fixed("outcome", &["success", "failure"])]
        "Reloads of the configuration";
    CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge "config_last_reload_successful" []
        "1 unless the last reload of the configuration was refused";
    TLS_CERTIFICATE_NOT_AFTER = Gauge "tls_certificate_not_after_seconds" []
        "Until when the certificate that is served is valid, as Unix time";
    BUILD = Info "build" [open("version")] "The version that runs";
}
