//! The keys of a vault: made, found, renamed, removed.

use roamkey_ctap::{ChangeSet, KeyState, Record};

use super::{Store, ledger::KeyNumber};
use crate::{
    key::Seed,
    vault::{
        Damage, VaultError,
        record::{Identity, KeyId, Stored, StoredProfile},
    },
};

/// The longest name of a key, in bytes.
pub const MAX_KEY_NAME_LEN: usize = 64;

impl KeyId {
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Identity {
    /// A new key's. `created` is in seconds since 1970.
    ///
    /// # Errors
    /// The name is none, or the system has no randomness to give.
    pub(crate) fn new(
        name: &str,
        profile: StoredProfile,
        created: u64,
    ) -> Result<Self, VaultError> {
        check_name(name)?;
        let mut serial = [0; 8];
        getrandom::fill(&mut serial)?;
        Ok(Self {
            id: KeyId::random()?,
            name: name.to_owned(),
            serial: format!("{:016X}", u64::from_be_bytes(serial)),
            created,
            profile,
        })
    }
}

/// Whether a key may have this name.
pub(crate) fn check_name(name: &str) -> Result<(), VaultError> {
    check_name_of("key", name)
}

/// Whether a `what` may have this name.
pub(super) fn check_name_of(what: &str, name: &str) -> Result<(), VaultError> {
    let good = !name.is_empty()
        && name.len() <= MAX_KEY_NAME_LEN
        && name.trim() == name
        && !name.chars().any(char::is_control);
    if good {
        return Ok(());
    }
    Err(VaultError::Refused(format!(
        "a {what}'s name has 1 to {MAX_KEY_NAME_LEN} bytes, no control characters, and no space at \
         either end"
    )))
}

impl Store {
    /// Makes a key; `like` is what `profile` says. `created` is in seconds since 1970 and becomes the start of its certificate's
    /// validity.
    ///
    /// # Errors
    /// The name is none or is taken, the vault is full, or the file cannot be written.
    pub fn add_key(
        &mut self,
        name: &str,
        profile: StoredProfile,
        created: u64,
        like: &roamkey_ctap::Profile,
    ) -> Result<KeyNumber, VaultError> {
        let identity = Identity::new(name, profile, created)?;
        let mut seed = Seed::random()?;
        let records = KeyState::create(seed.rng(), created, like);
        self.add_key_of(identity, records)
    }

    /// Puts a key together that was made elsewhere.
    pub(crate) fn add_key_of(
        &mut self,
        identity: Identity,
        records: ChangeSet,
    ) -> Result<KeyNumber, VaultError> {
        self.check_name_free(&identity.name)?;
        self.write(|transaction| {
            let number = transaction.add_key(identity.id)?;
            transaction.put(number, &Stored::Identity(identity))?;
            transaction.apply(number, records)?;
            Ok(number)
        })
    }

    /// Every key's number and identity, in the order of the numbers.
    ///
    /// # Errors
    /// An identity is not what was last written, or the file cannot be read.
    pub fn keys(&self) -> Result<Vec<(KeyNumber, Identity)>, VaultError> {
        let numbers = self.ledger.keys.keys();
        numbers
            .map(|number| Ok((*number, self.identity(*number)?)))
            .collect()
    }

    /// The key of this name, or with this bus id (`1-2`).
    ///
    /// # Errors
    /// There is none.
    pub fn find_key(&self, name: &str) -> Result<(KeyNumber, Identity), VaultError> {
        let keys = self.keys()?;
        let named = keys.iter().find(|(_, identity)| identity.name == name);
        let numbered = || keys.iter().find(|(number, _)| number.to_string() == name);
        named.or_else(numbered).cloned().ok_or_else(|| {
            let names: Vec<_> = keys.iter().map(|(_, key)| key.name.as_str()).collect();
            VaultError::Unknown(match names.is_empty() {
                true => "the vault has no keys: make one with `roamkey key add NAME`".to_owned(),
                false => format!("no key is called {name:?}; there is {}", names.join(", ")),
            })
        })
    }

    /// Gives a key another name.
    ///
    /// # Errors
    /// The name is none or is taken, or there is no such key.
    pub fn rename_key(&mut self, number: KeyNumber, name: &str) -> Result<(), VaultError> {
        check_name(name)?;
        let mut identity = self.identity(number)?;
        if identity.name == name {
            return Ok(());
        }
        self.check_name_free(name)?;
        name.clone_into(&mut identity.name);
        self.write(|transaction| transaction.put(number, &Stored::Identity(identity)))
    }

    /// Removes a key with everything in it.
    ///
    /// # Errors
    /// There is no such key.
    pub fn remove_key(&mut self, number: KeyNumber) -> Result<(), VaultError> {
        self.write(|transaction| transaction.remove_key(number))
    }

    /// Changes what a key remembers.
    ///
    /// # Errors
    /// There is no such key, or the file cannot be written.
    pub fn change_key(&mut self, number: KeyNumber, changes: ChangeSet) -> Result<(), VaultError> {
        self.write(|transaction| transaction.apply(number, changes))
    }

    /// Every record of a key, secrets included.
    ///
    /// # Errors
    /// A record is not what was last written.
    pub fn records(&self, number: KeyNumber) -> Result<Vec<Record>, VaultError> {
        Ok(self.load(number)?.records)
    }

    /// All that is wrong with a key's records; nothing, if all is well.
    ///
    /// # Errors
    /// There is no such key, or the file cannot be read.
    pub fn check(&self, number: KeyNumber) -> Result<Vec<Damage>, VaultError> {
        self.check_key(number)
    }

    /// What a key remembers.
    ///
    /// # Errors
    /// A record is not what was last written, or they do not make a key.
    pub fn key_state(&self, number: KeyNumber) -> Result<KeyState, VaultError> {
        let key = self.load(number)?;
        KeyState::load(key.records).map_err(|why| {
            let key = key.identity.name;
            let why = why.to_string();
            Damage::Incomplete { key, why }.into()
        })
    }

    pub(super) fn check_name_free(&self, name: &str) -> Result<(), VaultError> {
        let taken = self.keys()?.iter().any(|(_, key)| key.name == name);
        if taken {
            return Err(VaultError::Refused(format!(
                "there is a key called {name:?} already"
            )));
        }
        Ok(())
    }
}
