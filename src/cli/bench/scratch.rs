//! A directory that is gone with the measurement that needed it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Failure;

/// A directory of this process's own.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new one in `parent`; with none, where the system keeps temporary files on a disk.
    pub(super) fn new(parent: Option<&Path>, what: &str) -> Result<Self, Failure> {
        let parent = parent.map_or_else(default_parent, Path::to_owned);
        let path = parent.join(format!("roamkey-bench-{}-{what}", std::process::id()));
        // Of an earlier process with this number, which was killed.
        let _ = fs::remove_dir_all(&path);
        create(&path).map_err(|why| Failure::failed(path.display(), why))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(why) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %why, "a temporary directory is left");
        }
    }
}

#[cfg(unix)]
fn create(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> std::io::Result<()> {
    fs::create_dir(path)
}

/// /tmp is in memory on many systems, where a sync costs nothing (Filesystem Hierarchy Standard
/// §5.15).
#[cfg(unix)]
fn default_parent() -> PathBuf {
    let on_disk = PathBuf::from("/var/tmp");
    match on_disk.is_dir() {
        true => on_disk,
        false => std::env::temp_dir(),
    }
}

#[cfg(not(unix))]
fn default_parent() -> PathBuf {
    std::env::temp_dir()
}

/// Whether files there are in memory.
#[cfg(target_os = "linux")]
pub(super) fn is_in_memory(path: &Path) -> bool {
    /// TMPFS_MAGIC of linux/magic.h.
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == TMPFS)
}

/// Not known.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_in_memory(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_is_gone_with_what_is_in_it() {
        let scratch = Scratch::new(Some(&std::env::temp_dir()), "test").unwrap();
        let path = scratch.path().to_owned();
        fs::create_dir(path.join("inner")).unwrap();
        fs::write(path.join("inner/file"), "text").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
