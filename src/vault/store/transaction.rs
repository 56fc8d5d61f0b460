//! A change of a vault: all of it becomes durable, or nothing.

use std::collections::BTreeMap;

use redb::{ReadableTable as _, Table, WriteTransaction};
use roamkey_ctap::{AttestationAuthority, Change, ChangeSet};

use super::{
    FORMAT, Format, HEADER, KEYS, META, RECORDS, SCHEMA, Store, UNLOCKS, WITNESSES,
    ledger::{Entry, Header, KeyNumber, KeyRow, Kind, Ledger, RowKey, Seals, Written, bytes_of},
    snapshot::SnapshotRow,
};
use crate::vault::{
    VaultError,
    record::{Address, KeyId, Stored},
    unlock::Slot,
};

/// What CBOR cannot hold is no record of ours.
pub(super) fn unencodable() -> VaultError {
    VaultError::system("a record cannot be encoded", "it is not CBOR")
}

impl Store {
    /// Runs `change` and makes what it did durable. After an error nothing of it is there; after
    /// one of the system ([`VaultError::System`]) nobody knows, and the store is not used again.
    pub(crate) fn write<T>(
        &mut self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let write = self.db.begin_write()?;
        let (outcome, written) = {
            let mut transaction = Transaction::open(&write, &mut self.seals, &self.ledger)?;
            let outcome = change(&mut transaction)?;
            (outcome, transaction.finish()?)
        };
        write.commit()?;
        self.ledger.take_over(written);
        Ok(outcome)
    }
}

/// The tables of a write transaction, and what it has changed so far.
pub(crate) struct Transaction<'t> {
    /// For tables that few transactions need.
    pub(super) write: &'t WriteTransaction,
    meta: Table<'t, &'static str, &'static [u8]>,
    unlocks: Table<'t, u32, &'static [u8]>,
    keys: Table<'t, u32, &'static [u8]>,
    pub(super) records: Table<'t, &'static RowKey, &'static [u8]>,
    pub(super) witnesses: Table<'t, &'static RowKey, &'static [u8; 16]>,
    pub(super) seals: &'t mut Seals,
    pub(super) ledger: &'t Ledger,
    /// The rows of keys that changed; `None` for a key that was removed.
    pub(super) touched: BTreeMap<KeyNumber, Option<KeyRow>>,
    unlocks_touched: bool,
    authority: Option<AttestationAuthority>,
    /// The same of snapshots.
    pub(super) touched_snapshots: BTreeMap<u32, Option<SnapshotRow>>,
}

impl<'t> Transaction<'t> {
    fn open(
        write: &'t WriteTransaction,
        seals: &'t mut Seals,
        ledger: &'t Ledger,
    ) -> Result<Self, VaultError> {
        Ok(Self {
            write,
            meta: write.open_table(META)?,
            unlocks: write.open_table(UNLOCKS)?,
            keys: write.open_table(KEYS)?,
            records: write.open_table(RECORDS)?,
            witnesses: write.open_table(WITNESSES)?,
            seals,
            ledger,
            touched: BTreeMap::new(),
            unlocks_touched: false,
            authority: ledger.authority.clone(),
            touched_snapshots: BTreeMap::new(),
        })
    }

    /// A key's row as it is now; `None` where there is no such key.
    pub(super) fn key(&self, number: KeyNumber) -> Option<&KeyRow> {
        match self.touched.get(&number) {
            Some(row) => row.as_ref(),
            None => self.ledger.keys.get(&number).map(|entry| &entry.row),
        }
    }

    /// What issues the keys' attestation certificates from now on.
    pub(crate) fn set_authority(&mut self, authority: AttestationAuthority) {
        self.authority = Some(authority);
    }

    /// Whether there is such a key.
    pub(crate) fn has_key(&self, number: KeyNumber) -> bool {
        self.key(number).is_some()
    }

    fn key_or_refuse(&self, number: KeyNumber) -> Result<KeyRow, VaultError> {
        let row = self.key(number).cloned();
        row.ok_or_else(|| VaultError::Unknown(format!("the vault has no key 1-{}", number.0)))
    }

    /// A new key without records, at the smallest number that is free.
    pub(crate) fn add_key(&mut self, id: KeyId) -> Result<KeyNumber, VaultError> {
        let number = (1..=super::MOST_KEYS)
            .map(KeyNumber)
            .find(|number| !self.has_key(*number))
            .ok_or_else(|| {
                VaultError::Refused(format!("a vault has {} keys at most", super::MOST_KEYS))
            })?;
        self.touched.insert(number, Some(KeyRow::new(id)));
        Ok(number)
    }

    /// A new key without records, at a number that is free.
    pub(super) fn add_key_at(&mut self, number: KeyNumber, id: KeyId) -> Result<(), VaultError> {
        if self.has_key(number) {
            return Err(VaultError::Refused(format!(
                "there is a key {number} already"
            )));
        }
        self.touched.insert(number, Some(KeyRow::new(id)));
        Ok(())
    }

    /// Removes a key with all its records.
    pub(crate) fn remove_key(&mut self, number: KeyNumber) -> Result<(), VaultError> {
        self.key_or_refuse(number)?;
        let (first, last) = super::rows_of(number);
        self.records
            .retain_in::<&RowKey, _>(&first..=&last, |_, _| false)?;
        self.witnesses
            .retain_in::<&RowKey, _>(&first..=&last, |_, _| false)?;
        self.touched.insert(number, None);
        Ok(())
    }

    /// Puts a record where it belongs.
    pub(crate) fn put(&mut self, number: KeyNumber, record: &Stored) -> Result<(), VaultError> {
        let mut key = self.key_or_refuse(number)?;
        let row = self.seals.row_key(number, key.id, record.address());
        let sealed = self.seals.seal_record(key.id, &row, record);
        let sealed = sealed.ok_or_else(unencodable)?;
        let (part, witness) = self.seals.part(Kind::Record, &row, &sealed);
        match self.records.insert(&row, sealed.as_slice())? {
            Some(old) => {
                let (old_part, _) = self.seals.part(Kind::Record, &row, old.value());
                key.sum.toggle(old_part);
                key.bytes = key.bytes.saturating_sub(bytes_of(old.value()));
            }
            None => key.records += 1,
        }
        self.witnesses.insert(&row, &witness)?;
        key.sum.toggle(part);
        key.bytes = key.bytes.saturating_add(bytes_of(&sealed));
        self.touched.insert(number, Some(key));
        Ok(())
    }

    /// Counts the bytes of all records of all keys anew.
    pub(super) fn count_bytes(&mut self) -> Result<(), VaultError> {
        let numbers: Vec<_> = self.ledger.keys.keys().copied().collect();
        for number in numbers {
            let mut key = self.key_or_refuse(number)?;
            let (first, last) = super::rows_of(number);
            key.bytes = 0;
            for row in self.records.range::<&RowKey>(&first..=&last)? {
                let (_, sealed) = row?;
                key.bytes = key.bytes.saturating_add(bytes_of(sealed.value()));
            }
            self.touched.insert(number, Some(key));
        }
        Ok(())
    }

    /// Removes a record, if there is one.
    pub(crate) fn delete(&mut self, number: KeyNumber, address: Address) -> Result<(), VaultError> {
        let mut key = self.key_or_refuse(number)?;
        let row = self.seals.row_key(number, key.id, address);
        if let Some(old) = self.records.remove(&row)? {
            let (part, _) = self.seals.part(Kind::Record, &row, old.value());
            key.sum.toggle(part);
            key.records = key.records.saturating_sub(1);
            key.bytes = key.bytes.saturating_sub(bytes_of(old.value()));
        }
        self.witnesses.remove(&row)?;
        self.touched.insert(number, Some(key));
        Ok(())
    }

    /// Applies a key's change set.
    pub(crate) fn apply(&mut self, number: KeyNumber, set: ChangeSet) -> Result<(), VaultError> {
        for change in set {
            match change {
                Change::Put(record) => self.put(number, &Stored::Record(record))?,
                Change::Delete(place) => self.delete(number, Address::Record(place))?,
            }
        }
        Ok(())
    }

    /// Writes which vault this is, and its schema.
    pub(super) fn put_format(&mut self) -> Result<(), VaultError> {
        let format = Format {
            schema: SCHEMA,
            vault: self.seals.vault(),
        };
        let mut bytes = Vec::new();
        ciborium::into_writer(&format, &mut bytes).map_err(|_| unencodable())?;
        self.meta.insert(FORMAT, bytes.as_slice())?;
        Ok(())
    }

    /// Adds a way to unlock, or replaces the one with its number.
    pub(crate) fn put_slot(&mut self, slot: &Slot) -> Result<(), VaultError> {
        let mut bytes = Vec::new();
        ciborium::into_writer(slot, &mut bytes).map_err(|_| unencodable())?;
        self.unlocks.insert(slot.id, bytes.as_slice())?;
        self.unlocks_touched = true;
        Ok(())
    }

    /// Removes a way to unlock.
    pub(crate) fn remove_slot(&mut self, id: u32) -> Result<(), VaultError> {
        self.unlocks.remove(id)?;
        self.unlocks_touched = true;
        Ok(())
    }

    /// Writes the vault's own rows.
    fn finish(mut self) -> Result<Written, VaultError> {
        let unlocks = match self.ledger.unlocks {
            Some(unlocks) if !self.unlocks_touched => unlocks,
            Some(_) | None => self.seals.digest_clear(super::slot_rows(&self.unlocks)?),
        };
        let mut written = Written {
            commit: self.ledger.commit + 1,
            sum: self.ledger.sum,
            unlocks,
            authority: self.authority.take(),
            keys: Vec::new(),
            snapshots: Vec::new(),
        };
        self.finish_snapshots(&mut written)?;
        for (number, row) in self.touched {
            if let Some(old) = self.ledger.keys.get(&number) {
                written.sum.toggle(old.part);
            }
            let Some(row) = row else {
                self.keys.remove(number.0)?;
                written.keys.push((number, None));
                continue;
            };
            let sealed = self.seals.seal_value(Kind::Key, number.0, &row);
            let sealed = sealed.ok_or_else(unencodable)?;
            let (part, _) = self.seals.part(Kind::Key, &number.0.to_be_bytes(), &sealed);
            self.keys.insert(number.0, sealed.as_slice())?;
            written.sum.toggle(part);
            written.keys.push((number, Some(Entry { row, part })));
        }
        let header = Header {
            commit: written.commit,
            sum: written.sum,
            unlocks: Some(written.unlocks),
            authority: written.authority.clone(),
        };
        let sealed = self.seals.seal_value(Kind::Header, 0, &header);
        let sealed = sealed.ok_or_else(unencodable)?;
        self.meta.insert(HEADER, sealed.as_slice())?;
        Ok(written)
    }
}
