//! Where one test plays: a directory, and a turn on the machine.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::SeawallBuilder;

/// Tests run side by side, but one that brings the machine to its limits must not be measured by its neighbours.
static MACHINE: RwLock<()> = RwLock::const_new(());

#[derive(Debug)]
enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// Removed with everything in it when the test is over.
#[derive(Debug)]
pub struct Scene {
    directory: TempDir,
    binary: PathBuf,
    _turn: Turn,
}

impl Scene {
    /// For a test that others may run beside. `binary` is the real `seawall`.
    pub async fn shared(binary: impl Into<PathBuf>) -> Self {
        Self::new(binary.into(), Turn::Shared { _guard: MACHINE.read().await })
    }

    /// For a test that needs the machine for itself.
    pub async fn alone(binary: impl Into<PathBuf>) -> Self {
        Self::new(binary.into(), Turn::Alone { _guard: MACHINE.write().await })
    }

    fn new(binary: PathBuf, turn: Turn) -> Self {
        let directory = TempDir::with_prefix("seawall-test-").expect("a temporary directory can be made");
        Self { directory, binary, _turn: turn }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Makes a file and says where it is.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a file in the temporary directory can be written");
        path
    }

    /// An empty directory.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory in the temporary directory can be made");
        path
    }

    /// A Seawall of this scene; `name` tells several apart.
    pub fn seawall(&self, name: &str) -> SeawallBuilder {
        SeawallBuilder::new(self, name)
    }
}
