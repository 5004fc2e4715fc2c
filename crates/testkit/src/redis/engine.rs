//! Which program serves, and where it is.

use std::path::{Path, PathBuf};

const VALKEY: &str = "valkey-server";

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
            Self::Valkey => valkey_server().unwrap_or_else(|| {
                panic!(
                    "{VALKEY} is neither in PATH nor in {}: `make test` builds it, and `scripts/servers` alone does too",
                    cache().display()
                )
            }),
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

fn valkey_server() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(VALKEY))
        .find(|program| program.is_file())
        .or_else(|| newest(&cache()))
}

/// Where `scripts/valkey` puts what it has built: a folder for each version.
fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("seawall/valkey")
}

fn newest(cache: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(cache).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let built = versions.filter(|version| version.join(VALKEY).is_file());
    built.max_by_key(|version| numbers(&version.to_string_lossy())).map(|version| version.join(VALKEY))
}

/// The numbers in a version, so that 8.10 is newer than 8.9.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_is_complete_is_taken() {
        let cache = tempfile::tempdir().unwrap();
        for (version, complete) in [("8.9.1-2", true), ("8.10.0-1", true), ("9.0.0-1", false)] {
            let folder = cache.path().join(version);
            std::fs::create_dir(&folder).unwrap();
            if complete {
                std::fs::write(folder.join(VALKEY), "").unwrap();
            }
        }
        assert_eq!(newest(cache.path()), Some(cache.path().join("8.10.0-1").join(VALKEY)));
        assert_eq!(newest(&cache.path().join("missing")), None);
    }
}
