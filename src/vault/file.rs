//! Where a vault's file is, who may open it, and what it is read and written through.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use directories::ProjectDirs;
use redb::{BackendError, StorageBackend, backends::FileBackend};

use super::VaultError;

/// What stands in a directory of ours is its owner's alone.
#[cfg(unix)]
const DIRECTORY_MODE: u32 = 0o700;
#[cfg(unix)]
const FILE_MODE: u32 = 0o600;

/// Where the vault is when nobody says otherwise: the platform's directory for a program's data.
///
/// # Errors
/// The system does not tell where a user's directories are.
pub fn default_path() -> Result<PathBuf, VaultError> {
    Ok(project_dirs()?.data_dir().join("vault.redb"))
}

/// Where this machine notes what it has seen of vaults.
pub(crate) fn state_dir() -> Result<PathBuf, VaultError> {
    let dirs = project_dirs()?;
    let local = dirs.data_local_dir();
    Ok(dirs.state_dir().unwrap_or(local).to_owned())
}

fn project_dirs() -> Result<ProjectDirs, VaultError> {
    ProjectDirs::from("", "", "roamkey").ok_or_else(|| {
        VaultError::Refused(
            "the system does not say where your home directory is: name a file with --vault PATH"
                .to_owned(),
        )
    })
}

/// The path with something behind the file's name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The system's words for an error, and what to do about the common ones.
pub(crate) fn words(why: &io::Error) -> String {
    let advice = [
        (io::ErrorKind::StorageFull, "free some space on the disk"),
        (
            io::ErrorKind::QuotaExceeded,
            "your share of the disk is used up: free some space",
        ),
        (
            io::ErrorKind::FileTooLarge,
            "a limit on the size of files is reached: raise it",
        ),
        (
            io::ErrorKind::ReadOnlyFilesystem,
            "mount the file system so that it can be written",
        ),
        (
            io::ErrorKind::PermissionDenied,
            "let this user read and write it",
        ),
        (io::ErrorKind::NotFound, "put the file back where it was"),
    ];
    let found = advice.into_iter().find(|(kind, _)| *kind == why.kind());
    match found {
        Some((_, advice)) => format!("{why}: {advice}"),
        None => why.to_string(),
    }
}

fn system(what: &str, path: &Path, why: &io::Error) -> VaultError {
    VaultError::system(format!("{what} {}", path.display()), words(why))
}

/// Makes the directory of a file, if it is not there, for its owner alone.
pub(crate) fn make_directory_of(path: &Path) -> Result<(), VaultError> {
    let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, DIRECTORY_MODE);
    let made = builder.create(directory);
    made.map_err(|why| system("cannot make the directory", directory, &why))
}

/// Options to open a file that is its owner's alone if it is made.
pub(crate) fn owner_only() -> OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = OpenOptions::new();
        options.mode(FILE_MODE);
        options
    }
    // A user's directories are closed to others on Windows.
    #[cfg(not(unix))]
    OpenOptions::new()
}

/// Takes from others what an earlier copy of the file may have let them do.
#[cfg(unix)]
fn close_to_others(file: &File, path: &Path) -> Result<(), VaultError> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |why: io::Error| system("cannot close to others", path, &why);
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "others could use the vault's file; now its owner alone can");
    let permissions = fs::Permissions::from_mode(FILE_MODE);
    file.set_permissions(permissions).map_err(failed)
}

#[cfg(not(unix))]
fn close_to_others(_file: &File, _path: &Path) -> Result<(), VaultError> {
    Ok(())
}

/// Makes the names in a file's directory durable.
#[cfg(unix)]
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Windows makes a rename durable with the file.
#[cfg(not(unix))]
pub(crate) fn sync_directory_of(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Held while a process uses a vault; the system lets it go when the process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Closing the file alone would not do: a child process that this one is just starting has it
    /// open, too, for a moment.
    fn drop(&mut self) {
        if let Err(why) = self.0.unlock() {
            tracing::debug!(%why, "the lock ends with the file");
        }
    }
}

impl Lock {
    /// # Errors
    /// [`VaultError::InUse`] names the process that holds it.
    pub(crate) fn take(vault: &Path) -> Result<Self, VaultError> {
        let path = beside(vault, ".lock");
        let failed = |why: io::Error| system("cannot open", &path, &why);
        let mut options = owner_only();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = String::new();
                // On Windows what is locked cannot be read.
                let _ = (&mut file).take(16).read_to_string(&mut text);
                return Err(VaultError::InUse {
                    path: vault.to_owned(),
                    process: text.trim().parse().ok(),
                });
            }
            Err(fs::TryLockError::Error(why)) => return Err(failed(why)),
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(why) = noted {
            // The lock holds all the same; another process is only not told whose it is.
            tracing::debug!(%why, "the lock file does not say whose it is");
        }
        Ok(Self(file))
    }
}

/// What a [`Backend`] has done.
#[derive(Debug, Default)]
pub struct Activity {
    syncs: AtomicU64,
    sync_failed: AtomicBool,
}

impl Activity {
    /// How many times everything written was made durable.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Whether that failed: nobody knows then what is on the disk, whatever can be read.
    pub(crate) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Relaxed)
    }

    fn note(&self, outcome: &io::Result<()>) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if outcome.is_err() {
            self.sync_failed.store(true, Ordering::Relaxed);
        }
    }
}

/// What redb reads and writes through; clones are handles to the same.
#[derive(Clone)]
pub struct Backend {
    storage: Arc<dyn StorageBackend>,
    activity: Arc<Activity>,
}

impl Backend {
    /// Wraps any storage; `activity` is told of it.
    pub fn new(storage: impl StorageBackend, activity: Arc<Activity>) -> Self {
        Self {
            storage: Arc::new(storage),
            activity,
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&self.storage).finish()
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.storage.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let outcome = self.storage.sync_data();
        self.activity.note(&outcome);
        outcome
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.storage.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}

/// Where a vault's bytes are: a file, or what a test puts in its place.
pub trait Medium: Send + 'static {
    /// What is there, to be read and written.
    ///
    /// # Errors
    /// There is nothing, or it cannot be opened.
    fn open(&mut self) -> Result<Backend, VaultError>;

    /// An empty place beside it.
    ///
    /// # Errors
    /// It cannot be made.
    fn open_fresh(&mut self) -> Result<Backend, VaultError>;

    /// Puts what was written to the fresh place where the vault is, durably, and all at once.
    ///
    /// # Errors
    /// It cannot; then what was there is there still.
    fn adopt_fresh(&mut self) -> Result<(), VaultError>;

    /// An empty place for a copy of the vault as it was in an older schema, which stays.
    ///
    /// # Errors
    /// It cannot be made.
    fn open_copy(&mut self, schema: u32) -> Result<Backend, VaultError>;

    /// Whether what was opened last is still what is there.
    ///
    /// # Errors
    /// It is not: what is written now is found by nobody later.
    fn check_place(&self) -> Result<(), VaultError>;

    /// How long what was opened last is, in bytes; 0 where nobody knows.
    fn length(&self) -> u64;

    /// What it is called in messages.
    fn path(&self) -> &Path;

    /// What was done with it.
    fn activity(&self) -> Arc<Activity>;
}

/// A vault in a file.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    activity: Arc<Activity>,
    /// The file that was opened last, by what tells it from one put in its place.
    #[cfg(unix)]
    opened: Option<(u64, u64)>,
}

impl Disk {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            activity: Arc::default(),
            #[cfg(unix)]
            opened: None,
        }
    }

    fn fresh_path(&self) -> PathBuf {
        beside(&self.path, ".new")
    }

    /// What lies under the temporary name, as it is.
    ///
    /// # Errors
    /// There is nothing, or it cannot be opened.
    pub(crate) fn reopen_fresh(&mut self) -> Result<Backend, VaultError> {
        let path = self.fresh_path();
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|why| system("cannot open", &path, &why))?;
        self.backend(file)
    }

    #[cfg(unix)]
    fn note_opened(&mut self, file: &File) -> io::Result<()> {
        self.opened = Some(inode(&file.metadata()?));
        Ok(())
    }

    #[cfg(not(unix))]
    fn note_opened(&mut self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn backend(&mut self, file: File) -> Result<Backend, VaultError> {
        self.activity = Arc::default();
        let storage = FileBackend::new(file)?;
        Ok(Backend::new(storage, Arc::clone(&self.activity)))
    }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

impl Medium for Disk {
    fn open(&mut self) -> Result<Backend, VaultError> {
        let opened = OpenOptions::new().read(true).write(true).open(&self.path);
        let file = opened.map_err(|why| {
            if why.kind() == io::ErrorKind::NotFound {
                return VaultError::NotFound(self.path.clone());
            }
            system("cannot open the vault", &self.path, &why)
        })?;
        close_to_others(&file, &self.path)?;
        let noted = self.note_opened(&file);
        noted.map_err(|why| system("cannot look at", &self.path, &why))?;
        self.backend(file)
    }

    fn open_fresh(&mut self) -> Result<Backend, VaultError> {
        let path = self.fresh_path();
        let mut options = owner_only();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path);
        let file = file.map_err(|why| system("cannot make", &path, &why))?;
        let noted = self.note_opened(&file);
        noted.map_err(|why| system("cannot look at", &path, &why))?;
        self.backend(file)
    }

    fn open_copy(&mut self, schema: u32) -> Result<Backend, VaultError> {
        let path = beside(&self.path, &format!(".schema-{schema}"));
        let mut options = owner_only();
        // One that is there was begun by a migration that did not come to its end.
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path);
        let file = file.map_err(|why| system("cannot make", &path, &why))?;
        sync_directory_of(&path).map_err(|why| system("cannot make", &path, &why))?;
        Ok(Backend::new(FileBackend::new(file)?, Arc::default()))
    }

    fn adopt_fresh(&mut self) -> Result<(), VaultError> {
        let fresh = self.fresh_path();
        let adopted = File::open(&fresh)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&fresh, &self.path))
            .and_then(|()| sync_directory_of(&self.path));
        adopted.map_err(|why| system("cannot put the vault in its place", &self.path, &why))
    }

    #[cfg(unix)]
    fn check_place(&self) -> Result<(), VaultError> {
        let found = fs::metadata(&self.path);
        let found = found
            .map_err(|why| system("the vault's file is not where it was:", &self.path, &why))?;
        if self.opened.is_some_and(|opened| opened != inode(&found)) {
            return Err(VaultError::Fenced(format!(
                "another file was put in the place of {} while it was in use",
                self.path.display()
            )));
        }
        Ok(())
    }

    /// An open file can be neither removed nor replaced there.
    #[cfg(not(unix))]
    fn check_place(&self) -> Result<(), VaultError> {
        Ok(())
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}
