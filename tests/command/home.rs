//! A user's home that is a test's own: a vault in it, and commands that know no other.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use super::process::{Ended, Process, attach, command, end, listen_of};
use crate::support::ctaphid::Platform;

/// Serves the vault's keys and approves every touch.
pub(super) const RUN: [&str; 8] = [
    "run",
    "--touch",
    "auto",
    "--any-site",
    "--listen",
    "127.0.0.1:0",
    "--format",
    "json",
];

/// A directory that is gone with this.
pub(super) struct Home(PathBuf);

impl Home {
    /// An empty one.
    pub(super) fn empty() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("roamkey-test-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    /// One with a vault that a key file opens.
    pub(super) fn with_vault() -> Self {
        let home = Self::empty();
        home.done(&["vault", "init"]);
        home
    }

    /// One with a vault and a key in it, called `main`.
    pub(super) fn with_key() -> Self {
        let home = Self::with_vault();
        home.done(&["key", "add", "main"]);
        home
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn vault(&self) -> PathBuf {
        self.path("data/roamkey/vault.redb")
    }

    /// A file with this text; its path.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        text_of(&path)
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        self.settle(&mut command);
        command
    }

    /// Lets a command live here.
    pub(super) fn settle(&self, command: &mut Command) {
        command
            .env("HOME", &self.0)
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("ROAMKEY_CONTROL")
            .env_remove("ROAMKEY_TOKEN_FILE");
    }

    /// Runs to the end.
    pub(super) fn run(&self, args: &[&str]) -> Ended {
        end(&mut self.command(args))
    }

    /// Runs to the end, which is a good one; what stdout says. A person's text fits 80 columns.
    pub(super) fn done(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stderr, "", "{args:?}");
        ended.stdout
    }

    /// The same with `--format json`; the document.
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let stdout = self.done(&[args, &["--format", "json"]].concat());
        document(&stdout)
    }

    /// Runs to a bad end with this code; what stderr says.
    pub(super) fn fails(&self, code: i32, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(
            ended.status.code(),
            Some(code),
            "{args:?}: {}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "", "{args:?}");
        ended.stderr
    }

    /// Serves the vault's keys and approves every touch.
    pub(super) fn serve(&self) -> (Process, Platform) {
        let process = Process::spawn(self.command(&RUN));
        let platform = attach(listen_of(&process.event_named("ready")));
        (process, platform)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what stays is in the way of nobody
    }
}

/// A path as an argument.
pub(super) fn text_of(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// The one document that stdout is.
pub(super) fn document(stdout: &str) -> Value {
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    serde_json::from_str(stdout).expect("a document")
}

/// Ends a server as a service manager does.
pub(super) fn stop(process: Process) {
    let ended = process.signal("-TERM");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

/// Every line fits 80 columns, but for those that have `whole` in them, which is never cut.
pub(super) fn assert_fits(text: &str, whole: &str) {
    for line in text.lines() {
        let fits = line.width() <= 80;
        let whole = !whole.is_empty() && line.contains(whole);
        assert!(fits || whole, "{} columns: {line}", line.width());
    }
}
