//! Where the socket and the token of a process are, and how clients find them.
//!
//! `$XDG_RUNTIME_DIR/roamkey/PID.sock` (XDG Base Directory Specification), or `run/PID.sock` in
//! the directory for the state of programs where the system has no such directory.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{ControlError, guard::Token};
use crate::vault::{make_directory_of, owner_only, state_dir};

#[cfg(unix)]
const SOCKET: &str = "sock";
const TOKEN: &str = "token";
/// sun_path has 104 bytes on macOS and 108 on Linux, the last of them 0.
#[cfg(unix)]
const LONGEST_SOCKET_PATH: usize = 103;

/// A directory for sockets and tokens.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The user's own.
    pub(super) fn of_user() -> Result<Self, ControlError> {
        let state = state_dir().map_err(|why| ControlError::NoHome(why.to_string()));
        runtime_directory().map_or_else(|| Ok(Self(state?.join("run"))), |found| Ok(Self(found)))
    }

    /// A file of this process's.
    fn file(&self, extension: &str) -> PathBuf {
        self.file_of(std::process::id(), extension)
    }

    fn file_of(&self, process: u32, extension: &str) -> PathBuf {
        self.0.join(format!("{process}.{extension}"))
    }

    /// Makes the directory its owner's alone, and clears it of what dead processes left.
    fn prepare(&self) -> Result<(), ControlError> {
        // It makes the directory of the file that it is told.
        let made = make_directory_of(&self.0.join("any"));
        made.map_err(|why| ControlError::File(self.0.clone(), io::Error::other(why.to_string())))?;
        #[cfg(unix)]
        self.close_to_others()?;
        for (process, path) in self.files() {
            if !is_alive(process) || process == std::process::id() && is_abandoned(&path) {
                let _ = fs::remove_file(&path); // another process may have been faster
            }
        }
        Ok(())
    }

    #[cfg(unix)]
    fn close_to_others(&self) -> Result<(), ControlError> {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

        let failed = |why| ControlError::File(self.0.clone(), why);
        // Not through a link: who made that could make it lead elsewhere later.
        let metadata = fs::symlink_metadata(&self.0).map_err(failed)?;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(ControlError::NotOurs(self.0.clone()));
        }
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&self.0, closed).map_err(failed)
    }

    /// The sockets and tokens in it, with the processes that they are named after.
    fn files(&self) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| {
            let path = entry.path();
            let known = path.extension()?;
            if known != TOKEN && known != "sock" {
                return None;
            }
            let process = path.file_stem()?.to_str()?.parse().ok()?;
            Some((process, path))
        });
        named.collect()
    }

    #[cfg(unix)]
    pub(super) fn sockets(&self) -> Vec<(u32, PathBuf)> {
        let mut files = self.files();
        files.retain(|(process, path)| {
            let is_socket = path
                .extension()
                .is_some_and(|extension| extension == SOCKET);
            is_socket && is_alive(*process) && !is_abandoned(path)
        });
        files
    }
}

fn runtime_directory() -> Option<PathBuf> {
    let directory = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?);
    // Containers and `sudo` keep the variable where there is no such directory.
    let usable = directory.is_absolute() && directory.is_dir();
    usable.then(|| directory.join("roamkey"))
}

#[cfg(unix)]
fn is_alive(process: u32) -> bool {
    let id = i32::try_from(process)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    // Whoever may not be sent a signal is there.
    id.is_some_and(|id| rustix::process::test_kill_process(id) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_process: u32) -> bool {
    // Not known: a file that stays is written anew by the next process of this number.
    true
}

/// Whether a socket is there that nobody listens on.
#[cfg(unix)]
fn is_abandoned(path: &Path) -> bool {
    let connected = std::os::unix::net::UnixStream::connect(path);
    connected.is_err_and(|why| why.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(not(unix))]
fn is_abandoned(_path: &Path) -> bool {
    true
}

/// Where processes of this user may have their sockets and tokens.
pub(crate) fn directories() -> Vec<PathBuf> {
    let state = state_dir().ok().map(|state| state.join("run"));
    [runtime_directory(), state].into_iter().flatten().collect()
}

/// The control sockets of this user's live processes, in the order of the processes' numbers.
#[cfg(unix)]
pub fn sockets() -> Vec<(u32, PathBuf)> {
    let places = directories().into_iter().map(Place::new);
    let mut found: Vec<_> = places.flat_map(|place| place.sockets()).collect();
    found.sort();
    found
}

/// There are none on this platform.
#[cfg(not(unix))]
pub fn sockets() -> Vec<(u32, PathBuf)> {
    Vec::new()
}

/// The control socket of a live process of this user's.
pub fn socket_of(process: u32) -> Option<PathBuf> {
    let found = sockets().into_iter().find(|(number, _)| *number == process);
    found.map(|(_, path)| path)
}

/// What a process has in its place; removed with this.
#[derive(Default)]
pub(super) struct Files {
    socket: Option<PathBuf>,
    token: Option<PathBuf>,
}

impl Files {
    /// Listens on a socket that is its owner's alone.
    #[cfg(unix)]
    pub(super) fn socket(
        &mut self,
        place: &Place,
    ) -> Result<tokio::net::UnixListener, ControlError> {
        use std::os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _};

        let path = place.file(SOCKET);
        if path.as_os_str().as_bytes().len() > LONGEST_SOCKET_PATH {
            return Err(ControlError::LongPath(path));
        }
        place.prepare()?;
        let failed = |why| ControlError::File(path.clone(), why);
        // The directory keeps others out before the socket's own mode does.
        let listener = tokio::net::UnixListener::bind(&path).map_err(failed)?;
        self.socket = Some(path.clone());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(listener)
    }

    /// Writes the token into a file that is its owner's alone.
    pub(super) fn token(&mut self, place: &Place, token: &Token) -> Result<(), ControlError> {
        place.prepare()?;
        let path = place.file(TOKEN);
        let failed = |why| ControlError::File(path.clone(), why);
        match fs::remove_file(&path) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(failed(why)),
            Ok(()) | Err(_) => {}
        }
        let file = owner_only().write(true).create_new(true).open(&path);
        let mut file = file.map_err(failed)?;
        self.token = Some(path.clone());
        file.write_all(token.text().as_bytes()).map_err(failed)
    }

    pub(super) fn socket_path(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    pub(super) fn token_path(&self) -> Option<&Path> {
        self.token.as_deref()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in [&self.socket, &self.token].into_iter().flatten() {
            let _ = fs::remove_file(path); // somebody may have removed it
        }
    }
}
