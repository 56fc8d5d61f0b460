//! A machine that is a directory, for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    report::{Check, Report, Road},
    system::{Outside, System},
};

/// A directory that is gone with this.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what stays is in the way of nobody
    }
}

/// Clones share the directory.
#[derive(Clone)]
pub(super) struct Fake {
    directory: Rc<Directory>,
    env: BTreeMap<String, String>,
    programs: BTreeMap<String, String>,
    refused: BTreeSet<String>,
    taken: BTreeSet<u16>,
    root: bool,
    no_network: bool,
}

impl Fake {
    /// An ordinary user, in an empty directory.
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("roamkey-doctor-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        let fake = Self {
            directory: Rc::new(Directory(path)),
            env: BTreeMap::new(),
            programs: BTreeMap::new(),
            refused: BTreeSet::new(),
            taken: BTreeSet::new(),
            root: false,
            no_network: false,
        };
        fake.env("HOME", "/home/you").directory("/home/you")
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.directory.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("one above")).expect("directories");
        path
    }

    pub(super) fn file(self, path: &str, text: &str) -> Self {
        self.bytes(path, text.as_bytes())
    }

    pub(super) fn bytes(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.path(path);
        fs::write(&path, bytes).expect("a file");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        }
        self
    }

    pub(super) fn directory(self, path: &str) -> Self {
        fs::create_dir_all(self.path(path)).expect("a directory");
        self
    }

    #[cfg(unix)]
    pub(super) fn link(self, path: &str, target: &str) -> Self {
        std::os::unix::fs::symlink(target, self.path(path)).expect("a link");
        self
    }

    #[cfg(unix)]
    pub(super) fn mode(self, path: &str, mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).expect("a mode");
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What a program says when it is run with these arguments.
    pub(super) fn program(mut self, line: &str, says: &str) -> Self {
        self.programs.insert(line.to_owned(), says.to_owned());
        self
    }

    /// This user may not open it.
    pub(super) fn refused(mut self, path: &str) -> Self {
        self.refused.insert(path.to_owned());
        self
    }

    /// This user may open it after all.
    pub(super) fn allowed(mut self, path: &str) -> Self {
        self.refused.remove(path);
        self
    }

    pub(super) fn taken(mut self, port: u16) -> Self {
        self.taken.insert(port);
        self
    }

    pub(super) fn root(mut self) -> Self {
        self.root = true;
        self
    }

    pub(super) fn no_network(mut self) -> Self {
        self.no_network = true;
        self
    }

    pub(super) fn system(&self) -> System {
        System::new(self.directory.0.clone(), Box::new(self.clone()))
    }
}

impl Outside for Fake {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn is_root(&self) -> bool {
        self.root
    }

    fn may_write(&self, path: &Path) -> bool {
        let inside = path
            .strip_prefix(&self.directory.0)
            .expect("a path in the directory");
        let inside = format!("/{}", inside.display());
        path.exists() && !self.refused.contains(&inside)
    }

    fn run(&self, program: &str, args: &[&str]) -> Option<String> {
        let line = [&[program], args].concat().join(" ");
        self.programs.get(&line).cloned()
    }

    fn is_port_free(&self, port: u16) -> bool {
        !self.no_network && !self.taken.contains(&port)
    }

    fn vault(&self) -> Option<PathBuf> {
        let home = self.env.get("HOME")?;
        Some(format!("{home}/.local/share/roamkey/vault.redb").into())
    }
}

impl Report {
    pub(super) fn check(&self, name: &str) -> &Check {
        let mut checks = self.groups.iter().flat_map(|group| &group.checks);
        let found = checks.find(|check| check.name == name);
        found.unwrap_or_else(|| panic!("no {name} in:\n{}", self.text()))
    }

    pub(super) fn road(&self, name: &str) -> &Road {
        let found = self.roads.iter().find(|road| road.name == name);
        found.expect("a road")
    }
}

impl Check {
    /// All that a person is told.
    pub(super) fn told(&self) -> String {
        let more = [&self.advice, &self.command].into_iter().flatten();
        let parts = std::iter::once(&self.found).chain(more);
        parts.cloned().collect::<Vec<_>>().join(" | ")
    }

    pub(super) fn typed(&self) -> &str {
        self.command.as_deref().unwrap_or_default()
    }
}
