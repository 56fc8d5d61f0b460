//! Snapshots: copies of all keys as they were, inside the vault.
//!
//! A record's seal does not name the key's number, and a copy keeps the key's id and row, so
//! records are copied as they lie in the file. What a snapshot says of itself is part of the
//! vault's sum: one that was removed or put back is noticed when the vault is unlocked. Its
//! records are looked at before a rollback. redb's own savepoints are not used: while there is
//! one, the file cannot be compacted.

mod rollback;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use redb::{
    ReadTransaction, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, TableError,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::{
    NumberTable, Store, copy_table,
    keys::check_name_of,
    ledger::{KeyNumber, KeyRow, Kind, RowKey, Seals, Sum, Written, bytes_of},
    transaction::{Transaction, unencodable},
};
use crate::{
    limits::MOST_SNAPSHOTS,
    vault::{
        VaultError,
        error::Damage,
        record::{KeyId, Stored},
    },
};
pub use rollback::{KeyLoss, Loss, Passkey};

const SNAPSHOTS: NumberTable = TableDefinition::new("snapshots");
const SNAPSHOT_RECORDS: TableDefinition<'static, &'static CopyKey, &'static [u8]> =
    TableDefinition::new("snapshot_records");

/// A row of the copied records: the snapshot's number, and the row that the record had.
type CopyKey = [u8; 24];

/// A snapshot as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What its owner calls it; no two of a vault share a name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// How many commits there were.
    pub commit: u64,
    /// How many keys are in it.
    pub keys: usize,
}

/// A snapshot's row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotRow {
    name: String,
    created: u64,
    commit: u64,
    keys: Vec<(KeyNumber, KeyRow)>,
}

/// A snapshot's row, and its part of the ledger's sum.
#[derive(Debug)]
pub(super) struct SnapshotEntry {
    row: SnapshotRow,
    part: Sum,
}

impl SnapshotEntry {
    /// How many bytes its records take.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.row.keys.iter().map(|(_, key)| key.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

fn copy_key(snapshot: u32, row: &RowKey) -> CopyKey {
    let mut key = [0; 24];
    let bytes = snapshot.to_be_bytes().into_iter().chain(*row);
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = from;
    }
    key
}

fn row_in(key: &CopyKey) -> RowKey {
    key.last_chunk().copied().unwrap_or_default()
}

/// The first and the last row that a copy of the key's records can have.
fn copies_of(snapshot: u32, number: KeyNumber) -> (CopyKey, CopyKey) {
    let (first, last) = super::rows_of(number);
    (copy_key(snapshot, &first), copy_key(snapshot, &last))
}

/// A table that is made with the first snapshot.
fn if_there<T>(opened: Result<T, TableError>) -> Result<Option<T>, VaultError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// Reads the snapshots' rows and puts their parts into the sum.
pub(super) fn read(
    read: &ReadTransaction,
    seals: &Seals,
    sum: &mut Sum,
) -> Result<BTreeMap<u32, SnapshotEntry>, VaultError> {
    let mut snapshots = BTreeMap::new();
    let Some(table) = if_there(read.open_table(SNAPSHOTS))? else {
        return Ok(snapshots);
    };
    for row in table.iter()? {
        let (number, sealed) = row?;
        let (number, sealed) = (number.value(), sealed.value());
        let row = seals
            .open_value(Kind::Snapshot, number, sealed)
            .ok_or_else(|| Damage::Snapshot {
                name: format!("number {number}"),
            })?;
        let (part, _) = seals.part(Kind::Snapshot, &number.to_be_bytes(), sealed);
        sum.toggle(part);
        snapshots.insert(number, SnapshotEntry { row, part });
    }
    Ok(snapshots)
}

/// Copies the snapshots' tables, as they lie there.
pub(super) fn copy_tables(
    read: &ReadTransaction,
    write: &WriteTransaction,
) -> Result<(), VaultError> {
    if if_there(read.open_table(SNAPSHOTS))?.is_some() {
        copy_table(read, write, SNAPSHOTS)?;
        copy_table(read, write, SNAPSHOT_RECORDS)?;
    }
    Ok(())
}

impl Store {
    /// Keeps a copy of all keys as they are. `created` is in seconds since 1970.
    ///
    /// # Errors
    /// The name is none or is taken, a record is not what was last written, or the file cannot be
    /// written.
    pub fn snapshot(&mut self, name: &str, created: u64) -> Result<(), VaultError> {
        check_name_of("snapshot", name)?;
        if self.snapshots().iter().any(|found| found.name == name) {
            return Err(VaultError::Refused(format!(
                "there is a snapshot called {name:?} already"
            )));
        }
        if self.ledger.snapshots.len() >= MOST_SNAPSHOTS {
            return Err(VaultError::Refused(format!(
                "a vault has {MOST_SNAPSHOTS} snapshots at most: remove one first"
            )));
        }
        let mut numbers = 1..=u32::MAX;
        let number = numbers.find(|number| !self.ledger.snapshots.contains_key(number));
        let keys = self.ledger.keys.iter();
        let row = SnapshotRow {
            name: name.to_owned(),
            created,
            commit: self.ledger.commit,
            keys: keys
                .map(|(number, key)| (*number, key.row.clone()))
                .collect(),
        };
        let number = number.unwrap_or_default();
        let made = self.write(|transaction| transaction.add_snapshot(number, row));
        made.or_else(|why| Err(self.first_damage()?.map_or(why, VaultError::from)))
    }

    /// The snapshots, the oldest first.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let entries = self.ledger.snapshots.values();
        let mut snapshots: Vec<_> = entries
            .map(|SnapshotEntry { row, .. }| Snapshot {
                name: row.name.clone(),
                created: row.created,
                commit: row.commit,
                keys: row.keys.len(),
            })
            .collect();
        snapshots.sort_by_key(|snapshot| snapshot.commit);
        snapshots
    }

    /// Removes a snapshot; the keys stay as they are.
    ///
    /// # Errors
    /// There is none of this name, or the file cannot be written.
    pub fn remove_snapshot(&mut self, name: &str) -> Result<(), VaultError> {
        let (number, _) = self.find_snapshot(name)?;
        self.write(|transaction| transaction.remove_snapshot(number))
    }

    fn first_damage(&self) -> Result<Option<Damage>, VaultError> {
        for number in self.ledger.keys.keys() {
            if let Some(damage) = self.check_key(*number)?.into_iter().next() {
                return Ok(Some(damage));
            }
        }
        Ok(None)
    }

    /// Looks at all records of a snapshot.
    ///
    /// # Errors
    /// [`Damage::Snapshot`] if one is not what was copied; there is no such snapshot, or the file
    /// cannot be read.
    pub fn check_snapshot(&self, name: &str) -> Result<(), VaultError> {
        let (number, row) = self.find_snapshot(name)?;
        self.read_snapshot(number, row).map(drop)
    }

    fn find_snapshot(&self, name: &str) -> Result<(u32, &SnapshotRow), VaultError> {
        let mut entries = self.ledger.snapshots.iter();
        let found = entries.find(|(_, entry)| entry.row.name == name);
        found
            .map(|(number, entry)| (*number, &entry.row))
            .ok_or_else(|| {
                let names: Vec<_> = self.snapshots().into_iter().map(|s| s.name).collect();
                VaultError::Unknown(match names.is_empty() {
                    true => "the vault has no snapshots".to_owned(),
                    false => format!(
                        "no snapshot is called {name:?}; there is {}",
                        names.join(", ")
                    ),
                })
            })
    }

    /// Opens every copied record; each is what was copied.
    fn read_snapshot(
        &self,
        number: u32,
        row: &SnapshotRow,
    ) -> Result<BTreeMap<KeyId, Vec<Stored>>, VaultError> {
        let damaged = || Damage::Snapshot {
            name: row.name.clone(),
        };
        let read = self.db.begin_read()?;
        let records = if_there(read.open_table(SNAPSHOT_RECORDS))?.ok_or_else(damaged)?;
        let mut keys = BTreeMap::new();
        for (key_number, key) in &row.keys {
            let (first, last) = copies_of(number, *key_number);
            let mut stored = Vec::new();
            let mut seen = KeyRow::new(key.id);
            for copy in records.range::<&CopyKey>(&first..=&last)? {
                let (at, sealed) = copy?;
                let at = row_in(at.value());
                let opened = self.seals.open_record(key.id, &at, sealed.value());
                stored.push(opened.ok_or_else(damaged)?);
                seen.count(&self.seals, &at, sealed.value());
            }
            if seen != *key {
                return Err(damaged().into());
            }
            keys.insert(key.id, stored);
        }
        Ok(keys)
    }
}

impl KeyRow {
    /// Takes one more record into the account.
    fn count(&mut self, seals: &Seals, row: &RowKey, sealed: &[u8]) {
        let (part, _) = seals.part(Kind::Record, row, sealed);
        self.sum.toggle(part);
        self.records += 1;
        self.bytes = self.bytes.saturating_add(bytes_of(sealed));
    }
}

impl<'t> Transaction<'t> {
    fn snapshot_records(&self) -> Result<Table<'t, &'static CopyKey, &'static [u8]>, VaultError> {
        Ok(self.write.open_table(SNAPSHOT_RECORDS)?)
    }

    /// Copies the records of the keys in `row`, which are all that there are.
    fn add_snapshot(&mut self, number: u32, row: SnapshotRow) -> Result<(), VaultError> {
        let mut copies = self.snapshot_records()?;
        for (key_number, key) in &row.keys {
            let (first, last) = super::rows_of(*key_number);
            let (mut seen, mut readable) = (KeyRow::new(key.id), true);
            for record in self.records.range::<&RowKey>(&first..=&last)? {
                let (at, sealed) = record?;
                let opened = self.seals.open_record(key.id, at.value(), sealed.value());
                readable &= opened.is_some();
                seen.count(self.seals, at.value(), sealed.value());
                copies.insert(&copy_key(number, at.value()), sealed.value())?;
            }
            if !readable || seen != *key {
                let key = key_number.to_string();
                return Err(Damage::Total { key }.into());
            }
        }
        self.touched_snapshots.insert(number, Some(row));
        Ok(())
    }

    fn remove_snapshot(&mut self, number: u32) -> Result<(), VaultError> {
        let (first, _) = copies_of(number, KeyNumber(0));
        let (_, last) = copies_of(number, KeyNumber(u32::MAX));
        self.snapshot_records()?
            .retain_in::<&CopyKey, _>(&first..=&last, |_, _| false)?;
        self.touched_snapshots.insert(number, None);
        Ok(())
    }

    /// Writes the snapshots' rows.
    pub(super) fn finish_snapshots(&mut self, written: &mut Written) -> Result<(), VaultError> {
        if self.touched_snapshots.is_empty() {
            return Ok(());
        }
        let mut table = self.write.open_table(SNAPSHOTS)?;
        for (number, row) in std::mem::take(&mut self.touched_snapshots) {
            if let Some(old) = self.ledger.snapshots.get(&number) {
                written.sum.toggle(old.part);
            }
            let Some(row) = row else {
                table.remove(number)?;
                written.snapshots.push((number, None));
                continue;
            };
            let sealed = self.seals.seal_value(Kind::Snapshot, number, &row);
            let sealed = sealed.ok_or_else(unencodable)?;
            let (part, _) = self
                .seals
                .part(Kind::Snapshot, &number.to_be_bytes(), &sealed);
            table.insert(number, sealed.as_slice())?;
            written.sum.toggle(part);
            let entry = SnapshotEntry { row, part };
            written.snapshots.push((number, Some(entry)));
        }
        Ok(())
    }
}
