//! What a refusal of the API server means. Told apart by reason and causes, never by text.

use std::time::Duration;

use http::StatusCode;
use kube::Error;
use kube::core::Status;

/// What went wrong, so that callers can branch on it and metrics can count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiFailure {
    /// The name is taken.
    AlreadyExists,
    /// Somebody else changed the object since it was read, or it is not the object that was read.
    Conflict,
    /// Another field manager owns what was to be changed.
    ForeignManager,
    NotFound,
    /// The server does not know the kind of the object: its definition is not installed.
    KindMissing,
    NamespaceMissing,
    NamespaceTerminating,
    /// The credentials are not accepted.
    Unauthorized,
    /// The credentials are accepted and do not suffice, or a quota or another admission rule says no. The server gives all of
    /// them the same reason and no cause; its words are passed on.
    Forbidden,
    /// The object is not what the schema or a rule demands.
    Invalid,
    /// The watch or list has to start again.
    Expired,
    /// The server asks to come more slowly.
    Throttled,
    /// An answer that says that the server, or something behind it, is not well.
    ServerError,
    /// The server was not reached: nothing was done.
    Unreachable,
    /// The connection broke or time ran out after something may have been sent: it may have been done.
    Ambiguous,
    /// An answer that cannot be understood.
    Protocol,
}

impl ApiFailure {
    /// As metrics and logs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::ForeignManager => "foreign_manager",
            Self::NotFound => "not_found",
            Self::KindMissing => "kind_missing",
            Self::NamespaceMissing => "namespace_missing",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Throttled => "throttled",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::Ambiguous => "ambiguous",
            Self::Protocol => "protocol",
        }
    }

    /// Whether it says that the server is down, rather than something about the call.
    pub const fn is_outage(self) -> bool {
        matches!(self, Self::ServerError | Self::Unreachable | Self::Ambiguous)
    }
}

/// A call to the API server that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ApiError {
    pub class: ApiFailure,
    /// What the server or the connection said, for people who operate Seawall.
    pub reason: String,
    /// When the server asks to come again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    pub fn new(class: ApiFailure, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), retry_after: None }
    }

    /// A refusal without a reason, from something before the server or from its outermost layer.
    pub(crate) fn of_code(code: StatusCode, said: &str) -> Self {
        let said = if said.is_empty() { "no reason given" } else { said };
        Self::new(class_of_code(code.as_u16()), format!("{said} ({code})"))
    }

    /// The call was sent and not answered in time.
    pub fn timed_out(within: Duration) -> Self {
        Self::new(ApiFailure::Ambiguous, format!("no answer within {within:?}"))
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => Self::from(*status),
            Error::Service(source) => {
                let class = match was_never_connected(source.as_ref()) {
                    true => ApiFailure::Unreachable,
                    false => ApiFailure::Ambiguous,
                };
                Self::new(class, with_causes(source.as_ref()))
            }
            Error::Auth(source) => Self::new(ApiFailure::Unauthorized, with_causes(&source)),
            Error::HyperError(source) => Self::new(ApiFailure::Ambiguous, with_causes(&source)),
            Error::ReadEvents(source) => Self::new(ApiFailure::Ambiguous, with_causes(&source)),
            other => Self::new(ApiFailure::Protocol, with_causes(&other)),
        }
    }
}

impl From<kube::core::request::Error> for ApiError {
    fn from(error: kube::core::request::Error) -> Self {
        Self::new(ApiFailure::Protocol, with_causes(&error))
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let details = status.details.as_ref();
        let seconds = details.map_or(0, |details| details.retry_after_seconds);
        let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        Self { class: class_of(&status), reason: status.message, retry_after }
    }
}

fn class_of(status: &Status) -> ApiFailure {
    let details = status.details.as_ref();
    let has_cause = |reason: &str| {
        details.is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
    };
    let kind = details.map_or("", |details| details.kind.as_str());
    match status.reason.as_str() {
        "AlreadyExists" => ApiFailure::AlreadyExists,
        "Conflict" if has_cause("FieldManagerConflict") => ApiFailure::ForeignManager,
        "Conflict" => ApiFailure::Conflict,
        "NotFound" if kind == "namespaces" => ApiFailure::NamespaceMissing,
        // Whoever asks for an object that is not there is told its name.
        "NotFound" if details.is_none_or(|details| details.name.is_empty()) => ApiFailure::KindMissing,
        "NotFound" => ApiFailure::NotFound,
        "Forbidden" if has_cause("NamespaceTerminating") => ApiFailure::NamespaceTerminating,
        "Forbidden" => ApiFailure::Forbidden,
        "Unauthorized" => ApiFailure::Unauthorized,
        "Invalid" | "BadRequest" | "RequestEntityTooLarge" | "UnsupportedMediaType" => ApiFailure::Invalid,
        "Expired" | "Gone" => ApiFailure::Expired,
        "TooManyRequests" => ApiFailure::Throttled,
        // The server answered, and does not say whether it did what it was asked.
        "Timeout" | "ServerTimeout" | "InternalError" | "ServiceUnavailable" => ApiFailure::ServerError,
        _ => class_of_code(status.code),
    }
}

/// Proxies before the server and old servers give no reason.
fn class_of_code(code: u16) -> ApiFailure {
    match StatusCode::from_u16(code) {
        Ok(StatusCode::UNAUTHORIZED) => ApiFailure::Unauthorized,
        Ok(StatusCode::FORBIDDEN) => ApiFailure::Forbidden,
        // For an object that is not there the server would give a reason.
        Ok(StatusCode::NOT_FOUND) => ApiFailure::KindMissing,
        Ok(StatusCode::CONFLICT) => ApiFailure::Conflict,
        Ok(StatusCode::GONE) => ApiFailure::Expired,
        Ok(StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST) => ApiFailure::Invalid,
        Ok(StatusCode::TOO_MANY_REQUESTS) => ApiFailure::Throttled,
        Ok(code) if code.is_server_error() => ApiFailure::ServerError,
        _ => ApiFailure::Protocol,
    }
}

/// Whether the connection did not come about, so that nothing can have been sent.
fn was_never_connected(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        cause = error.source();
    }
    false
}

/// The outermost message says least.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
