//! Which program serves, and where it is.

use std::path::PathBuf;

use crate::built;

/// Two servers that speak the same protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The package of the distribution: what many have, without `WAITAOF`.
    #[default]
    Redis,
    /// A current Valkey, which has `WAITAOF`.
    Valkey,
}

impl Engine {
    /// The program that serves.
    pub(super) fn server(self) -> PathBuf {
        match self {
            Self::Redis => PathBuf::from("redis-server"),
            Self::Valkey => built::find("valkey", "valkey-server"),
        }
    }

    /// The Debian package that is to be installed when the program is missing.
    pub(super) const fn package(self) -> Option<&'static str> {
        match self {
            Self::Redis => Some("redis-server"),
            Self::Valkey => None,
        }
    }
}
