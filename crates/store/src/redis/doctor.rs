//! Looking at the servers and saying what is unsafe.
//!
//! It asks every server that takes writes and judges the answers. It must not change anything there, refuse anything, or
//! keep quiet about what it was not allowed to look at.
//!
//! ```text
//! options ─► visit: every master ─► look: what it answers ─► judge: findings
//! ```

mod judge;
mod look;

#[cfg(test)]
mod tests;

use super::RedisOptions;
use super::link::{LinkError, Visit};
use crate::Failure;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, and could be better or could not be looked at.
    Warning,
    /// It works, and what is acknowledged may be lost.
    Unsafe,
    /// It does not work.
    Failed,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// Which server, and what is the case there.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self { level: Level::Fine, what: what.into(), advice: None }
    }

    fn bad(level: Level, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level, what: what.into(), advice: Some(advice.into()) }
    }

    fn at(self, place: &str) -> Self {
        Self { what: format!("{place}: {}", self.what), ..self }
    }
}

/// Whether the servers are fit for what the options ask of them; the most basic things first.
pub async fn examine(options: &RedisOptions) -> Vec<Finding> {
    let visit = match Visit::new(options) {
        Ok(visit) => visit,
        Err(error) => {
            return vec![Finding::bad(Level::Failed, error.to_string(), "correct the configuration")];
        }
    };
    let masters = match visit.masters().await {
        Ok(masters) => masters,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut findings = judge::options(options);
    if masters.is_empty() {
        findings.push(Finding::bad(
            Level::Failed,
            "no node of the cluster has slots",
            "hand the slots out, for example with `redis-cli --cluster create`",
        ));
    }
    for node in &masters {
        let address = node.address();
        match look::look(&visit, node, options).await {
            Ok(look) => {
                let place = address.to_string();
                findings.extend(judge::server(&look, options).into_iter().map(|finding| finding.at(&place)));
            }
            Err(error) => findings.push(unreachable(&error)),
        }
    }
    findings
}

fn unreachable(error: &LinkError) -> Finding {
    let advice = match error.class {
        Failure::Refused | Failure::Reset => "see whether the server runs and whether the address is right",
        Failure::Timeout => "see whether the server is overloaded, and whether something drops its packets",
        Failure::Denied => "correct the configuration, or the user at the server",
        Failure::Loading => "wait until the server has read its data",
        Failure::ReadOnly => "name the primary, or let Sentinels name it",
        Failure::ClusterDown => "see what `CLUSTER INFO` says about the cluster",
        _ => "see what the server logs",
    };
    Finding::bad(Level::Failed, format!("{} ({})", error.reason, error.class.as_str()), advice)
}
