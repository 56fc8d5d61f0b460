//! Another key like one that is there.

use super::{Store, ledger::KeyNumber};
use crate::vault::{
    VaultError,
    record::{Identity, Stored},
};

impl Store {
    /// Makes a key that has the same secrets, passkeys, PIN and profile, and an id, a serial and a
    /// name of its own, in one commit. Its counters go on from the ceilings that the key has, and
    /// its PIN has as many tries left; from then on the two know nothing of each other. `created`
    /// is in seconds since 1970.
    ///
    /// # Errors
    /// There is no such key, it is damaged, the name is none or is taken, the vault is full, or
    /// the file cannot be written.
    pub fn clone_key(
        &mut self,
        number: KeyNumber,
        name: &str,
        created: u64,
    ) -> Result<KeyNumber, VaultError> {
        let key = self.load(number)?;
        let identity = Identity::new(name, key.identity.profile, created)?;
        self.check_name_free(name)?;
        self.write(|transaction| {
            let number = transaction.add_key(identity.id)?;
            transaction.put(number, &Stored::Identity(identity))?;
            for record in key.records {
                transaction.put(number, &Stored::Record(record))?;
            }
            Ok(number)
        })
    }
}
