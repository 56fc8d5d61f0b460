//! What an `exec` that was killed may leave: the serials of its keys stand in a file that is
//! locked as long as it lives, so that the next one can tell a dead one's keys from all others.
//!
//! The kernel takes a killed process's keys away by itself, since their files and sockets close.
//! A port of vhci_hcd that has not noticed is freed here.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::super::detach::Ports;

const EXTENSION: &str = "exec";

/// The note of this process.
pub(super) struct Remains(Option<(File, PathBuf)>);

impl Remains {
    /// Notes the keys. Where that fails, nothing but the note is missing.
    pub(super) fn note<'a>(
        directory: Option<&Path>,
        serials: impl Iterator<Item = &'a str>,
    ) -> Self {
        let note = |directory: &Path| {
            let path = directory.join(format!("{}.{EXTENSION}", std::process::id()));
            let draft = path.with_extension("exec-new");
            let mut file = crate::vault::owner_only()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&draft)?;
            // Nobody looks for it by that name, so that it is locked before it is found.
            file.lock()?;
            file.write_all(serials.collect::<Vec<_>>().join("\n").as_bytes())?;
            fs::rename(&draft, &path)?;
            Ok::<_, std::io::Error>((file, path))
        };
        let noted = directory.map(note).transpose();
        Self(noted.unwrap_or_else(|why| {
            tracing::info!(%why, "the keys are not noted for the next exec");
            None
        }))
    }

    /// There is nothing to be found any more.
    pub(super) fn forget(self) {
        if let Some((_file, path)) = self.0 {
            let _ = fs::remove_file(path); // somebody may have removed it
        }
    }
}

/// Frees what dead processes left, and forgets it; how many ports that were.
pub(in crate::cli) fn clear(directories: &[PathBuf]) -> usize {
    clear_with(directories, &Ports::this())
}

fn clear_with(directories: &[PathBuf], ports: &Ports) -> usize {
    let entries = directories
        .iter()
        .filter_map(|path| fs::read_dir(path).ok());
    let paths = entries.flatten().flatten().map(|entry| entry.path());
    let mut freed = 0;
    for path in paths.filter(|path| path.extension().is_some_and(|found| found == EXTENSION)) {
        let Some(serials) = dead(&path) else {
            continue;
        };
        let found = ports.devices().unwrap_or_default();
        for device in found
            .iter()
            .filter(|device| serials.contains(&device.serial))
        {
            match ports.detach(device) {
                Ok(()) => freed += 1,
                Err(why) => tracing::warn!(%why, "a key of a dead process stays"),
            }
        }
        let _ = fs::remove_file(&path); // another process may have been faster
    }
    freed
}

/// The serials of a process that is dead.
fn dead(path: &Path) -> Option<Vec<String>> {
    let mut file = File::open(path).ok()?;
    file.try_lock().ok()?;
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    Some(text.lines().map(str::to_owned).collect())
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
