//! Why a vault does not do what it is asked. Texts are for a person: what happened, what to do.

use std::{fmt, path::PathBuf};

use super::{store::KeyNumber, unlock::UnlockError};

/// What is wrong with a vault's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file's own structure: not all that is in it can be reached.
    Structure,
    /// The header is missing, or was not sealed under this vault's data key.
    Header,
    /// The ways to unlock are not those that were last written.
    Unlocks,
    /// The row of a key is not one that this vault sealed.
    Key(KeyNumber),
    /// Keys or snapshots are missing, or one is older than it was.
    Keys,
    /// A record of a key.
    Record {
        /// The key's name, or number where that cannot be read.
        key: String,
        /// Which record.
        record: String,
        /// What happened to it.
        how: Broken,
    },
    /// The records of a key do not amount to what they did, and none can be named: an older one
    /// was put back together with what tells it from the last.
    Total {
        /// The key's name.
        key: String,
    },
    /// All records are as they were written, and do not make a key.
    Incomplete {
        /// The key's name.
        key: String,
        /// What does not fit.
        why: String,
    },
    /// A snapshot.
    Snapshot {
        /// Its name.
        name: String,
    },
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It was changed, cut, or is another place's.
    Changed,
    /// It is gone.
    Missing,
    /// It is not the one that was written last.
    Replayed,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure => {
                f.write_str("its file is damaged, so that not all of it can be reached")
            }
            Self::Header => f.write_str("its header is missing or was changed"),
            Self::Unlocks => f.write_str(
                "its ways to unlock are not those that were last written: one was removed, changed, \
                 or put back",
            ),
            Self::Key(number) => write!(f, "the row of key 1-{} was changed", number.0),
            Self::Keys => {
                f.write_str("its list of keys and snapshots is not the one last written")
            }
            Self::Record { key, record, how } => {
                let how = match how {
                    Broken::Changed => "was changed",
                    Broken::Missing => "is missing",
                    Broken::Replayed => "is not the one last written",
                };
                write!(f, "key {key}: its {record} {how}")
            }
            Self::Total { key } => write!(
                f,
                "key {key}: a record is not the one last written, and which one cannot be told"
            ),
            Self::Incomplete { key, why } => write!(f, "key {key}: {why}"),
            Self::Snapshot { name } => write!(f, "snapshot {name} was changed"),
        }
    }
}

/// Why a vault does not answer with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultError {
    /// There is no vault at the path.
    NotFound(PathBuf),
    /// There is something at the path already.
    Exists(PathBuf),
    /// Another process has it open.
    InUse {
        /// The vault.
        path: PathBuf,
        /// The process's number, where the system tells.
        process: Option<u32>,
    },
    /// The file is not a vault of ours, or was cut so short that nothing can be told of it.
    NotAVault {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file was changed, or cut, since a vault was last written to it.
    Changed {
        /// The file.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// A later version of roamkey wrote it.
    Newer {
        /// The schema version of the file.
        schema: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// What is in it is not what was written.
    Damaged(Damage),
    /// This machine has seen a later state of the same vault.
    OlderCopy {
        /// The commits of the file.
        commit: u64,
        /// The commits that were seen.
        seen: u64,
    },
    /// The system did not do what was asked of it.
    System {
        /// What was to be done.
        what: String,
        /// The system's words.
        why: String,
    },
    /// The vault has failed and could not be opened again yet.
    Fenced(String),
    /// There is no such thing in the vault.
    Unknown(String),
    /// What is asked for does not go with what is there.
    Refused(String),
    /// The vault's task has ended.
    Closed,
}

impl VaultError {
    pub(crate) fn system(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self::System {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

impl From<Damage> for VaultError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<redb::Error> for VaultError {
    fn from(why: redb::Error) -> Self {
        let what = "the vault's file cannot be used";
        if let redb::Error::Io(why) = why {
            return Self::system(what, super::file::words(&why));
        }
        Self::system(what, why)
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for VaultError {
            fn from(why: redb::$error) -> Self {
                redb::Error::from(why).into()
            }
        }
    )*};
}

from_redb!(
    CommitError,
    CompactionError,
    DatabaseError,
    StorageError,
    TableError,
    TransactionError
);

impl From<UnlockError> for VaultError {
    fn from(why: UnlockError) -> Self {
        Self::Refused(why.to_string())
    }
}

impl From<getrandom::Error> for VaultError {
    fn from(why: getrandom::Error) -> Self {
        Self::system("the system gives no random bytes", why)
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(path) => write!(
                f,
                "there is no vault at {}: make one with `roamkey vault init`",
                path.display()
            ),
            Self::Exists(path) => write!(f, "{} is there already", path.display()),
            Self::InUse { path, process } => {
                write!(f, "the vault {} is in use by ", path.display())?;
                match process {
                    Some(process) => write!(f, "process {process}: end it first"),
                    None => f.write_str("another process: end it first"),
                }
            }
            Self::NotAVault { path, why } => write!(
                f,
                "{} is not a vault that can be read: {why}. If it was one, restore a backup with \
                 `roamkey vault restore`",
                path.display()
            ),
            Self::Changed { path, why } => write!(
                f,
                "{} is no vault any more, or was changed since it was written: {why}. `roamkey \
                 vault check` finds out what of it; restore a backup with `roamkey vault restore`",
                path.display()
            ),
            Self::Newer { schema, known } => write!(
                f,
                "the vault has schema {schema}, and this roamkey knows {known}: a later version \
                 wrote it; use that version or a newer one"
            ),
            Self::Damaged(damage) => write!(
                f,
                "the vault is damaged: {damage}. `roamkey vault check` lists all that is wrong; \
                 restore a backup with `roamkey vault restore`"
            ),
            Self::OlderCopy { commit, seen } => write!(
                f,
                "this is an older copy of the vault: it ends at commit {commit}, and this machine \
                 has seen commit {seen}. Signature counters and PIN retries would go back. If you \
                 put it there on purpose, accept it with `roamkey vault check --accept-older`"
            ),
            Self::System { what, why } => write!(f, "{what}: {why}"),
            Self::Fenced(why) => write!(f, "the vault failed and is not open again yet: {why}"),
            Self::Unknown(what) | Self::Refused(what) => f.write_str(what),
            Self::Closed => f.write_str("the vault is closed"),
        }
    }
}

impl std::error::Error for VaultError {}
