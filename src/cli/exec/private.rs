//! A /dev that has no key's node but a command's own (mount_namespaces(7)).
//!
//! It is put together beside the old one, of whose nodes it has those that programs need, and
//! then takes its place. sysfs still lists every key; opening another's fails, since its node is
//! not there. Deliberately absent: keeping out root, who can make any node.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const DEV: &str = "/dev";
/// What programs need, and what browsers draw with. No uhid and no bus of USB: both lead to keys.
const NODES: [&str; 11] = [
    "null", "zero", "full", "random", "urandom", "tty", "console", "fuse", "kvm", "log", "rtc0",
];
const DIRECTORIES: [&str; 5] = ["pts", "shm", "mqueue", "dri", "snd"];
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// This process has such a /dev from now on, with these nodes of keys. The directory is used
/// meanwhile.
pub(super) fn enter(staging: &Path, keys: &[String]) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|why| format!("--private: no mount namespace of its own (as root?): {why}"))?;
    build(staging, keys).map_err(|why| format!("--private: no /dev of its own: {why}"))
}

fn build(staging: &Path, keys: &[String]) -> io::Result<()> {
    // What is mounted from here on is nobody else's.
    step(
        None,
        Path::new("/"),
        None,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
    )?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let size = Some("mode=0755,size=1m");
    mount(Some("tmpfs"), staging, Some("tmpfs"), flags, size)?;
    let old = Path::new(DEV);
    for name in NODES {
        bind_node(&old.join(name), &staging.join(name))?;
    }
    for name in DIRECTORIES {
        let (from, to) = (old.join(name), staging.join(name));
        if from.is_dir() {
            fs::create_dir(&to)?;
            step(Some(&from), &to, None, MsFlags::MS_BIND | MsFlags::MS_REC)?;
        }
    }
    for (name, target) in LINKS {
        symlink(target, staging.join(name))?;
    }
    ptmx(staging)?;
    for key in keys {
        let name = Path::new(key).file_name().unwrap_or_default();
        bind_node(&old.join(name), &staging.join(name))?;
    }
    step(Some(staging), old, None, MsFlags::MS_MOVE)?;
    let _ = fs::remove_dir(staging); // who started this does it otherwise
    Ok(())
}

/// The multiplexer looks for `pts` beside itself, and does not through a mount: it is a node of
/// its own.
fn ptmx(staging: &Path) -> io::Result<()> {
    let path = staging.join("ptmx");
    let mode = Mode::from_raw_mode(0o666);
    let device = rustix::fs::makedev(5, 2);
    match mknodat(CWD, &path, FileType::CharacterDevice, mode, device) {
        // The umask may have taken away some.
        Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o666)),
        // Some containers may not make nodes.
        Err(_) => symlink("pts/ptmx", path),
    }
}

/// Makes a node the same as another; nothing where there is none.
fn bind_node(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(found) = fs::metadata(from) else {
        return Ok(());
    };
    if found.is_dir() {
        return Ok(());
    }
    fs::File::create_new(to)?;
    step(Some(from), to, None, MsFlags::MS_BIND)
}

fn step(from: Option<&Path>, to: &Path, kind: Option<&str>, flags: MsFlags) -> io::Result<()> {
    let done = mount(from, to, kind, flags, None::<&str>);
    done.map_err(|why| io::Error::other(format!("{}: {why}", to.display())))
}
