//! A disk so small that it runs full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Scene;

/// A memory file system of a given size, unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Needs root, as mounting does.
    pub fn mount(scene: &Scene, name: &str, megabytes: usize) -> Self {
        Self::mount_with(scene, name, &format!("size={megabytes}m"))
    }

    /// One that nothing can be written to.
    pub fn read_only(scene: &Scene, name: &str) -> Self {
        Self::mount_with(scene, name, "ro,size=1m")
    }

    fn mount_with(scene: &Scene, name: &str, options: &str) -> Self {
        let path = scene.folder(name);
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&path).output();
        match done {
            Ok(output) if output.status.success() => Self { path },
            Ok(output) => panic!(
                "a small disk could not be mounted, so what happens on a full one cannot be tested here; run the tests \
                 as root where mounting is allowed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
            Err(error) => panic!("`mount` could not be run: {error}"),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes all the space that is left, but for `spare` bytes.
    pub fn fill(&self, spare: usize) {
        let mut ballast = File::create(self.ballast()).expect("the ballast can be made");
        let block = [0u8; 4096];
        while ballast.write_all(&block).is_ok() {}
        let length = ballast.metadata().expect("the ballast has a length").len();
        ballast.set_len(length.saturating_sub(spare as u64)).expect("the ballast can be cut");
    }

    /// Gives back what [`fill`](Self::fill) took.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast can be removed");
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that still has files open there must not keep the mount after the test.
        Command::new("umount").arg("--lazy").arg(&self.path).status().ok();
    }
}
