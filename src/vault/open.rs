//! A vault in one process's hands: found, locked against others, unlocked, and used directly or
//! served to keys.

use std::{path::Path, sync::Arc};

use super::{
    VaultError,
    anchor::Anchor,
    file::{Activity, Backend, Disk, Lock, Medium, make_directory_of, state_dir},
    seal::{SealingKey, VaultId},
    store::{Locked, SCHEMA, Store},
    unlock::{Slot, Unlock},
};

/// A vault that this process has and cannot read yet.
pub struct LockedVault {
    pub(super) locked: Locked,
    pub(super) medium: Box<dyn Medium>,
    lock: Option<Lock>,
    anchor: Option<Anchor>,
}

impl LockedVault {
    /// Opens the vault in a file; until it is dropped, no other process can.
    ///
    /// # Errors
    /// There is none, another process has it, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        Self::open_in(path, &state_dir()?)
    }

    /// The same with another directory for what this machine has seen of vaults.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in(path: &Path, state: &Path) -> Result<Self, VaultError> {
        Self::take(path, state, Locked::open)
    }

    pub(super) fn take(
        path: &Path,
        state: &Path,
        open: impl FnOnce(Backend, &Path) -> Result<Locked, VaultError>,
    ) -> Result<Self, VaultError> {
        if !path.exists() {
            return Err(VaultError::NotFound(path.to_owned()));
        }
        let lock = Lock::take(path)?;
        let mut medium = Disk::new(path);
        let locked = open(medium.open()?, path)?;
        let anchor = Anchor::new(state, locked.vault());
        Ok(Self {
            locked,
            medium: Box::new(medium),
            lock: Some(lock),
            anchor: Some(anchor),
        })
    }

    /// Opens the vault on a medium of the caller's, with no lock and no anchor.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open_on(mut medium: Box<dyn Medium>) -> Result<Self, VaultError> {
        let backend = medium.open()?;
        let locked = Locked::open(backend, medium.path())?;
        Ok(Self {
            locked,
            medium,
            lock: None,
            anchor: None,
        })
    }

    /// Which vault it is.
    pub fn vault(&self) -> VaultId {
        self.locked.vault()
    }

    /// The ways to unlock it.
    pub fn slots(&self) -> &[Slot] {
        self.locked.slots()
    }

    /// Unlocks it in the first of its ways that `with` fits.
    ///
    /// # Errors
    /// None fits, what was brought is wrong, the vault is damaged, or this machine has seen more
    /// of it ([`VaultError::OlderCopy`]).
    pub fn unlock(self, with: &Unlock) -> Result<OpenVault, VaultError> {
        let data_key = self.data_key(with)?;
        self.unlock_with(data_key, false)
    }

    /// The data key, from the first way that `with` fits.
    pub(super) fn data_key(&self, with: &Unlock) -> Result<SealingKey, VaultError> {
        let vault = self.vault();
        let mut failure = None;
        for slot in self
            .slots()
            .iter()
            .filter(|slot| slot.kind() == with.kind())
        {
            match slot.open(&vault, with) {
                Ok(data_key) => return Ok(data_key),
                Err(why) => failure = Some(why),
            }
        }
        Err(match failure {
            Some(why) => why.into(),
            None => VaultError::Refused(format!(
                "the vault is not unlocked by a {}: `roamkey vault unlock list` shows what does",
                with.kind()
            )),
        })
    }

    /// Unlocks it with its data key. `accept_older` takes an older copy for the vault.
    pub(crate) fn unlock_with(
        self,
        data_key: SealingKey,
        accept_older: bool,
    ) -> Result<OpenVault, VaultError> {
        let mut store = self.locked.unlock(&data_key)?;
        let (mut anchor, mut medium) = (self.anchor, self.medium);
        if let Some(anchor) = &mut anchor {
            match anchor.check(&store) {
                Err(VaultError::OlderCopy { .. }) if accept_older => {}
                checked => checked?,
            }
        }
        migrate(&mut store, &mut *medium)?;
        Ok(OpenVault {
            store,
            medium,
            data_key,
            lock: self.lock,
            anchor,
        })
    }
}

/// Brings a vault of an older schema to this one, after a copy of it as it is.
fn migrate(store: &mut Store, medium: &mut dyn Medium) -> Result<(), VaultError> {
    let schema = store.schema();
    if schema == SCHEMA {
        return Ok(());
    }
    store.copy_to(medium.open_copy(schema)?)?;
    store.migrate()?;
    tracing::warn!(
        path = %medium.path().display(),
        "the vault was of schema {schema} and is of schema {SCHEMA} now; a copy as it was is \
         beside it"
    );
    Ok(())
}

/// Gives a vault its name whose creation was cut short just before: its key file is there, and is
/// in the way of another. Whatever else lies under the temporary name stays there.
fn finish_creation(path: &Path, with: &Unlock) -> Result<bool, VaultError> {
    let mut disk = Disk::new(path);
    if !is_unfinished(&mut disk, with) {
        return Ok(false);
    }
    disk.adopt_fresh()?;
    tracing::info!(path = %path.display(), "the making of the vault was cut short; now it is done");
    Ok(true)
}

fn is_unfinished(disk: &mut Disk, with: &Unlock) -> bool {
    let store = disk.reopen_fresh().and_then(|backend| {
        let locked = Locked::open(backend, disk.path())?;
        let vault = locked.vault();
        let slots = locked.slots().iter();
        let opened = slots.filter(|slot| slot.kind() == with.kind());
        let data_key = opened
            .map(|slot| slot.open(&vault, with))
            .find_map(Result::ok);
        let data_key = data_key.ok_or_else(|| VaultError::Refused("another's".to_owned()))?;
        locked.unlock(&data_key)
    });
    // With keys in it, it is the copy of a vault that was in use, and lies somewhere else now.
    store.is_ok_and(|store| store.commits() == 1 && store.numbers().is_empty())
}

/// A vault that this process has and can read.
pub struct OpenVault {
    pub(super) store: Store,
    pub(super) medium: Box<dyn Medium>,
    pub(super) data_key: SealingKey,
    /// Held, and let go when the vault is closed.
    pub(super) lock: Option<Lock>,
    pub(super) anchor: Option<Anchor>,
}

impl OpenVault {
    /// Makes a vault in a new file, with one way to unlock it. `created` is in seconds since 1970.
    ///
    /// # Errors
    /// Something is there already, or it cannot be written.
    pub fn create(path: &Path, with: &Unlock, created: u64) -> Result<Self, VaultError> {
        Self::create_in(path, &state_dir()?, with, created)
    }

    /// The same with another directory for what this machine has seen of vaults.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_in(
        path: &Path,
        state: &Path,
        with: &Unlock,
        created: u64,
    ) -> Result<Self, VaultError> {
        make_directory_of(path)?;
        let lock = Lock::take(path)?;
        if path.exists() {
            return Err(VaultError::Exists(path.to_owned()));
        }
        if finish_creation(path, with)? {
            drop(lock);
            return LockedVault::open_in(path, state)?.unlock(with);
        }
        let vault = VaultId::random()?;
        let mut open = Self::create_on(Box::new(Disk::new(path)), vault, with, created)?;
        open.lock = Some(lock);
        open.anchor = Some(Anchor::new(state, vault));
        Ok(open)
    }

    /// Makes a vault on a medium of the caller's, with no lock and no anchor.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create_on(
        mut medium: Box<dyn Medium>,
        vault: VaultId,
        with: &Unlock,
        created: u64,
    ) -> Result<Self, VaultError> {
        let data_key = SealingKey::random()?;
        let draft = Slot::draft(1, created, &vault, &data_key, with)?;
        let backend = medium.open_fresh()?;
        let store = Store::create(backend, vault, &data_key, draft.slot())?;
        // The key file comes when the vault is whole, and the vault's name last: whoever finds a
        // key file without a vault finds the vault beside it, too, and can finish it.
        let slot = draft.place(&vault)?;
        medium.adopt_fresh().inspect_err(|_| {
            // Nothing is unlocked by it: what it left beside the vault goes with the vault.
            let _ = slot.forget(&vault);
        })?;
        Ok(Self {
            store,
            medium,
            data_key,
            lock: None,
            anchor: None,
        })
    }

    /// Which vault it is.
    pub fn vault(&self) -> VaultId {
        self.store.vault()
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.store.commits()
    }

    /// What is done with its file while it is open.
    pub fn activity(&self) -> Arc<Activity> {
        self.medium.activity()
    }

    /// What is in it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The same, to be changed.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// Notes what this machine has seen of the vault, and closes it.
    pub fn close(mut self) {
        if let Some(anchor) = &mut self.anchor {
            anchor.note(&mut self.store);
        }
    }
}
