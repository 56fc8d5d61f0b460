//! A vault in one process's hands: found, locked against others, unlocked, and used directly or
//! served to keys.

use std::path::Path;

use super::{
    VaultError,
    anchor::Anchor,
    file::{Disk, Lock, Medium, make_directory_of},
    seal::{SealingKey, VaultId},
    store::{Locked, Store},
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
        if !path.exists() {
            return Err(VaultError::NotFound(path.to_owned()));
        }
        let lock = Lock::take(path)?;
        let mut medium = Disk::new(path);
        let locked = Locked::open(medium.open()?, path)?;
        let anchor = Anchor::of(locked.vault())?;
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
        let store = self.locked.unlock(&data_key)?;
        let mut anchor = self.anchor;
        if let Some(anchor) = &mut anchor {
            match anchor.check(&store) {
                Err(VaultError::OlderCopy { .. }) if accept_older => {}
                checked => checked?,
            }
        }
        Ok(OpenVault {
            store,
            medium: self.medium,
            data_key,
            lock: self.lock,
            anchor,
        })
    }
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
        make_directory_of(path)?;
        let lock = Lock::take(path)?;
        if path.exists() {
            return Err(VaultError::Exists(path.to_owned()));
        }
        let vault = VaultId::random()?;
        let mut open = Self::create_on(Box::new(Disk::new(path)), vault, with, created)?;
        open.lock = Some(lock);
        open.anchor = Some(Anchor::of(vault)?);
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
        let slot = Slot::create(1, created, &vault, &data_key, with)?;
        let made = medium
            .open_fresh()
            .and_then(|backend| Store::create(backend, vault, &data_key, &slot))
            .and_then(|store| medium.adopt_fresh().map(|()| store));
        let store = made.inspect_err(|_| {
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
