//! What this machine has seen of a vault, kept outside of it: an older copy of the whole file is
//! noticed by it.
//!
//! It is a file in the platform's directory for a program's state. Whoever can put an older vault
//! in place and an older anchor with it is not noticed, and a machine that has never seen the
//! vault has no anchor.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::{
    VaultError,
    file::{beside, make_directory_of, owner_only},
    seal::VaultId,
    store::Store,
};

/// An anchor is shorter than this, in bytes.
const MOST_BYTES: u64 = 1024;

/// Notes the commits of one vault.
#[derive(Debug)]
pub(crate) struct Anchor {
    path: PathBuf,
    noted: u64,
    /// A person is told once that it cannot be written.
    complained: bool,
}

impl Anchor {
    /// The anchor of a vault in this directory; nothing is read yet.
    pub(crate) fn new(directory: &Path, vault: VaultId) -> Self {
        Self {
            path: directory.join(format!("{vault}.anchor")),
            noted: 0,
            complained: false,
        }
    }

    /// Compares what was seen with what is there.
    ///
    /// # Errors
    /// [`VaultError::OlderCopy`]: more was seen.
    pub(crate) fn check(&mut self, store: &Store) -> Result<(), VaultError> {
        let seen = match self.read() {
            Ok(bytes) => store.open_anchor(&bytes),
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(why) => {
                tracing::debug!(%why, path = %self.path.display(), "the anchor cannot be read");
                None
            }
        };
        let Some(seen) = seen else {
            tracing::warn!(
                path = %self.path.display(),
                "what this machine has seen of the vault cannot be read: an older copy of it \
                 would not be noticed this time"
            );
            return Ok(());
        };
        self.noted = seen;
        let commit = store.commits();
        if commit < seen {
            return Err(VaultError::OlderCopy { commit, seen });
        }
        Ok(())
    }

    /// Notes the vault's commits, which are durable, if they are not noted yet.
    pub(crate) fn note(&mut self, store: &mut Store) {
        if store.commits() == self.noted {
            return;
        }
        match self.write(store) {
            Ok(()) => self.noted = store.commits(),
            Err(why) if self.complained => {
                tracing::debug!(%why, "the anchor cannot be written");
            }
            Err(why) => {
                self.complained = true;
                tracing::warn!(
                    %why,
                    path = %self.path.display(),
                    "cannot note what was seen of the vault: an older copy of it would not be \
                     noticed"
                );
            }
        }
    }

    /// Whether something is not noted yet.
    pub(crate) fn is_behind(&self, store: &Store) -> bool {
        store.commits() != self.noted && !self.complained
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = fs::File::open(&self.path)?;
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, store: &mut Store) -> Result<(), VaultError> {
        make_directory_of(&self.path)?;
        let sealed = store.seal_anchor()?;
        let draft = beside(&self.path, ".new");
        let written = owner_only()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&draft)
            .and_then(|mut file| file.write_all(&sealed))
            .and_then(|()| fs::rename(&draft, &self.path));
        written.map_err(|why| VaultError::system("cannot write the anchor", why))
    }
}
