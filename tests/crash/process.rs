//! The real binary, killed as the system kills: no handler runs and nothing is flushed.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

/// Far more than a start takes: only a failure waits.
const PATIENCE: Duration = Duration::from_secs(30);
const SIGKILL: i32 = 9;
/// A file of the vault, by what follows the name of the vault's own.
pub(super) const LOCK: &str = ".lock";
pub(super) const UNFINISHED: &str = ".new";
pub(super) const KEY_FILE: &str = ".key";

/// A directory in which one user has a vault, and what roamkey notes elsewhere. It is removed
/// when dropped, and stays where a test fails.
pub(super) struct Home(PathBuf);

impl Home {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("roamkey-crash-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path); // of an earlier test that failed
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(super) fn vault(&self) -> PathBuf {
        self.0.join("data").join("vault.redb")
    }

    /// A file beside the vault.
    pub(super) fn beside_vault(&self, suffix: &str) -> PathBuf {
        let mut name = self.vault().into_os_string();
        name.push(suffix);
        name.into()
    }

    fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// What the process that was started last wrote on stderr.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.stderr()).unwrap_or_default()
    }

    /// A person who looks for what went wrong is told where.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the vault is kept in {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A `roamkey run` on the vault of a home.
pub(super) struct Roamkey {
    child: Mutex<Child>,
    lines: Mutex<Receiver<String>>,
    killed: AtomicBool,
    stderr: PathBuf,
}

impl Roamkey {
    /// Starts it, and does not wait for anything.
    pub(super) fn spawn(home: &Home, keys: usize) -> Self {
        Self::spawn_with(home, keys, &[])
    }

    /// Makes the keys of a new vault after a profile, and ends.
    pub(super) fn make_keys(home: &Home, keys: usize, profile: &str) {
        let file = home.path().join("profile.toml");
        fs::write(&file, profile).expect("a file");
        let file = file.to_str().expect("a path of ours");
        let process = Self::spawn_with(home, keys, &["--profile", file]);
        process.ready();
        process.kill();
    }

    fn spawn_with(home: &Home, keys: usize, more: &[&str]) -> Self {
        let stderr = home.stderr();
        let mut child = Command::new(env!("CARGO_BIN_EXE_roamkey"))
            .args(["run", "--listen", "127.0.0.1:0", "--format", "json"])
            .args(["--touch", "auto", "--any-site"])
            .args(["--keys", &keys.to_string()])
            .args(more)
            .arg("--vault")
            .arg(home.vault())
            .env_remove("RUST_LOG")
            .env("HOME", home.path())
            .env("XDG_DATA_HOME", home.path().join("share"))
            .env("XDG_STATE_HOME", home.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).expect("a file"))
            .spawn()
            .expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Read to the end, or the pipe would fill and stop the process's own reports.
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line); // who waited may have seen enough
            }
        });
        Self {
            child: Mutex::new(child),
            lines: Mutex::new(lines),
            killed: AtomicBool::new(false),
            stderr,
        }
    }

    /// Waits until the keys can be attached.
    pub(super) fn ready(&self) -> SocketAddr {
        let line = self.lines.lock().expect("a lock").recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|why| panic!("no start ({why}): {}", self.said()));
        let ready: Value = serde_json::from_str(&line).expect("one JSON object a line");
        assert_eq!(ready["event"], "ready", "{line}");
        let listen = ready["listen"].as_str().expect("a listen address");
        listen.parse().expect("an address")
    }

    /// Kills it, and waits until it is gone. It may have been killed before.
    pub(super) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        let mut child = self.child.lock().expect("a lock");
        child.kill().expect("a child");
        let status = child.wait().expect("a child");
        assert_eq!(
            status.signal(),
            Some(SIGKILL),
            "it ended by itself ({status}): {}",
            self.said()
        );
    }

    /// Whether somebody has begun to kill it.
    pub(super) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// What it wrote on stderr.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Roamkey {
    fn drop(&mut self) {
        if let Ok(mut child) = self.child.lock() {
            let _ = child.kill(); // it may have ended
            let _ = child.wait();
        }
    }
}
