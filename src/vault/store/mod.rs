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
mod handle;
mod keys;
mod ledger;
mod live;
mod load;
mod manage;
mod migrate;
mod restore;
mod snapshot;
mod transaction;

use std::{path::Path, sync::Arc};

use redb::{
    Builder, ReadTransaction, ReadableDatabase as _, ReadableTable, StorageBackend,
    TableDefinition, WriteTransaction,
};
use roamkey_ctap::AttestationAuthority;
use serde::{Deserialize, Serialize};

use super::{
    VaultError,
    error::{Broken, Damage},
    file::Backend,
    record::{Address, Identity, Stored},
    seal::{SealingKey, VaultId},
    unlock::Slot,
};
use crate::key::Seed;
pub(crate) use crate::limits::MOST_KEYS;
pub(crate) use frozen::Frozen;
use handle::Handle;
pub use keys::MAX_KEY_NAME_LEN;
pub(crate) use keys::check_name;
pub use ledger::KeyNumber;
use ledger::{Kind, Ledger, RowKey, Seals};
pub(crate) use load::StoredKey;
pub use snapshot::{KeyLoss, Loss, Passkey, Snapshot};

/// The schema that this program writes.
pub(crate) const SCHEMA: u32 = 3;

/// Pages that are kept in memory at most, in bytes. Compacting reads all of them again and again.
const CACHE_LEN: usize = 64 << 20;

type MetaTable = TableDefinition<'static, &'static str, &'static [u8]>;
type NumberTable = TableDefinition<'static, u32, &'static [u8]>;
type RecordTable = TableDefinition<'static, &'static [u8; 20], &'static [u8]>;
type WitnessTable = TableDefinition<'static, &'static [u8; 20], &'static [u8; 16]>;

const META: MetaTable = TableDefinition::new("meta");
const UNLOCKS: NumberTable = TableDefinition::new("unlocks");
const KEYS: NumberTable = TableDefinition::new("keys");
const RECORDS: RecordTable = TableDefinition::new("records");
const WITNESSES: WitnessTable = TableDefinition::new("witnesses");

/// One row of zeros, never touched again. redb cuts a file when half of its end is free and makes
/// it longer when it is full; a small one would be cut and grown at every commit or two, and each
/// time the file system has more to sync (here 3 ms in place of 0.3).
const BALLAST: NumberTable = TableDefinition::new("ballast");
/// With redb's own bytes just below a page of 256 KiB.
const BALLAST_LEN: usize = 250 << 10;

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
    db: Handle,
    format: Format,
    slots: Vec<Slot>,
}

impl Locked {
    /// Opens what is on `backend`. `path` is for messages.
    pub(crate) fn open(backend: Backend, path: &Path) -> Result<Self, VaultError> {
        if backend.len().is_ok_and(|length| length == 0) {
            return Err(VaultError::NotAVault {
                path: path.to_owned(),
                why: "the file is empty".to_owned(),
            });
        }
        match builder().create_with_backend(backend) {
            Ok(db) => Self::read(Handle::new(db), path),
            Err(why) if is_changed(&why) => Err(VaultError::Changed {
                path: path.to_owned(),
                why: why.to_string(),
            }),
            Err(why) => Err(why.into()),
        }
    }

    /// Opens a file of which [`Self::open`] said that it was changed, to find out what was. redb
    /// may end the process over it.
    pub(crate) fn open_as_it_is(backend: Backend, path: &Path) -> Result<Self, VaultError> {
        let mut builder = builder();
        builder.set_check_integrity_on_open(false);
        let db = builder.create_with_backend(backend)?;
        Self::read(Handle::new(db), path)
    }

    fn read(db: Handle, path: &Path) -> Result<Self, VaultError> {
        let not_a_vault = |why: &str| VaultError::NotAVault {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        let read = db.begin_read()?;
        let meta = read.open_table(META).map_err(|why| {
            if let redb::TableError::Storage(why) = why {
                return why.into();
            }
            not_a_vault(&why.to_string())
        })?;
        let format: Format = match meta.get(FORMAT)? {
            Some(bytes) => ciborium::from_reader(bytes.value())
                .map_err(|_| not_a_vault("its format cannot be read"))?,
            None => return Err(not_a_vault("it has no format")),
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

    /// With the data key the vault can be read. What is wrong with its own rows is an error; each
    /// key's records are looked at when it is loaded.
    pub(crate) fn unlock(self, data_key: &SealingKey) -> Result<Store, VaultError> {
        let (store, damage) = self.survey(data_key)?;
        match damage.into_iter().next() {
            Some(damage) => Err(damage.into()),
            None => Ok(store),
        }
    }
}

/// Whether redb says that the file is not what it wrote.
fn is_changed(why: &redb::DatabaseError) -> bool {
    use redb::{DatabaseError, StorageError};
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    if let DatabaseError::Storage(StorageError::Io(why)) = why {
        return matches!(why.kind(), InvalidData | UnexpectedEof);
    }
    matches!(
        why,
        DatabaseError::UpgradeRequired(_)
            | DatabaseError::Storage(StorageError::Corrupted(_) | StorageError::Unsupported)
    )
}

/// A vault that can be read and changed.
pub struct Store {
    db: Handle,
    seals: Seals,
    vault: VaultId,
    schema: u32,
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
            db: Handle::new(db),
            seals: Seals::new(vault, data_key)?,
            vault,
            schema: SCHEMA,
            ledger: Ledger::default(),
            in_use: Arc::default(),
        };
        let write = store.db.begin_write()?;
        put_ballast(&write)?;
        write.commit()?;
        let authority = new_authority(slot.created)?;
        store.write(|transaction| {
            transaction.set_authority(authority);
            transaction.put_format()?;
            transaction.put_slot(slot)
        })?;
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

    /// The ways to unlock it.
    pub(crate) fn slots(&self) -> Result<Vec<Slot>, VaultError> {
        read_slots(&self.db.begin_read()?)
    }

    /// What issues the attestation certificates of its keys.
    ///
    /// # Errors
    /// The file is of an older schema, and was opened to be looked at alone.
    pub fn attestation_authority(&self) -> Result<AttestationAuthority, VaultError> {
        let authority = self.ledger.authority.clone();
        authority.ok_or_else(|| {
            VaultError::Refused("the vault is of an older schema and has no authority".to_owned())
        })
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

    /// How many bytes all records take in the file, whatever its length.
    pub fn live_bytes(&self) -> u64 {
        self.ledger.live_bytes()
    }

    /// Gives the space back to the system that deleted records have left; not while somebody
    /// reads an older state, for a backup. Says whether it could.
    pub(crate) fn compact(&mut self) -> Result<bool, VaultError> {
        match self.db.compact() {
            Ok(_) => Ok(true),
            Err(redb::CompactionError::TransactionInProgress) => Ok(false),
            Err(why) => Err(why.into()),
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
        put_ballast(&write)?;
        snapshot::copy_tables(&read, &write)?;
        write.commit()?;
        copy.close()?;
        Ok(())
    }
}

/// An authority that has never been; `created` is in seconds since 1970.
fn new_authority(created: u64) -> Result<AttestationAuthority, VaultError> {
    let no_randomness = |why| VaultError::system("the vault gets no authority", why);
    let mut seed = Seed::random().map_err(no_randomness)?;
    Ok(AttestationAuthority::create(seed.rng(), created))
}

fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<(), VaultError> {
    let original = match from.open_table(definition) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()), // in an older schema
        original => original?,
    };
    let mut copy = to.open_table(definition)?;
    for row in original.iter()? {
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

fn put_ballast(write: &WriteTransaction) -> Result<(), VaultError> {
    let zeros = vec![0; BALLAST_LEN];
    write.open_table(BALLAST)?.insert(0, zeros.as_slice())?;
    Ok(())
}

/// The rows of the ways to unlock as they lie in the file, in the order of their numbers.
fn slot_rows(table: &impl ReadableTable<u32, &'static [u8]>) -> Result<Vec<Vec<u8>>, VaultError> {
    let rows = table.iter()?.map(|row| {
        let (id, bytes) = row?;
        Ok([id.value().to_be_bytes().as_slice(), bytes.value()].concat())
    });
    rows.collect()
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_LEN);
    // redb believes the pages of a file that was closed well, and may panic over a damaged one.
    builder.set_check_integrity_on_open(true);
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
