//! The file of a backup: written beside its place, read back, and only then given its name.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use super::{
    BackupError, Opener, Protection, Written,
    cipher::{self, OpenError},
    format::{self, ReadError, Totals, WriteError},
};
use crate::vault::{
    VaultError,
    file::{beside, owner_only, sync_directory_of, words},
    store::{Frozen, KeyNumber, StoredKey},
};

/// A file that is gone with this, unless it got its name.
struct Draft(PathBuf);

impl Draft {
    /// A new file beside `path`, its owner's alone.
    fn create(path: &Path) -> Result<(Self, File), VaultError> {
        let mut tag = [0; 4];
        getrandom::fill(&mut tag)?;
        let tag = base16ct::lower::encode_string(&tag);
        let draft = beside(path, &format!(".{tag}.partial"));
        let file = owner_only().write(true).create_new(true).open(&draft);
        let file = file.map_err(|why| {
            if why.kind() == io::ErrorKind::NotFound {
                return VaultError::Refused(format!(
                    "there is no directory for {}: make it first",
                    path.display()
                ));
            }
            failed("cannot write", &draft, &why)
        })?;
        Ok((Self(draft), file))
    }

    /// Gives the file its name, if nothing has it.
    fn publish(self, path: &Path) -> Result<(), VaultError> {
        let exists = || VaultError::Exists(path.to_owned());
        let named = match fs::hard_link(&self.0, path) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
            // Some file systems, of USB sticks for one, know no second name of a file.
            Err(_) if fs::symlink_metadata(path).is_ok() => return Err(exists()),
            Err(_) => fs::rename(&self.0, path),
            Ok(()) => fs::remove_file(&self.0),
        };
        let named = named.and_then(|()| sync_directory_of(path));
        named.map_err(|why| failed("cannot give the backup its name", path, &why))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It may have its name by now.
        let _ = fs::remove_file(&self.0);
    }
}

fn failed(what: &str, path: &Path, why: &io::Error) -> VaultError {
    VaultError::system(format!("{what} {}", path.display()), words(why))
}

fn refused(path: &Path, why: &BackupError) -> VaultError {
    VaultError::Refused(format!("the backup {}: {why}", path.display()))
}

/// Writes a backup to a new file.
pub(super) fn write(
    vault: &Frozen,
    path: &Path,
    protection: &Protection,
    created: u64,
) -> Result<Written, VaultError> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(VaultError::Exists(path.to_owned()));
    }
    let (draft, file) = Draft::create(path)?;
    let cannot_write = |why: &io::Error| failed("cannot write", &draft.0, why);
    let (output, opener) = protection.seal(file).map_err(|why| cannot_write(&why))?;
    let (output, totals) = format::write(vault, created, output).map_err(|why| match why {
        WriteError::Vault(why) => why,
        WriteError::Io(why) => cannot_write(&why),
    })?;
    let written = output.finish().and_then(|file| {
        file.sync_all()?;
        Ok(file.metadata()?.len())
    });
    let length = written.map_err(|why| cannot_write(&why))?;
    read_back(vault, &draft.0, &opener, &totals)?;
    draft.publish(path)?;
    Ok(Written {
        path: path.to_owned(),
        length,
        vault: totals.vault,
        commit: totals.commit,
        keys: vault.keys.len(),
        records: totals.records,
    })
}

/// Reads all of what was written: it is what was in the vault.
fn read_back(
    vault: &Frozen,
    path: &Path,
    opener: &Opener,
    totals: &Totals,
) -> Result<(), VaultError> {
    let differs = |why: &str| refused(path, &BackupError::ReadBack(why.to_owned()));
    let mut expected = vault.keys.iter();
    let read = read_all(path, opener, |number, key| {
        let Some((wanted, row)) = expected.next() else {
            return Err(differs("there are more keys"));
        };
        // Its name and profile are one of the vault's records, and no line of records here.
        let records = key.records.len() as u64 + 1;
        match (number, key.identity.id, records) == (*wanted, row.id, row.records) {
            true => Ok(()),
            false => Err(differs("a key has other records")),
        }
    });
    match read {
        Ok(read) if read == *totals => Ok(()),
        Ok(_) => Err(differs("its lines are others")),
        Err(Failed::Backup(why)) => Err(differs(&why.to_string())),
        Err(Failed::Vault(why)) => Err(why),
    }
}

/// Why a file is not read.
enum Failed {
    Backup(BackupError),
    Vault(VaultError),
}

impl Failed {
    fn of(path: &Path) -> impl Fn(Self) -> VaultError {
        move |why| match why {
            Self::Backup(why) => refused(path, &why),
            Self::Vault(why) => why,
        }
    }
}

/// Reads a backup in full, and hands each key over.
pub(super) fn read(
    path: &Path,
    opener: &Opener,
    take: impl FnMut(KeyNumber, StoredKey) -> Result<(), VaultError>,
) -> Result<Totals, VaultError> {
    read_all(path, opener, take).map_err(Failed::of(path))
}

fn read_all(
    path: &Path,
    opener: &Opener,
    take: impl FnMut(KeyNumber, StoredKey) -> Result<(), VaultError>,
) -> Result<Totals, Failed> {
    let opened = opener.open(open(path).map_err(Failed::Vault)?);
    let input = opened.map_err(|why| open_error(path, why))?;
    format::read(input, take).map_err(|why| match why {
        ReadError::Backup(why) => Failed::Backup(why),
        // age's words for a chunk that is not authentic, or not there.
        ReadError::Io(why)
            if matches!(
                why.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Failed::Backup(BackupError::Broken)
        }
        ReadError::Io(why) => Failed::Vault(failed("cannot read", path, &why)),
        ReadError::Taker(why) => Failed::Vault(why),
    })
}

fn open(path: &Path) -> Result<BufReader<File>, VaultError> {
    let file = File::open(path).map_err(|why| failed("cannot open", path, &why))?;
    Ok(BufReader::new(file))
}

/// Whether a backup is opened by a passphrase; else an identity opens it.
///
/// # Errors
/// It cannot be read, or is no age file.
pub fn is_passphrase_protected(path: &Path) -> Result<bool, VaultError> {
    let wants = cipher::wants_passphrase(open(path)?);
    wants.map_err(|why| Failed::of(path)(open_error(path, why)))
}

fn open_error(path: &Path, why: OpenError) -> Failed {
    match why {
        OpenError::Backup(why) => Failed::Backup(why),
        OpenError::Io(why) => Failed::Vault(failed("cannot read", path, &why)),
    }
}
