//! Every way a call to the server fails, as one of our classes.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError, Value};

use crate::{Failure, StoreError};

/// When a sender may try again; an outage that has been noticed is over sooner or lasts much longer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a cluster node fails a script that comes upon a key which is not (or not any more) in a slot that is being moved.
const NOT_HERE: &str = "Script attempted to access a non local key";

/// Why a call failed.
#[derive(Clone, Debug)]
pub(crate) struct LinkError {
    pub(crate) class: Failure,
    /// For people: which server, what happened.
    pub(crate) reason: String,
    /// The command may have been executed.
    pub(crate) ambiguous: bool,
    pub(super) scope: Scope,
}

/// How much else fails when this call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// This call alone.
    Call,
    /// Every call to this server until something changes there; the connection is still good.
    Server,
    /// As `Server`, and the connection is of no use any more.
    Connection,
}

impl LinkError {
    pub(super) fn new(class: Failure, scope: Scope, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), ambiguous: false, scope }
    }

    /// The same error of a command that had been sent.
    pub(super) fn sent(mut self) -> Self {
        self.ambiguous = true;
        self
    }

    /// The same error of something that came before the command.
    pub(super) fn unsent(mut self) -> Self {
        self.ambiguous = false;
        self
    }

    /// Says where it happened.
    pub(super) fn at(mut self, place: &impl std::fmt::Display) -> Self {
        self.reason = format!("{place}: {}", self.reason);
        self
    }

    pub(super) fn closed() -> Self {
        Self::new(Failure::Closed, Scope::Call, "the store is closed")
    }

    /// No answer before the deadline.
    pub(super) fn late(within: Duration) -> Self {
        Self::new(Failure::Timeout, Scope::Connection, format!("no answer within {within:?}"))
    }

    /// Something that no server of ours should answer.
    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::new(Failure::Protocol, Scope::Call, reason)
    }

    /// The open requests outside have not been taken over yet.
    pub(crate) fn incomplete(reason: impl Into<String>) -> Self {
        Self::new(Failure::Incomplete, Scope::Call, reason)
    }

    /// An answer of the server that is an error.
    pub(super) fn answered(error: &ServerError) -> Self {
        Self::coded(error.code(), error.details().unwrap_or_default())
    }

    fn coded(code: &str, details: &str) -> Self {
        // Redis before 7.0 wraps the error of a command in a script into one of its own.
        let inner = if code == "ERR" { code_within(details).unwrap_or(code) } else { code };
        let (class, scope) = match inner {
            "OOM" => (Failure::OutOfMemory, Scope::Server),
            "MISCONF" | "NOREPLICAS" => (Failure::ReadOnly, Scope::Server),
            // Behind the same name there may be another server by now.
            "READONLY" => (Failure::ReadOnly, Scope::Connection),
            "NOAUTH" | "WRONGPASS" => (Failure::Denied, Scope::Connection),
            "NOPERM" => (Failure::Denied, Scope::Call),
            "BUSY" => (Failure::Timeout, Scope::Server),
            "CLUSTERDOWN" | "MASTERDOWN" => (Failure::ClusterDown, Scope::Server),
            "TRYAGAIN" | "MOVED" | "ASK" => (Failure::ClusterDown, Scope::Call),
            "LOADING" => (Failure::Loading, Scope::Server),
            // The only error of a moving slot that comes without a code of its own.
            "ERR" if details.starts_with(NOT_HERE) => (Failure::ClusterDown, Scope::Call),
            "SEAWALL" if details.starts_with("SUPERSEDED") => (Failure::Superseded, Scope::Call),
            "SEAWALL" if details.starts_with("UNKNOWN") => (Failure::Incomplete, Scope::Call),
            _ => (Failure::Protocol, Scope::Call),
        };
        Self::new(class, scope, format!("{code} {details}").trim_end())
    }

    /// The same error of a script: what aborts one in the middle leaves what it has written until then.
    pub(super) fn of_script(mut self) -> Self {
        let by_itself = self.reason.starts_with("SEAWALL ");
        let in_the_middle = matches!(self.class, Failure::Protocol) || self.reason.contains(NOT_HERE);
        self.ambiguous |= in_the_middle && !by_itself;
        self
    }

    /// What the client library reports about a connection that had been made.
    pub(super) fn lost(error: &RedisError) -> Self {
        if let Some(code) = error.code() {
            return Self::coded(code, error.detail().unwrap_or_default());
        }
        match error.kind() {
            ErrorKind::Io => match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
                Some(error) => Self::io(error),
                None => Self::new(Failure::Reset, Scope::Connection, "the connection broke"),
            },
            // The stream is out of step; nothing that follows can be trusted.
            ErrorKind::Parse => {
                Self::new(Failure::Protocol, Scope::Connection, "the answer is not one of Redis")
            }
            _ => Self::new(Failure::Protocol, Scope::Connection, error.to_string()),
        }
    }

    /// What the system reports about a connection.
    pub(super) fn io(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        let (class, reason) = match error.kind() {
            Io::ConnectionRefused => (Failure::Refused, "nobody listens there".to_owned()),
            Io::NotFound | Io::HostUnreachable | Io::NetworkUnreachable | Io::AddrNotAvailable => {
                (Failure::Refused, format!("cannot be reached: {error}"))
            }
            Io::TimedOut => (Failure::Timeout, "no answer from the network".to_owned()),
            Io::UnexpectedEof | Io::BrokenPipe | Io::ConnectionReset | Io::ConnectionAborted => {
                (Failure::Reset, "the connection broke".to_owned())
            }
            _ => (Failure::Reset, format!("the connection broke: {error}")),
        };
        Self::new(class, Scope::Connection, reason)
    }

    /// Whether the server would have done it if the key were there.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.class == Failure::ClusterDown && !self.is_outage()
    }

    /// Whether other calls fail for the same reason until something changes.
    pub(super) const fn is_outage(&self) -> bool {
        !matches!(self.scope, Scope::Call)
    }

    /// Whether the connection has to be made anew.
    pub(super) const fn breaks_connection(&self) -> bool {
        matches!(self.scope, Scope::Connection)
    }

    /// Whether nothing was heard of the server, as opposed to an answer that is an error.
    pub(super) const fn is_silence(&self) -> bool {
        self.breaks_connection() && matches!(self.class, Failure::Refused | Failure::Timeout | Failure::Reset)
    }
}

/// The first error among the answers to a pipeline.
pub(super) fn first_error(values: &[Value]) -> Option<&ServerError> {
    values.iter().find_map(|value| match value {
        Value::ServerError(error) => Some(error),
        _ => None,
    })
}

/// The code in `Error running script (call to f_…): @user_script:1: @user_script: 1: -OOM command not allowed …`.
fn code_within(details: &str) -> Option<&str> {
    let (_, rest) = details.rsplit_once(": -")?;
    let code = rest.split(' ').next()?;
    let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase());
    (is_code && details.contains("@user_script")).then_some(code)
}

impl From<LinkError> for StoreError {
    fn from(error: LinkError) -> Self {
        Self::Unavailable { class: error.class, reason: error.reason, retry_after: RETRY_AFTER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> LinkError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let Value::ServerError(error) = value else { panic!("{value:?}") };
        LinkError::answered(&error)
    }

    #[test]
    fn the_code_of_an_error_decides_its_class() {
        let classes = [
            ("OOM command not allowed when used memory > 'maxmemory'.", Failure::OutOfMemory),
            ("READONLY You can't write against a read only replica.", Failure::ReadOnly),
            ("MISCONF Redis is configured to save RDB snapshots", Failure::ReadOnly),
            ("NOREPLICAS Not enough good replicas to write.", Failure::ReadOnly),
            ("NOAUTH Authentication required.", Failure::Denied),
            ("WRONGPASS invalid username-password pair", Failure::Denied),
            ("NOPERM this user has no permissions to run the 'evalsha' command", Failure::Denied),
            ("BUSY Redis is busy running a script.", Failure::Timeout),
            ("CLUSTERDOWN Hash slot not served", Failure::ClusterDown),
            ("MASTERDOWN Link with MASTER is down", Failure::ClusterDown),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Failure::ClusterDown),
            ("LOADING Redis is loading the dataset in memory", Failure::Loading),
            ("SEAWALL SUPERSEDED by format 2", Failure::Superseded),
            ("SEAWALL WHAT", Failure::Protocol),
            ("ERR Script attempted to access a non local key in a cluster node", Failure::ClusterDown),
            ("ERR user_script:1: attempt to index a nil value", Failure::Protocol),
            ("WRONGTYPE Operation against a key", Failure::Protocol),
        ];
        for (line, class) in classes {
            assert_eq!(answered(line).class, class, "{line}");
        }
    }

    #[test]
    fn an_error_wrapped_by_an_older_server_is_unwrapped() {
        let wrapped = |inner: &str| {
            answered(&format!(
                "ERR Error running script (call to f_ab): @user_script:1: @user_script: 1: -{inner}"
            ))
        };
        assert_eq!(
            wrapped("OOM command not allowed when used memory > 'maxmemory'.").class,
            Failure::OutOfMemory
        );
        assert_eq!(wrapped("READONLY You can't write against a read only replica.").class, Failure::ReadOnly);
        assert_eq!(answered("ERR unknown command: -OOM x").class, Failure::Protocol);
    }

    #[test]
    fn errors_of_one_call_begin_no_outage() {
        assert!(!answered("NOPERM no").is_outage());
        assert!(!answered("SEAWALL SUPERSEDED").is_outage());
        assert!(answered("OOM no").is_outage() && !answered("OOM no").breaks_connection());
        assert!(answered("READONLY no").breaks_connection());
    }

    #[test]
    fn what_the_system_says_has_a_class() {
        for (kind, class) in [
            (io::ErrorKind::ConnectionRefused, Failure::Refused),
            (io::ErrorKind::ConnectionReset, Failure::Reset),
            (io::ErrorKind::UnexpectedEof, Failure::Reset),
            (io::ErrorKind::TimedOut, Failure::Timeout),
            (io::ErrorKind::Other, Failure::Reset),
        ] {
            assert_eq!(LinkError::io(&io::Error::from(kind)).class, class);
        }
    }
}
