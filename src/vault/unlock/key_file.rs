//! Key files: 32 random bytes in a text file that only its owner can read.
//!
//! The first line says which vault it opens, so that a file of another vault is told at once;
//! whether it belongs to an unlock, the seal tells. Deliberately absent on Windows: permissions
//! of its own, since a file there has those of its directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{KeyFileError, UnlockError};
use crate::vault::seal::VaultId;

/// Longer files are not key files. In bytes.
const LONGEST: usize = 4096;
/// Length of the key in it, in bytes.
const KEY_LEN: usize = 32;
/// What the first line begins with; the vault's id follows.
const TITLE: &str = "# roamkey key file for vault ";

fn error(path: &Path, why: KeyFileError) -> UnlockError {
    UnlockError::KeyFile {
        path: path.into(),
        why,
    }
}

fn reason(why: io::Error) -> KeyFileError {
    if why.kind() == io::ErrorKind::NotFound {
        KeyFileError::Missing
    } else if why.kind() == io::ErrorKind::PermissionDenied {
        KeyFileError::Denied
    } else if why.kind() == io::ErrorKind::AlreadyExists {
        KeyFileError::Exists
    } else {
        KeyFileError::Failed(why.to_string())
    }
}

/// The path that a vault notes down: it still holds where the working directory is another. A file
/// in that place is refused before anything is made that would need it.
pub(super) fn place(path: &Path) -> Result<String, UnlockError> {
    if fs::symlink_metadata(path).is_ok() && !is_blank(path) {
        return Err(error(path, KeyFileError::Exists));
    }
    let absolute = std::path::absolute(path).map_err(|why| error(path, reason(why)))?;
    absolute
        .into_os_string()
        .into_string()
        .map_err(|_| error(path, KeyFileError::NotUnicode))
}

/// Writes a new file, or one in the place of a blank one. When this returns, it is on the disk; if it fails, there is none.
pub(super) fn write(
    path: &Path,
    vault: &VaultId,
    slot: u32,
    key: &[u8],
) -> Result<(), UnlockError> {
    let digits = Zeroizing::new(base16ct::lower::encode_string(key));
    let text = Zeroizing::new(format!(
        "{TITLE}{vault}\n\
         # It is unlock {slot} of that vault. Who has this file can open the vault: keep it where\n\
         # only you can read it, and keep a copy where a broken disk does not reach.\n\
         {}\n",
        *digits
    ));
    if is_blank(path) {
        // Not written into: others may be allowed to read it.
        fs::remove_file(path).map_err(|why| error(path, reason(why)))?;
    }
    let mut file = create(path).map_err(|why| error(path, reason(why)))?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_directory(path));
    written.map_err(|why| {
        // What is there by now is no key to anything.
        let _ = fs::remove_file(path);
        error(path, reason(why))
    })
}

/// The key in the file. It may be a pipe, such as the shell's `<(pass show roamkey)`.
pub(super) fn read(path: &Path, vault: &VaultId) -> Result<Zeroizing<Vec<u8>>, UnlockError> {
    let (found, key) = load(path).map_err(|why| error(path, why))?;
    if found == *vault {
        Ok(key)
    } else {
        Err(error(path, KeyFileError::OtherVault(found)))
    }
}

/// Removes the file if it holds a key that `ours` knows. Anything else is left alone: what was
/// meant is no longer there, or the vault's file was changed to name it.
pub(super) fn remove(
    path: &Path,
    vault: &VaultId,
    ours: impl FnOnce(&[u8]) -> bool,
) -> Result<(), UnlockError> {
    // Opening a pipe would wait for whoever writes into it.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok(());
    }
    match load(path) {
        Ok((found, key)) if found == *vault && ours(&key) => {
            let removed = fs::remove_file(path).and_then(|()| sync_directory(path));
            removed.map_err(|why| error(path, reason(why)))
        }
        Ok(_) | Err(KeyFileError::Missing | KeyFileError::NotKeyFile) => Ok(()),
        Err(why) => Err(error(path, why)),
    }
}

fn load(path: &Path) -> Result<(VaultId, Zeroizing<Vec<u8>>), KeyFileError> {
    let file = File::open(path).map_err(reason)?;
    warn_if_shared(path, &file);
    // All its room at once: a text that moved would leave a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    file.take(LONGEST as u64 + 1)
        .read_to_end(&mut text)
        .map_err(reason)?;
    if text.len() > LONGEST {
        return Err(KeyFileError::NotKeyFile);
    }
    let text = str::from_utf8(&text).map_err(|_| KeyFileError::NotKeyFile)?;
    parse(text).ok_or(KeyFileError::NotKeyFile)
}

/// A title, then 64 hexadecimal digits among lines that are empty or comments.
fn parse(text: &str) -> Option<(VaultId, Zeroizing<Vec<u8>>)> {
    let mut lines = text.lines().map(str::trim_end);
    let id = lines.next()?.strip_prefix(TITLE)?;
    let mut vault = [0; 16];
    if base16ct::mixed::decode(id, &mut vault).ok()?.len() != vault.len() {
        return None;
    }
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let digits = lines.next()?;
    let mut key = Zeroizing::new(vec![0; KEY_LEN]);
    let length = base16ct::mixed::decode(digits, &mut key).ok()?.len();
    (length == KEY_LEN && lines.next().is_none()).then_some((VaultId::from(vault), key))
}

/// Whether a file has nothing in it, or zeros alone: a write that was cut short leaves that. Nobody
/// loses a key with it.
fn is_blank(path: &Path) -> bool {
    let short = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_file() && found.len() <= LONGEST as u64);
    short && fs::read(path).is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))
}

/// A new file of this user's alone; the umask cannot take more than others' permissions.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a name in a directory last. Windows has no such call, and keeps names by itself.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            Some(_) | None => PathBuf::from("."),
        };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// A key file that others can read still opens the vault: refusing would lock out its owner.
#[cfg(unix)]
fn warn_if_shared(path: &Path, file: &File) {
    use std::os::unix::fs::MetadataExt;

    const OTHERS: u32 = 0o077;
    if let Ok(metadata) = file.metadata()
        && metadata.is_file()
        && metadata.mode() & OTHERS != 0
    {
        let path = path.display();
        tracing::warn!("other users can read the key file {path}: chmod 600 it");
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &Path, _: &File) {}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "000102030405060708090a0b0c0d0e0f";

    fn vault() -> VaultId {
        let mut counter = 0..;
        VaultId::from([(); 16].map(|()| counter.next().expect("a byte")))
    }

    #[test]
    fn text_with_title_and_digits_is_a_key() {
        let digits = "0f".repeat(32);
        let texts = [
            format!("{TITLE}{ID}\n{digits}"),
            format!("{TITLE}{ID}\r\n# moved by hand\r\n\r\n{digits}\r\n\r\n"),
            format!("{TITLE}{}\n{}\n", ID.to_uppercase(), digits.to_uppercase()),
        ];
        for text in texts {
            let (found, key) = parse(&text).expect("a key file");
            assert_eq!(found, vault());
            assert_eq!(*key, [0x0f; KEY_LEN]);
        }
    }

    #[test]
    fn other_text_is_no_key_file() {
        let digits = "0f".repeat(32);
        let texts = [
            String::new(),
            digits.clone(),
            format!("{TITLE}{ID}\n"),
            format!("{TITLE}{ID}\n{}", digits.split_at(2).1),
            format!("{TITLE}{ID}\n{digits}00"),
            format!("{TITLE}{ID}\n{}g", digits.split_at(1).1),
            format!("{TITLE}{ID}\n{digits}\n{digits}"),
            format!("{TITLE}{}\n{digits}", ID.split_at(2).1),
            format!("{TITLE}{ID}00\n{digits}"),
            format!("# another title {ID}\n{digits}"),
        ];
        for text in texts {
            assert!(parse(&text).is_none(), "{text}");
        }
    }
}
