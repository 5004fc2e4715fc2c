//! What a server says about itself.

use std::fmt;

use redis::{Pipeline, Value};

use super::dial::Connection;
use super::error::{LinkError, first_error};
use crate::Failure;

/// Scripts use what older servers do not have.
pub(crate) const OLDEST: Version = Version { major: 6, minor: 2 };

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(str::parse);
        Some(Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The answer to `HELLO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// As it calls itself: `redis`, `valkey`.
    pub(super) name: String,
    /// All of it, for people.
    pub(super) version_text: String,
    pub(super) version: Option<Version>,
    /// `standalone`, `cluster` or `sentinel`.
    pub(super) mode: String,
    /// `master` or `replica`.
    pub(super) role: String,
}

impl Facts {
    /// Asks a server; nothing when we are not allowed to.
    pub(super) async fn ask(connection: &Connection) -> Result<Option<Self>, LinkError> {
        let mut hello = Pipeline::new();
        // The version of the protocol stays as it is.
        hello.cmd("HELLO").arg(2);
        let answers = connection.send(&hello).await?;
        if let Some(error) = first_error(&answers) {
            let error = LinkError::answered(error);
            return match error.class {
                Failure::Denied if !error.breaks_connection() => Ok(None),
                // Servers before 6.0 do not know the command.
                Failure::Protocol => Ok(Some(Self::of(&[]))),
                _ => Err(error.at(&connection.address)),
            };
        }
        let parts = match answers.first() {
            Some(Value::Array(parts)) => parts.as_slice(),
            _ => &[],
        };
        Ok(Some(Self::of(parts)))
    }

    fn of(parts: &[Value]) -> Self {
        let text = |name: &str| {
            let at = parts.chunks_exact(2).find(|pair| string(pair.first()) == Some(name))?;
            string(at.get(1)).map(str::to_owned)
        };
        let version_text = text("version").unwrap_or_else(|| "older than 6.0".to_owned());
        Self {
            name: text("server").unwrap_or_else(|| "redis".to_owned()),
            version: Version::parse(&version_text),
            version_text,
            mode: text("mode").unwrap_or_default(),
            role: text("role").unwrap_or_default(),
        }
    }

    /// Old enough to be refused. A version that cannot be read is trusted.
    pub(super) fn is_too_old(&self) -> bool {
        match self.version {
            // Valkey began with 7.2 and may be asked to say another name.
            Some(version) => version < OLDEST,
            None => self.version_text.starts_with("older"),
        }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version_text)
    }
}

fn string(value: Option<&Value>) -> Option<&str> {
    match value? {
        Value::BulkString(text) => std::str::from_utf8(text).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Facts::of(&pairs.iter().flat_map(|(name, value)| [text(name), text(value)]).collect::<Vec<_>>())
    }

    #[test]
    fn a_server_older_than_6_2_is_too_old() {
        for (version, too_old) in
            [("6.0.16", true), ("6.2.0", false), ("7.0.15", false), ("10.1.2", false), ("unstable", false)]
        {
            assert_eq!(
                facts(&[("server", "redis"), ("version", version)]).is_too_old(),
                too_old,
                "{version}"
            );
        }
        assert!(facts(&[]).is_too_old(), "it does not know HELLO");
    }

    #[test]
    fn a_server_says_what_it_is() {
        let facts =
            facts(&[("server", "valkey"), ("version", "8.1.1"), ("mode", "cluster"), ("role", "master")]);
        assert_eq!(facts.to_string(), "valkey 8.1.1");
        assert_eq!((facts.mode.as_str(), facts.role.as_str()), ("cluster", "master"));
    }
}
