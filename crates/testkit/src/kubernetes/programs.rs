//! Where the programs of a control plane are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What is built, at which version, is said in one place.
const MODULE: &str = include_str!("../../../../tools/kubernetes/go.mod");

/// The folder of `setup-envtest`, when somebody has one.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The path of a program that `scripts/kubernetes` looks for or builds.
pub(super) fn program(name: &str) -> PathBuf {
    let cache = cache();
    find(name, std::env::var_os(ASSETS).as_deref().map(Path::new), &cache).unwrap_or_else(|| {
        panic!(
            "{name} is neither in ${ASSETS} nor in {}: `make test` builds it with Go, and `scripts/servers` alone does \
             too",
            cache.display()
        )
    })
}

/// What the API server calls itself, such as `Kubernetes v1.34.4`.
pub fn apiserver_version() -> String {
    let output = Command::new(program("kube-apiserver")).arg("--version").output();
    String::from_utf8_lossy(&output.expect("the API server can be started").stdout).trim().to_owned()
}

/// etcd, which is a package of the distribution where it does not come with the others.
pub(super) fn etcd() -> PathBuf {
    find("etcd", std::env::var_os(ASSETS).as_deref().map(Path::new), &cache())
        .unwrap_or_else(|| PathBuf::from("etcd"))
}

fn find(name: &str, assets: Option<&Path>, cache: &Path) -> Option<PathBuf> {
    let folders = assets.filter(|path| !path.as_os_str().is_empty()).into_iter().chain([cache]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Where `scripts/kubernetes` puts what it has built.
fn cache() -> PathBuf {
    crate::built::cache("kubernetes").join(version())
}

fn version() -> &'static str {
    MODULE
        .lines()
        .find_map(|line| line.strip_prefix("require k8s.io/kubernetes "))
        .expect("the module of the tools requires Kubernetes on a line of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_contributor_names_comes_before_what_was_built() {
        let (assets, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&assets, &cache] {
            std::fs::write(folder.path().join("kube-apiserver"), "").unwrap();
        }
        std::fs::write(cache.path().join("kube-scheduler"), "").unwrap();
        let found = |name, assets| find(name, assets, cache.path());
        let in_cache = |name| Some(cache.path().join(name));

        let apiserver = "kube-apiserver";
        assert_eq!(found(apiserver, Some(assets.path())), Some(assets.path().join(apiserver)));
        assert_eq!(found(apiserver, None), in_cache(apiserver));
        assert_eq!(found(apiserver, Some(Path::new(""))), in_cache(apiserver));
        // The folder of setup-envtest has no scheduler.
        assert_eq!(found("kube-scheduler", Some(assets.path())), in_cache("kube-scheduler"));
        assert_eq!(found("kubectl", Some(assets.path())), None);
    }

    #[test]
    fn the_version_is_that_of_the_module() {
        assert!(version().starts_with("v1.") && !version().contains(' '), "{}", version());
    }
}
