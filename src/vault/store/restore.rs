//! Keys out of a backup.
//!
//! What was used of them since the backup is not known, and the copy may have been in use
//! elsewhere: their counters are raised.

use roamkey_ctap::{Place, Record};

use super::{
    KeyNumber, Store, StoredKey,
    live::{self, Live},
    transaction::Transaction,
};
use crate::vault::{
    Backup, KeyId, VaultError,
    record::{Identity, Stored},
};

impl Store {
    /// Puts all keys of a backup into a vault without keys, in one commit; they have their
    /// numbers, ids, names and serials again. Every signature counter is raised by 65536.
    ///
    /// The vault takes over the backup's authority, where that has one: who trusts the root of the
    /// vault that was lost still trusts what its keys attest.
    ///
    /// # Errors
    /// The vault has keys, or the file cannot be written.
    pub fn restore(&mut self, backup: Backup) -> Result<Vec<KeyNumber>, VaultError> {
        if !self.ledger.keys.is_empty() {
            return Err(VaultError::Refused(
                "the vault has keys already: restore into a new one (--vault PATH), or one key \
                 alone with --key NAME --as NEW"
                    .to_owned(),
            ));
        }
        let numbers = self.write(|transaction| {
            if let Some(authority) = backup.authority {
                transaction.set_authority(authority);
            }
            let keys = backup.keys.into_iter().map(|(number, key)| {
                transaction.add_key_at(number, key.identity.id)?;
                transaction.put_restored(number, key, None)?;
                Ok(number)
            });
            keys.collect::<Result<Vec<_>, VaultError>>()
        })?;
        for number in &numbers {
            self.key_state(*number)?;
        }
        Ok(numbers)
    }

    /// Puts one key of a backup, `name`, into the vault as a new key `new_name`, in one commit. It
    /// has an id and a serial of its own; its counters are raised by 65536, and where the key that
    /// was backed up is in this vault, they are no lower than that key's, and its PIN has no more
    /// tries. `created` is in seconds since 1970. The vault's authority stays its own, so the key
    /// gets new certificates when it is opened.
    ///
    /// # Errors
    /// There is no such key in the backup, the new name is none or is taken, the vault is full, or
    /// the file cannot be written.
    pub fn restore_key(
        &mut self,
        backup: Backup,
        name: &str,
        new_name: &str,
        created: u64,
    ) -> Result<KeyNumber, VaultError> {
        let names: Vec<_> = backup.keys().map(|key| key.name.clone()).collect();
        let mut keys = backup.keys.into_iter();
        let found = keys.find(|(_, key)| key.identity.name == name);
        let (_, mut key) = found.ok_or_else(|| {
            let names = names.join(", ");
            VaultError::Unknown(format!(
                "no key of the backup is called {name:?}; there is {names}"
            ))
        })?;
        let live = self.live(key.identity.id)?;
        key.identity = Identity::new(new_name, key.identity.profile, created)?;
        self.check_name_free(new_name)?;
        let number = self.write(|transaction| {
            let number = transaction.add_key(key.identity.id)?;
            transaction.put_restored(number, key, live.as_ref())?;
            Ok(number)
        })?;
        self.key_state(number)?;
        Ok(number)
    }

    /// What the key of this id says of its counters and its PIN, if it is in the vault.
    fn live(&self, id: KeyId) -> Result<Option<Live>, VaultError> {
        let mut keys = self.ledger.keys.iter();
        let Some((number, _)) = keys.find(|(_, entry)| entry.row.id == id) else {
            return Ok(None);
        };
        let (stored, whole) = self.readable(*number)?;
        let records = stored.iter().filter_map(|stored| match stored {
            Stored::Record(record) => Some(record),
            Stored::Identity(_) => None,
        });
        Ok(Some(Live::of(records, whole)))
    }
}

impl Transaction<'_> {
    fn put_restored(
        &mut self,
        number: KeyNumber,
        mut key: StoredKey,
        live: Option<&Live>,
    ) -> Result<(), VaultError> {
        if !key
            .records
            .iter()
            .any(|record| record.place() == Place::Counter)
        {
            key.records.push(Record::Counter { ceiling: 0 });
        }
        let retries: Vec<_> = live::fewer_retries(&key.records, live).collect();
        self.put(number, &Stored::Identity(key.identity))?;
        for record in key.records {
            self.put(number, &Stored::Record(live::restored(record, live)))?;
        }
        for retries in retries {
            self.put(number, &Stored::Record(retries))?;
        }
        Ok(())
    }
}
