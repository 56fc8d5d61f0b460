//! What a person does with a whole vault: looks it through, and changes the ways to unlock it.

use std::{collections::BTreeMap, sync::Arc};

use redb::{ReadableDatabase as _, ReadableTable as _};
use roamkey_ctap::ChangeSet;

use super::{
    HEADER, KEYS, Locked, META, Store, UNLOCKS,
    ledger::{self, Entry, Header, KeyNumber, Kind, Ledger, Seals},
};
use crate::vault::{VaultError, error::Damage, guarded, seal::SealingKey, unlock::Slot};

impl Locked {
    /// The schema that the file was written with.
    pub(crate) fn schema(&self) -> u32 {
        self.format.schema
    }

    /// All that can be read of a damaged vault, and what is wrong with its own rows. The store is
    /// for looking alone: to write it would make good what is not.
    pub(crate) fn survey(self, data_key: &SealingKey) -> Result<(Store, Vec<Damage>), VaultError> {
        match guarded(|| self.read_rows(data_key)) {
            Ok(read) => read,
            Err(structure) => Err(structure.into()),
        }
    }

    fn read_rows(self, data_key: &SealingKey) -> Result<(Store, Vec<Damage>), VaultError> {
        let seals = Seals::new(self.format.vault, data_key)?;
        let mut damage = Vec::new();
        let read = self.db.begin_read()?;
        let header: Option<Header> = match read.open_table(META)?.get(HEADER)? {
            Some(sealed) => seals.open_value(Kind::Header, 0, sealed.value()),
            None => None,
        };
        if header.is_none() {
            damage.push(Damage::Header);
        }
        let unlocks = seals.digest_clear(super::slot_rows(&read.open_table(UNLOCKS)?)?);
        let written = header.as_ref().and_then(|header| header.unlocks);
        // Schema 1 did not answer for them.
        let answered = written.is_some() || self.format.schema > 1;
        if header.is_some() && answered && written != Some(unlocks) {
            damage.push(Damage::Unlocks);
        }
        let mut keys = BTreeMap::new();
        let mut sum = ledger::Sum::default();
        for row in read.open_table(KEYS)?.iter()? {
            let (number, sealed) = row?;
            let number = KeyNumber(number.value());
            let (part, _) = seals.part(Kind::Key, &number.0.to_be_bytes(), sealed.value());
            sum.toggle(part);
            match seals.open_value(Kind::Key, number.0, sealed.value()) {
                Some(row) => {
                    keys.insert(number, Entry { row, part });
                }
                None => damage.push(Damage::Key(number)),
            }
        }
        let snapshots = super::snapshot::read(&read, &seals, &mut sum)?;
        drop(read);
        // A row that cannot be read is reason enough for a sum that is another.
        let whole = !damage.iter().any(|damage| matches!(damage, Damage::Key(_)));
        if whole && header.as_ref().is_some_and(|header| header.sum != sum) {
            damage.push(Damage::Keys);
        }
        let store = Store {
            db: self.db,
            seals,
            vault: self.format.vault,
            schema: self.format.schema,
            ledger: Ledger {
                commit: header.as_ref().map_or(0, |header| header.commit),
                sum,
                unlocks: written,
                authority: header.and_then(|header| header.authority),
                keys,
                snapshots,
            },
            in_use: Arc::default(),
        };
        Ok((store, damage))
    }
}

impl Store {
    /// All that is wrong with the keys and the snapshots.
    pub(crate) fn check_keys(&self) -> Result<Vec<Damage>, VaultError> {
        let mut damage = Vec::new();
        for number in self.numbers() {
            // What one key's rows do to the reader, another's need not.
            match guarded(|| self.check_whole_key(number)) {
                Ok(found) => damage.extend(found?),
                Err(structure) if damage.contains(&structure) => {}
                Err(structure) => damage.push(structure),
            }
        }
        for snapshot in self.snapshots() {
            match guarded(|| self.check_snapshot(&snapshot.name)) {
                Ok(Ok(())) => {}
                Ok(Err(VaultError::Damaged(found))) | Err(found) => damage.push(found),
                Ok(Err(other)) => return Err(other),
            }
        }
        Ok(damage)
    }

    fn check_whole_key(&self, number: KeyNumber) -> Result<Vec<Damage>, VaultError> {
        let mut damage = self.check_key(number)?;
        if damage.is_empty() {
            match self.key_state(number) {
                Ok(_) => {}
                Err(VaultError::Damaged(found)) => damage.push(found),
                Err(other) => return Err(other),
            }
        }
        Ok(damage)
    }

    /// Changes what several keys remember, in one commit that comes after `seen` others: it is
    /// then later than every copy with as many, and each of those is the older one.
    pub(crate) fn change_keys_after(
        &mut self,
        seen: u64,
        changes: Vec<(KeyNumber, ChangeSet)>,
    ) -> Result<(), VaultError> {
        self.ledger.commit = self.ledger.commit.max(seen);
        self.write(|transaction| {
            changes
                .into_iter()
                .try_for_each(|(number, set)| transaction.apply(number, set))
        })
    }

    /// Adds a way to unlock the vault, and takes others away.
    pub(crate) fn change_slots(
        &mut self,
        add: Option<&Slot>,
        remove: &[u32],
    ) -> Result<(), VaultError> {
        self.write(|transaction| {
            remove
                .iter()
                .try_for_each(|id| transaction.remove_slot(*id))?;
            add.map_or(Ok(()), |slot| transaction.put_slot(slot))
        })
    }
}
