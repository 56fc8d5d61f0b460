//! The machine that is looked at: files under a root, and what no file tells. Tests make one of a
//! directory.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "elsewhere fewer questions are asked")
)]

use std::{
    env,
    fs::{self, File},
    io::Read as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How long a program may take.
const PROGRAM_LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked at whether it has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// No file and no answer is read further, in bytes; the longest is a list of all modules.
const TEXT_LIMIT: u64 = 8 << 20;

/// What no file tells.
pub(super) trait Outside {
    fn env(&self, name: &str) -> Option<String>;
    /// Whether this process is root.
    fn is_root(&self) -> bool;
    /// Whether this user may read and write a file, or a directory.
    fn may_write(&self, path: &Path) -> bool;
    /// What a program writes to stdout if it ends well, and in time.
    fn run(&self, program: &str, args: &[&str]) -> Option<String>;
    /// Whether a server can have this port of 127.0.0.1; 0 is any port.
    fn is_port_free(&self, port: u16) -> bool;
    /// Where the vault is.
    fn vault(&self) -> Option<PathBuf>;
}

pub(super) struct System {
    root: PathBuf,
    outside: Box<dyn Outside>,
}

impl System {
    /// This machine.
    pub(super) fn this() -> Self {
        Self::new(PathBuf::from("/"), Box::new(This))
    }

    pub(super) fn new(root: PathBuf, outside: Box<dyn Outside>) -> Self {
        Self { root, outside }
    }

    /// Where a path of the machine is.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    pub(super) fn is_dir(&self, path: &str) -> bool {
        self.path(path).is_dir()
    }

    pub(super) fn read_bytes(&self, path: &str) -> Option<Vec<u8>> {
        let path = self.path(path);
        // Only a plain file ends: reading a FIFO or a device may wait for ever.
        if !path.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        let file = File::open(path).ok()?;
        file.take(TEXT_LIMIT).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        let bytes = self.read_bytes(path)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a directory, in order.
    pub(super) fn names_in(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }

    /// What a link says.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.to_str()?.to_owned())
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        self.outside.env(name).filter(|value| !value.is_empty())
    }

    pub(super) fn is_root(&self) -> bool {
        self.outside.is_root()
    }

    pub(super) fn may_write(&self, path: &str) -> bool {
        self.outside.may_write(&self.path(path))
    }

    pub(super) fn run(&self, program: &str, args: &[&str]) -> Option<String> {
        self.outside.run(program, args)
    }

    pub(super) fn is_port_free(&self, port: u16) -> bool {
        self.outside.is_port_free(port)
    }

    pub(super) fn vault(&self) -> Option<String> {
        Some(self.outside.vault()?.to_str()?.to_owned())
    }
}

struct This;

impl Outside for This {
    fn env(&self, name: &str) -> Option<String> {
        env::var(name).ok()
    }

    #[cfg(unix)]
    fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    #[cfg(not(unix))]
    fn is_root(&self) -> bool {
        false
    }

    /// ACLs count, such as the one that uaccess makes.
    #[cfg(unix)]
    fn may_write(&self, path: &Path) -> bool {
        use rustix::fs::{Access, AtFlags, CWD, accessat};

        let wanted = Access::READ_OK | Access::WRITE_OK;
        accessat(CWD, path, wanted, AtFlags::EACCESS).is_ok()
    }

    #[cfg(not(unix))]
    fn may_write(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| !found.permissions().readonly())
    }

    fn run(&self, program: &str, args: &[&str]) -> Option<String> {
        output_of(Command::new(program).args(args), PROGRAM_LIMIT)
    }

    fn is_port_free(&self, port: u16) -> bool {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
    }

    fn vault(&self) -> Option<PathBuf> {
        crate::vault::default_path().ok()
    }
}

/// Runs a program to its end, or ends it.
fn output_of(command: &mut Command, limit: Duration) -> Option<String> {
    let end = Instant::now() + limit;
    let mut child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (sender, text) = mpsc::channel();
    // A thread of its own: what the program started may keep the pipe open for longer.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(TEXT_LIMIT).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes)); // nobody waits once the time is over
    });
    let read = text.recv_timeout(limit);
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < end => thread::sleep(LOOK_INTERVAL),
            Ok(None) | Err(_) => break None,
        }
    };
    if ended.is_none() {
        let _ = child.kill(); // it may have ended meanwhile
        let _ = child.wait();
    }
    let bytes = read.ok()?.ok()?;
    ended
        .is_some_and(|status| status.success())
        .then(|| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn program_that_does_not_end_is_ended() {
        let started = Instant::now();
        let limit = Duration::from_millis(200);
        let asked = output_of(Command::new("sleep").arg("60"), limit);
        assert_eq!(asked, None);
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn program_that_leaves_another_with_its_pipe_is_not_waited_for() {
        let started = Instant::now();
        let limit = Duration::from_millis(200);
        output_of(Command::new("sh").args(["-c", "sleep 60 & echo a"]), limit);
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn answer_counts_only_of_a_program_that_ends_well() {
        let run = |script| output_of(Command::new("sh").args(["-c", script]), PROGRAM_LIMIT);
        assert_eq!(run("echo a").as_deref(), Some("a\n"));
        assert_eq!(run("echo a; exit 1"), None);
        assert_eq!(
            output_of(&mut Command::new("/nowhere/at/all"), PROGRAM_LIMIT),
            None
        );
    }
}
