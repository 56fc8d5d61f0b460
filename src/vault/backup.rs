//! Backups: everything in a vault's keys in one age file, to be kept elsewhere.
//!
//! Inside are lines of JSON (`format`), so that who has the passphrase or the identity needs no
//! roamkey to read them: `age -d FILE`. A backup is read back in full before it gets its name.
//! Snapshots and the ways to unlock the vault are not in it.
//!
//! Deliberately absent: ASCII armor, and age's plugins and SSH keys; a file can be encrypted again
//! with the age tool for any of them.

mod cipher;
mod error;
mod file;
mod format;
mod json;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    thread,
};

use roamkey_ctap::AttestationAuthority;
use tokio::sync::oneshot;

pub use cipher::{Opener, Protection};
pub use error::BackupError;
pub use file::is_passphrase_protected;

use super::{
    Identity, OpenVault, Pending, Vault, VaultError, VaultId,
    store::{KeyNumber, StoredKey},
};

/// What was written, after it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length: u64,
    /// Which vault it is of.
    pub vault: VaultId,
    /// How many commits the vault had.
    pub commit: u64,
    /// How many keys are in it.
    pub keys: usize,
    /// How many records, the keys' names and profiles not counted.
    pub records: u64,
}

/// A backup that was read, every line of it.
pub struct Backup {
    /// Which vault it is of.
    pub vault: VaultId,
    /// How many commits the vault had.
    pub commit: u64,
    /// When it was written, in seconds since 1970.
    pub created: u64,
    pub(crate) keys: Vec<(KeyNumber, StoredKey)>,
    pub(crate) authority: Option<AttestationAuthority>,
}

impl Backup {
    /// Reads and checks a backup; nothing is restored yet. A passphrase takes about a second.
    ///
    /// # Errors
    /// It cannot be read, `opener` does not open it, or it is not whole.
    pub fn read(path: &Path, opener: &Opener) -> Result<Self, VaultError> {
        let mut keys = Vec::new();
        let totals = file::read(path, opener, |number, key| {
            keys.push((number, key));
            Ok(())
        })?;
        Ok(Self {
            vault: totals.vault,
            commit: totals.commit,
            created: totals.created,
            keys,
            authority: totals.authority,
        })
    }

    /// What its keys are called and seen as, in the order of their numbers.
    pub fn keys(&self) -> impl Iterator<Item = &Identity> {
        self.keys.iter().map(|(_, key)| &key.identity)
    }
}

impl OpenVault {
    /// Writes a backup to a new file. `created` is in seconds since 1970.
    ///
    /// # Errors
    /// There is a file already, a record is not what was last written, or the file cannot be
    /// written or is not what was written when it is read back. Then there is no file.
    pub fn backup(
        &self,
        path: &Path,
        protection: &Protection,
        created: u64,
    ) -> Result<Written, VaultError> {
        file::write(&self.store.freeze()?, path, protection, created)
    }
}

impl Vault {
    /// The same while keys commit: the backup is of one commit, and those that follow do not wait
    /// for it.
    pub fn backup(
        &self,
        path: PathBuf,
        protection: Protection,
        created: u64,
    ) -> Pending<Result<Written, VaultError>> {
        let frozen = self.work(|store| store.freeze());
        Box::pin(async move {
            let frozen = frozen.await?;
            let (answer, answered) = oneshot::channel();
            let write = move || {
                // Who asked may be gone.
                let _ = answer.send(file::write(&frozen, &path, &protection, created));
            };
            let started = thread::Builder::new()
                .name("backup".to_owned())
                .spawn(write);
            started.map_err(|why| VaultError::system("the backup's thread does not start", why))?;
            answered.await.unwrap_or(Err(VaultError::Closed))
        })
    }
}
