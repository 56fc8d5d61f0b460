//! A vault in one person's hands: the ways to unlock it, a look through all of it, and an older
//! copy that is accepted.
//!
//! Deliberately absent: asking before something is lost, which is `cli`'s.

use std::path::Path;

use roamkey_ctap::KeyState;

use super::{
    Damage, VaultError,
    file::state_dir,
    open::{LockedVault, OpenVault},
    store::{KeyNumber, Locked},
    unlock::{Slot, Unlock, UnlockError},
};

/// How far every signature counter is raised in an older copy: more than a person signs in.
const OLDER_COPY_SKIP: u32 = 65_536;

/// An older copy of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OlderCopy {
    /// Its commits.
    pub commit: u64,
    /// The commits that this machine has seen.
    pub seen: u64,
}

impl LockedVault {
    /// Opens a file of which [`Self::open`] said that it was changed, for [`Self::survey`] alone.
    ///
    /// # Errors
    /// Nothing can be read of it, or another process has it. Reading it may end the process.
    pub fn open_as_it_is(path: &Path) -> Result<Self, VaultError> {
        Self::take(path, &state_dir()?, Locked::open_as_it_is)
    }

    /// The schema that the file was written with.
    pub fn schema(&self) -> u32 {
        self.locked.schema()
    }

    /// How long the file is, in bytes.
    pub fn length(&self) -> u64 {
        self.medium.length()
    }

    /// Unlocks a vault of which this machine has seen more; [`OpenVault::accept_older`] has to
    /// follow.
    ///
    /// # Errors
    /// As [`Self::unlock`], but for that.
    pub fn unlock_older(self, with: &Unlock) -> Result<OpenVault, VaultError> {
        let data_key = self.data_key(with)?;
        self.unlock_with(data_key, true)
    }

    /// All that is wrong with a vault that does not unlock for damage.
    ///
    /// # Errors
    /// As [`Self::unlock`], but for damage; or the file cannot be read.
    pub fn survey(self, with: &Unlock) -> Result<Vec<Damage>, VaultError> {
        let data_key = self.data_key(with)?;
        let (store, mut damage) = self.locked.survey(&data_key)?;
        damage.extend(store.check_keys()?);
        Ok(damage)
    }
}

impl OpenVault {
    /// All that is wrong with the keys.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn check(&self) -> Result<Vec<Damage>, VaultError> {
        self.store.check_keys()
    }

    /// Takes an older copy for the vault: every signature counter goes on far above where it
    /// was, and every later copy that this machine has seen is the older one from now on.
    ///
    /// # Errors
    /// The vault cannot be read or written.
    pub fn accept_older(&mut self, older: OlderCopy) -> Result<(), VaultError> {
        let mut changes = Vec::new();
        for number in self.store.numbers() {
            let state = self.store.key_state(number)?;
            changes.push((number, state.raise_counters(OLDER_COPY_SKIP)));
        }
        self.store.change_keys_after(older.seen, changes)
    }

    /// The ways to unlock it.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn slots(&self) -> Result<Vec<Slot>, VaultError> {
        self.store.slots()
    }

    /// How long the file is, in bytes.
    pub fn length(&self) -> u64 {
        self.medium.length()
    }

    /// What every key remembers.
    ///
    /// # Errors
    /// A key is damaged.
    pub fn key_states(&self) -> Result<Vec<(KeyNumber, KeyState)>, VaultError> {
        let numbers = self.store.numbers().into_iter();
        numbers
            .map(|number| Ok((number, self.store.key_state(number)?)))
            .collect()
    }

    /// Adds a way to unlock the vault, and sees that it does. `created` is in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be made, does not open the vault, or cannot be written; then nothing is left.
    pub fn add_unlock(&mut self, with: &Unlock, created: u64) -> Result<Slot, VaultError> {
        let vault = self.vault();
        let slots = self.slots()?;
        let last = slots.iter().map(|slot| slot.id).max().unwrap_or(0);
        let id = last.checked_add(1).ok_or_else(|| {
            VaultError::Refused("the vault has no number left for a way to unlock it".to_owned())
        })?;
        let slot = Slot::create(id, created, &vault, &self.data_key, with)?;
        let stored = self.store.change_slots(Some(&slot), &[]);
        let proven = stored.and_then(|()| self.prove(id, with));
        match proven {
            Ok(()) => Ok(slot),
            Err(why) => {
                // Neither need be there; what went wrong is what a person wants to know.
                let _ = self.store.change_slots(None, &[id]);
                let _ = slot.forget(&vault);
                Err(why)
            }
        }
    }

    /// Whether what stands in the file opens with what a person has.
    fn prove(&self, id: u32, with: &Unlock) -> Result<(), VaultError> {
        let slots = self.slots()?;
        let slot = slots.iter().find(|slot| slot.id == id);
        let opened = slot
            .map(|slot| slot.open(&self.vault(), with))
            .transpose()?;
        match opened {
            Some(data_key) if data_key == self.data_key => Ok(()),
            Some(_) | None => Err(VaultError::Refused(format!(
                "the new {} does not open the vault, and was not added",
                with.kind()
            ))),
        }
    }

    /// Takes a way to unlock the vault away. The answer says why what it left outside, a key file
    /// or an entry in the keyring, is still there, if it is.
    ///
    /// # Errors
    /// There is no such way, it is the last one, or the vault cannot be written.
    pub fn remove_unlock(&mut self, id: u32) -> Result<Option<UnlockError>, VaultError> {
        let vault = self.vault();
        let slots = self.slots()?;
        let Some(slot) = slots.iter().find(|slot| slot.id == id) else {
            return Err(VaultError::Unknown(format!("the vault has no unlock {id}")));
        };
        if slots.len() == 1 {
            return Err(VaultError::Refused(format!(
                "this {} is the last way to unlock the vault, and nobody could open it any more: \
                 add another with `roamkey vault unlock add` first",
                slot.kind()
            )));
        }
        self.store.change_slots(None, &[id])?;
        Ok(slot.forget(&vault).err())
    }
}
