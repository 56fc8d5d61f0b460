//! A vault's contents: sealed rows in one redb file, changed in transactions that are durable
//! before they are answered.
//!
//! | table | row |
//! | --- | --- |
//! | `meta` | the format, in clear; the sealed header |
//! | `unlocks` | ways to the data key (`unlock`), in clear but for what they wrap |
//! | `keys` | a key's id, how many records it has and what they amount to |
//! | `records` | a record, under the key's number and a keyed hash of its place |
//! | `witnesses` | for each record a keyed hash of what was last written there |
//! | `snapshots` | a copy's name, and for each key in it what `keys` said |
//! | `snapshot_records` | the copy's records as they were, under its number and their row |
//!
//! Deliberately absent: where the file is (`file`), when transactions run and what follows a
//! failure (`task`).

mod copy;
mod frozen;
mod keys;
mod ledger;
mod live;
mod load;
mod restore;
mod snapshot;
mod transaction;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _, StorageBackend,
    TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use super::{
    VaultError,
    error::{Broken, Damage},
    record::{Address, Identity, Stored},
    seal::{SealingKey, VaultId},
    unlock::Slot,
};
pub(crate) use frozen::Frozen;
pub use keys::MAX_KEY_NAME_LEN;
pub(crate) use keys::check_name;
pub use ledger::KeyNumber;
use ledger::{Entry, Header, Kind, Ledger, RowKey, Seals};
pub(crate) use load::StoredKey;
pub use snapshot::{KeyLoss, Loss, Passkey, Snapshot};

/// The schema that this program writes.
pub(crate) const SCHEMA: u32 = 1;

/// Pages that are kept in memory, in bytes.
const CACHE_LEN: usize = 8 << 20;
/// A file may be this much longer than half as long again as what is in it, in bytes.
const SPARE_LEN: u64 = 256 << 10;
/// Bus ids 1-1 to 1-10000.
pub(crate) const MOST_KEYS: u32 = 10_000;

type MetaTable = TableDefinition<'static, &'static str, &'static [u8]>;
type NumberTable = TableDefinition<'static, u32, &'static [u8]>;
type RecordTable = TableDefinition<'static, &'static [u8; 20], &'static [u8]>;
type WitnessTable = TableDefinition<'static, &'static [u8; 20], &'static [u8; 16]>;

const META: MetaTable = TableDefinition::new("meta");
const UNLOCKS: NumberTable = TableDefinition::new("unlocks");
const KEYS: NumberTable = TableDefinition::new("keys");
const RECORDS: RecordTable = TableDefinition::new("records");
const WITNESSES: WitnessTable = TableDefinition::new("witnesses");

const FORMAT: &str = "format";
const HEADER: &str = "header";

/// What can be read of a vault by anybody.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Format {
    schema: u32,
    vault: VaultId,
}

/// A vault that was opened and not unlocked.
pub(crate) struct Locked {
    db: Database,
    format: Format,
    slots: Vec<Slot>,
}

impl Locked {
    /// Opens what is on `backend`. `path` is for messages.
    pub(crate) fn open(backend: impl StorageBackend, path: &Path) -> Result<Self, VaultError> {
        let not_a_vault = |why: String| VaultError::NotAVault {
            path: path.to_owned(),
            why,
        };
        if backend.len().is_ok_and(|length| length == 0) {
            return Err(not_a_vault("the file is empty".to_owned()));
        }
        let db = builder()
            .create_with_backend(backend)
            .map_err(|why| match why {
                redb::DatabaseError::Storage(
                    why @ (redb::StorageError::Corrupted(_) | redb::StorageError::Unsupported),
                ) => not_a_vault(why.to_string()),
                redb::DatabaseError::Storage(redb::StorageError::Io(why))
                    if matches!(
                        why.kind(),
                        std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    not_a_vault(why.to_string())
                }
                why @ redb::DatabaseError::UpgradeRequired(_) => not_a_vault(why.to_string()),
                other => other.into(),
            })?;
        let read = db.begin_read()?;
        let meta = read.open_table(META).map_err(|why| match why {
            redb::TableError::Storage(why) => why.into(),
            other => not_a_vault(other.to_string()),
        })?;
        let format: Format = match meta.get(FORMAT)? {
            Some(bytes) => ciborium::from_reader(bytes.value())
                .map_err(|_| not_a_vault("its format cannot be read".to_owned()))?,
            None => return Err(not_a_vault("it has no format".to_owned())),
        };
        if format.schema > SCHEMA {
            return Err(VaultError::Newer {
                schema: format.schema,
                known: SCHEMA,
            });
        }
        let slots = read_slots(&read)?;
        drop(meta);
        drop(read);
        Ok(Self { db, format, slots })
    }

    pub(crate) fn vault(&self) -> VaultId {
        self.format.vault
    }

    /// The ways to unlock it, as far as the file can be believed before it is unlocked.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// With the data key the vault can be read. What is wrong with the list of keys is an error;
    /// each key's records are looked at when it is loaded.
    pub(crate) fn unlock(self, data_key: &SealingKey) -> Result<Store, VaultError> {
        let seals = Seals::new(self.format.vault, data_key)?;
        let read = self.db.begin_read()?;
        let header: Header = {
            let meta = read.open_table(META)?;
            let sealed = meta.get(HEADER)?.ok_or(Damage::Header)?;
            seals
                .open_value(Kind::Header, 0, sealed.value())
                .ok_or(Damage::Header)?
        };
        let mut keys = BTreeMap::new();
        let mut sum = ledger::Sum::default();
        for row in read.open_table(KEYS)?.iter()? {
            let (number, sealed) = row?;
            let number = KeyNumber(number.value());
            let row = seals
                .open_value(Kind::Key, number.0, sealed.value())
                .ok_or(Damage::Key(number))?;
            let (part, _) = seals.part(Kind::Key, &number.0.to_be_bytes(), sealed.value());
            sum.toggle(part);
            keys.insert(number, Entry { row, part });
        }
        let snapshots = snapshot::read(&read, &seals, &mut sum)?;
        if sum != header.sum {
            return Err(Damage::Keys.into());
        }
        drop(read);
        Ok(Store {
            db: self.db,
            seals,
            vault: self.format.vault,
            ledger: Ledger {
                commit: header.commit,
                sum,
                keys,
                snapshots,
            },
            in_use: Arc::default(),
        })
    }
}

/// A vault that can be read and changed.
pub struct Store {
    db: Database,
    seals: Seals,
    vault: VaultId,
    ledger: Ledger,
    /// Tells who reads an older state whether the vault is still in use.
    in_use: Arc<()>,
}

impl Store {
    /// A new vault on an empty `backend`, which nothing is known of until this is `Ok`.
    pub(crate) fn create(
        backend: impl StorageBackend,
        vault: VaultId,
        data_key: &SealingKey,
        slot: &Slot,
    ) -> Result<Self, VaultError> {
        let db = builder().create_with_backend(backend)?;
        let mut store = Self {
            db,
            seals: Seals::new(vault, data_key)?,
            vault,
            ledger: Ledger::default(),
            in_use: Arc::default(),
        };
        store.write(|transaction| transaction.put_slot(slot))?;
        Ok(store)
    }

    /// How many commits there were.
    pub(crate) fn commits(&self) -> u64 {
        self.ledger.commit
    }

    pub(crate) fn vault(&self) -> VaultId {
        self.vault
    }

    /// The numbers of the keys, in order.
    pub(crate) fn numbers(&self) -> Vec<KeyNumber> {
        self.ledger.keys.keys().copied().collect()
    }

    /// How many records a key has.
    pub(crate) fn record_count(&self, number: KeyNumber) -> u64 {
        let entry = self.ledger.keys.get(&number);
        entry.map_or(0, |entry| entry.row.records)
    }

    /// The ways to unlock it.
    pub(crate) fn slots(&self) -> Result<Vec<Slot>, VaultError> {
        read_slots(&self.db.begin_read()?)
    }

    /// How many commits there were, for nobody else to read or write.
    pub(crate) fn seal_anchor(&mut self) -> Result<Vec<u8>, VaultError> {
        let sealed = self.seals.seal_value(Kind::Anchor, 0, &self.ledger.commit);
        sealed.ok_or_else(|| VaultError::system("the anchor cannot be sealed", "it is not CBOR"))
    }

    /// Reads what [`Self::seal_anchor`] wrote, now or earlier.
    pub(crate) fn open_anchor(&self, sealed: &[u8]) -> Option<u64> {
        self.seals.open_value(Kind::Anchor, 0, sealed)
    }

    /// A key's name, serial and profile, without its other records.
    ///
    /// # Errors
    /// There is no such key, or it is not what was last written.
    pub fn identity(&self, number: KeyNumber) -> Result<Identity, VaultError> {
        let key = self.row_of(number)?;
        let row = self.seals.row_key(number, key.id, Address::Identity);
        let read = self.db.begin_read()?;
        let sealed = read.open_table(RECORDS)?.get(&row)?;
        let opened = sealed.map(|sealed| self.seals.open_record(key.id, &row, sealed.value()));
        let how = match opened {
            Some(Some(Stored::Identity(identity))) => return Ok(identity),
            Some(_) => Broken::Changed,
            None => Broken::Missing,
        };
        Err(Damage::Record {
            key: format!("1-{}", number.0),
            record: Address::Identity.to_string(),
            how,
        }
        .into())
    }

    /// Gives space back to the system that deleted records have left, where there is much.
    /// `length` is the file's, in bytes; the answer says whether it may have changed.
    pub(crate) fn compact_if_sparse(&mut self, length: u64) -> Result<bool, VaultError> {
        let write = self.db.begin_write()?;
        let stats = write.stats()?;
        write.abort()?;
        let live = stats.stored_bytes();
        if length <= live + live / 2 + SPARE_LEN {
            return Ok(false);
        }
        match self.db.compact() {
            // Somebody reads an older state, for a backup.
            Err(redb::CompactionError::TransactionInProgress) => Ok(false),
            compacted => Ok(compacted?),
        }
    }

    /// Copies everything, as it lies there, into a new file on an empty `backend`.
    pub(crate) fn copy_to(&self, backend: impl StorageBackend) -> Result<(), VaultError> {
        let copy = builder().create_with_backend(backend)?;
        let (read, write) = (self.db.begin_read()?, copy.begin_write()?);
        copy_table(&read, &write, META)?;
        copy_table(&read, &write, UNLOCKS)?;
        copy_table(&read, &write, KEYS)?;
        copy_table(&read, &write, RECORDS)?;
        copy_table(&read, &write, WITNESSES)?;
        snapshot::copy_tables(&read, &write)?;
        write.commit()?;
        copy.close()?;
        Ok(())
    }
}

fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<(), VaultError> {
    let mut copy = to.open_table(definition)?;
    for row in from.open_table(definition)?.iter()? {
        let (key, value) = row?;
        copy.insert(key.value(), value.value())?;
    }
    Ok(())
}

fn read_slots(read: &ReadTransaction) -> Result<Vec<Slot>, VaultError> {
    let table = read.open_table(UNLOCKS)?;
    let slots = table.iter()?.map(|row| {
        let (_, bytes) = row?;
        ciborium::from_reader(bytes.value()).map_err(|_| Damage::Unlocks.into())
    });
    slots.collect()
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_LEN);
    builder
}

/// The first and the last row that a key's record can have.
fn rows_of(number: KeyNumber) -> (RowKey, RowKey) {
    let row = |rest: u8| {
        let mut row = [rest; 20];
        if let Some(head) = row.first_chunk_mut() {
            *head = number.0.to_be_bytes();
        }
        row
    };
    (row(0), row(0xff))
}
