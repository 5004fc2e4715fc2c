//! Programs that a script of `scripts/` has built for the tests.

use std::path::{Path, PathBuf};

/// The program in PATH, else the newest one that was built: a folder for each version in the cache folder `tool`.
pub(crate) fn find(tool: &str, program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = cache(tool);
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|program| program.is_file())
        .or_else(|| newest(&cache, program))
        .unwrap_or_else(|| {
            panic!(
                "{program} is neither in PATH nor in {}: `make test` builds it, and `scripts/servers` alone does too",
                cache.display()
            )
        })
}

/// The cache folder of a tool.
pub(crate) fn cache(tool: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    cache.unwrap_or_else(home).join("seawall").join(tool)
}

fn newest(cache: &Path, program: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(cache).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let built = versions.filter(|version| version.join(program).is_file());
    built.max_by_key(|version| numbers(&version.to_string_lossy())).map(|version| version.join(program))
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
                std::fs::write(folder.join("valkey-server"), "").unwrap();
            }
        }
        let found = newest(cache.path(), "valkey-server");
        assert_eq!(found, Some(cache.path().join("8.10.0-1").join("valkey-server")));
        assert_eq!(newest(&cache.path().join("missing"), "valkey-server"), None);
    }
}
