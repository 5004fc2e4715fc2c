//! Scripts, and the confirmation that their writes have arrived where the configuration wants them.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use super::error::{LinkError, Scope};
use super::slot::hash_tag;
use crate::Failure;
use crate::redis::RedisDurability;

/// Longer than any confirmation takes.
const MARK_LIVES: Duration = Duration::from_secs(60);

/// A Lua script and its name at the server.
pub(crate) struct Script {
    source: String,
    sha: String,
}

impl Script {
    pub(crate) fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha }
    }

    /// Calls the script by its name.
    pub(super) fn by_name(&self, key: &str, args: &[&[u8]]) -> Pipeline {
        Self::call("EVALSHA", &self.sha, key, args)
    }

    /// Calls the script by its text, which also teaches the server its name.
    pub(super) fn by_text(&self, key: &str, args: &[&[u8]]) -> Pipeline {
        Self::call("EVAL", &self.source, key, args)
    }

    fn call(command: &str, script: &str, key: &str, args: &[&[u8]]) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(3);
        pipeline.cmd(command).arg(script).arg(2).arg(key).arg(absent(key));
        for arg in args {
            pipeline.arg(*arg);
        }
        pipeline
    }
}

/// A key beside `key` that never exists. Scripts use more keys than they can name; while their slot is being moved, some are
/// here and some already there, and a script would take those for missing. A cluster refuses a call (`TRYAGAIN`) as long as
/// some of the keys it names are not where the slot is moved from or to, so one that is nowhere keeps every call away until
/// the slot has arrived.
fn absent(key: &str) -> String {
    match key.rsplit_once('}') {
        Some((tagged, _)) => format!("{tagged}}}:never"),
        None => format!("{{{key}}}:never"),
    }
}

/// What is asked of the server behind a script that writes.
#[derive(Clone, Debug)]
pub(super) enum Confirmation {
    Replicas { wanted: u32, within: Duration, mark: String },
    Disk { within: Duration, mark: String },
}

impl Confirmation {
    /// What `durability` promises about a write to `key`; nothing when memory is enough.
    pub(super) fn of(durability: RedisDurability, prefix: &str, key: &str) -> Option<Self> {
        let mark = || mark(prefix, key);
        match durability {
            RedisDurability::Memory => None,
            RedisDurability::Wait { replicas, timeout } => {
                Some(Self::Replicas { wanted: replicas, within: timeout, mark: mark() })
            }
            RedisDurability::Aof { timeout } => Some(Self::Disk { within: timeout, mark: mark() }),
        }
    }

    /// How long it may take.
    pub(super) const fn patience(durability: RedisDurability) -> Duration {
        match durability {
            RedisDurability::Memory => Duration::ZERO,
            RedisDurability::Wait { timeout, .. } | RedisDurability::Aof { timeout } => timeout,
        }
    }

    /// Appends a small write. `WAIT` waits for the last write *of its connection*. A repeated call finds its answer and
    /// writes nothing, and what it finds may have been written over another connection and not be confirmed at all.
    /// So a write of our own goes in between; it is confirmed only after everything before it.
    pub(super) fn mark(&self, pipeline: &mut Pipeline) {
        let (Self::Replicas { mark, .. } | Self::Disk { mark, .. }) = self;
        let lives = u64::try_from(MARK_LIVES.as_millis()).unwrap_or(u64::MAX);
        pipeline.cmd("SET").arg(mark).arg(1).arg("PX").arg(lives);
    }

    /// The command that waits; others may be confirmed by the same.
    pub(super) fn command(&self) -> Cmd {
        // Zero would mean forever.
        let millis = |within: &Duration| u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        match self {
            Self::Replicas { wanted, within, .. } => {
                redis::cmd("WAIT").arg(*wanted).arg(millis(within)).take()
            }
            Self::Disk { within, .. } => redis::cmd("WAITAOF").arg(1).arg(0).arg(millis(within)).take(),
        }
    }

    /// Checks the answers to the mark and the command.
    pub(super) fn check(&self, answers: &[Value]) -> Result<(), LinkError> {
        let missing =
            |reason: String| Err(LinkError::new(Failure::NotReplicated, Scope::Call, reason).sent());
        if let Some(error) = super::error::first_error(answers) {
            let error = LinkError::answered(error);
            return missing(format!("the decision could not be confirmed: {}", error.reason));
        }
        match (self, answers.last()) {
            (Self::Replicas { wanted, .. }, Some(Value::Int(got))) if *got >= i64::from(*wanted) => Ok(()),
            (Self::Replicas { wanted, within, .. }, Some(Value::Int(got))) => missing(format!(
                "{got} of {wanted} replicas confirmed within {within:?}; check the replicas and waitReplicas"
            )),
            (Self::Disk { .. }, Some(Value::Array(counts)))
                if matches!(counts.first(), Some(Value::Int(1..))) =>
            {
                Ok(())
            }
            (Self::Disk { within, .. }, Some(Value::Array(_))) => missing(format!(
                "the server's append-only file was not synced within {within:?}; check its disk and appendfsync"
            )),
            (_, answer) => missing(format!("the confirmation is not one: {answer:?}")),
        }
    }
}

/// A key of our own that lies where `key` lies.
fn mark(prefix: &str, key: &str) -> String {
    format!("{prefix}:1:{{{}}}:confirm", hash_tag(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::link::slot::slot;

    const WITHIN: Duration = Duration::from_millis(200);

    #[test]
    fn a_mark_lies_where_its_key_lies() {
        let key = "seawall:1:{eu/prod}:p";
        assert_eq!(mark("seawall", key), "seawall:1:{eu/prod}:confirm");
        assert_eq!(slot(&mark("seawall", key)), slot(key));
        assert_eq!(slot(&mark("seawall", "plain")), slot("plain"));
    }

    #[test]
    fn fewer_confirmations_than_wanted_are_an_error_that_leaves_it_open_what_happened() {
        let wait = RedisDurability::Wait { replicas: 2, timeout: WITHIN };
        let wait = Confirmation::of(wait, "seawall", "k").unwrap();
        assert!(wait.check(&[Value::Okay, Value::Int(2)]).is_ok());
        let error = wait.check(&[Value::Okay, Value::Int(1)]).unwrap_err();
        assert_eq!((error.class, error.ambiguous, error.is_outage()), (Failure::NotReplicated, true, false));
        assert!(error.reason.starts_with("1 of 2 replicas"), "{}", error.reason);
    }

    #[test]
    fn the_disk_confirms_with_the_first_count() {
        let disk = Confirmation::of(RedisDurability::Aof { timeout: WITHIN }, "seawall", "k").unwrap();
        let counts = |local| [Value::Okay, Value::Array(vec![Value::Int(local), Value::Int(0)])];
        assert!(disk.check(&counts(1)).is_ok());
        assert_eq!(disk.check(&counts(0)).unwrap_err().class, Failure::NotReplicated);
        assert!(Confirmation::of(RedisDurability::Memory, "seawall", "k").is_none());
    }

    #[test]
    fn a_script_is_called_by_the_sha1_of_its_text() {
        let script = Script::new("return 1");
        assert_eq!(script.sha, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(script.by_name("k", &[b"a"]).len(), 1);
    }
}
