//! Reads a key's records, and finds and names those that are not what was last written.

use std::{collections::BTreeMap, num::NonZeroUsize, thread};

use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase as _};
use roamkey_ctap::{CredentialId, Place, Record};

use super::{
    RECORDS, Store, WITNESSES,
    ledger::{KeyNumber, KeyRow, Kind, RowKey, Seals, Sum},
};
use crate::vault::{
    VaultError,
    error::{Broken, Damage},
    record::{Address, Identity, Stored},
};

/// Fewer records than this are read faster by one thread than shared out.
const SHARED_OUT: u64 = 4_000;
const MOST_THREADS: usize = 8;

/// A key as it is stored.
pub(crate) struct StoredKey {
    pub(crate) identity: Identity,
    pub(crate) records: Vec<Record>,
}

/// What was read of a key, or of a part of its rows.
#[derive(Default)]
struct Reading {
    stored: Vec<Stored>,
    sum: Sum,
    rows: u64,
    broken: Vec<(RowKey, Broken)>,
}

impl Reading {
    fn merge(&mut self, other: Self) {
        self.stored.extend(other.stored);
        self.sum.toggle(other.sum);
        self.rows += other.rows;
        self.broken.extend(other.broken);
    }
}

type Records = ReadOnlyTable<&'static RowKey, &'static [u8]>;
type Witnesses = ReadOnlyTable<&'static RowKey, &'static [u8; 16]>;

impl Store {
    /// A key's records, every one of which is what was last written.
    pub(crate) fn load(&self, number: KeyNumber) -> Result<StoredKey, VaultError> {
        let key = self.row_of(number)?;
        self.view(&self.db.begin_read()?).load(number, key)
    }

    /// All that is wrong with a key's records.
    pub(crate) fn check_key(&self, number: KeyNumber) -> Result<Vec<Damage>, VaultError> {
        let key = self.row_of(number)?;
        self.view(&self.db.begin_read()?).check(number, key)
    }

    /// A key's records as far as they can be read, and whether they are what was last written.
    pub(super) fn readable(&self, number: KeyNumber) -> Result<(Vec<Stored>, bool), VaultError> {
        let key = self.row_of(number)?;
        let read = self.db.begin_read()?;
        let view = self.view(&read);
        let reading = view.read_rows(number, key)?;
        let whole = view.damage_of(number, key, &reading).is_empty();
        Ok((reading.stored, whole))
    }

    pub(super) fn row_of(&self, number: KeyNumber) -> Result<&KeyRow, VaultError> {
        let entry = self.ledger.keys.get(&number);
        entry
            .map(|entry| &entry.row)
            .ok_or_else(|| VaultError::Unknown(format!("the vault has no key 1-{}", number.0)))
    }

    fn view<'v>(&'v self, read: &'v ReadTransaction) -> View<'v> {
        View {
            read,
            seals: &self.seals,
        }
    }
}

/// The rows as they were at one commit.
pub(super) struct View<'v> {
    pub(super) read: &'v ReadTransaction,
    pub(super) seals: &'v Seals,
}

impl View<'_> {
    /// The records of the key with this row; the first that is wrong is the error.
    pub(super) fn load(&self, number: KeyNumber, key: &KeyRow) -> Result<StoredKey, VaultError> {
        let reading = self.read_rows(number, key)?;
        if let Some(damage) = self.damage_of(number, key, &reading).into_iter().next() {
            return Err(damage.into());
        }
        let mut identity = None;
        let mut records = Vec::with_capacity(reading.stored.len());
        for stored in reading.stored {
            match stored {
                Stored::Identity(found) => identity = Some(found),
                Stored::Record(record) => records.push(record),
            }
        }
        let identity = identity.ok_or_else(|| Damage::Incomplete {
            key: format!("1-{}", number.0),
            why: "its name and profile are missing".to_owned(),
        })?;
        Ok(StoredKey { identity, records })
    }

    fn check(&self, number: KeyNumber, key: &KeyRow) -> Result<Vec<Damage>, VaultError> {
        let reading = self.read_rows(number, key)?;
        Ok(self.damage_of(number, key, &reading))
    }

    fn read_rows(&self, number: KeyNumber, key: &KeyRow) -> Result<Reading, VaultError> {
        let records = self.read.open_table(RECORDS)?;
        let witnesses = self.read.open_table(WITNESSES)?;
        let threads = if key.records < SHARED_OUT {
            1
        } else {
            thread::available_parallelism().map_or(1, NonZeroUsize::get)
        };
        let threads = threads.min(MOST_THREADS);
        if threads == 1 {
            let (first, last) = super::rows_of(number);
            return read_range(self.seals, key, &records, &witnesses, &first, &last);
        }
        let mut reading = Reading::default();
        let parts = thread::scope(|scope| {
            let workers: Vec<_> = shares(number, threads)
                .into_iter()
                .map(|(first, last)| {
                    let (records, witnesses) = (&records, &witnesses);
                    scope.spawn(move || {
                        read_range(self.seals, key, records, witnesses, &first, &last)
                    })
                })
                .collect();
            let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
            joined.collect::<Vec<_>>()
        });
        for part in parts {
            // A worker ends early only where the program does.
            let part = part.map_err(|_| VaultError::Closed)??;
            reading.merge(part);
        }
        Ok(reading)
    }

    fn damage_of(&self, number: KeyNumber, key: &KeyRow, reading: &Reading) -> Vec<Damage> {
        let whole = reading.broken.is_empty();
        if whole && reading.rows == key.records && reading.sum == key.sum {
            return Vec::new();
        }
        let name = reading.stored.iter().find_map(|stored| match stored {
            Stored::Identity(identity) => Some(identity.name.clone()),
            Stored::Record(_) => None,
        });
        let name = name.unwrap_or_else(|| format!("1-{}", number.0));
        if whole {
            return vec![Damage::Total { key: name }];
        }
        let names = self.names_of(number, key, reading);
        let named = reading.broken.iter().map(|(row, how)| {
            let record = match names.get(row) {
                Some(record) => record.clone(),
                None => {
                    let tag = row.iter().skip(4).take(4);
                    let tag: String = tag.map(|byte| format!("{byte:02x}")).collect();
                    format!("record {tag}, which nothing else names,")
                }
            };
            Damage::Record {
                key: name.clone(),
                record,
                how: *how,
            }
        });
        named.collect()
    }

    /// The rows of all records that the key has or should have, as far as those that can be read
    /// tell.
    fn names_of(
        &self,
        number: KeyNumber,
        key: &KeyRow,
        reading: &Reading,
    ) -> BTreeMap<RowKey, String> {
        let row = |address| self.seals.row_key(number, key.id, address);
        let mut names: BTreeMap<_, _> = Address::FIXED
            .into_iter()
            .map(|address| (row(address), address.to_string()))
            .collect();
        let mut ids: BTreeMap<CredentialId, String> = BTreeMap::new();
        for stored in &reading.stored {
            match stored {
                Stored::Record(Record::Credential(credential)) => {
                    let short = crate::vault::record::Short(&credential.id);
                    ids.insert(credential.id, format!("{short} for {}", credential.rp_id));
                }
                Stored::Record(Record::CredentialCounter { id, .. }) => {
                    let short = crate::vault::record::Short(id).to_string();
                    ids.entry(*id).or_insert(short);
                }
                Stored::Identity(_) | Stored::Record(_) => {}
            }
        }
        for (id, name) in ids {
            let passkey = Address::Record(Place::Credential(id));
            let counter = Address::Record(Place::CredentialCounter(id));
            names.insert(row(passkey), format!("passkey {name}"));
            names.insert(row(counter), format!("signature counter of passkey {name}"));
        }
        names
    }
}

/// A key's rows in `threads` shares.
fn shares(number: KeyNumber, threads: usize) -> Vec<(RowKey, RowKey)> {
    let (first, last) = super::rows_of(number);
    let bound = |share: usize| u8::try_from(share * 256 / threads).ok();
    let with = |mut row: RowKey, byte: u8| {
        if let Some(place) = row.get_mut(4) {
            *place = byte;
        }
        row
    };
    (0..threads)
        .map(|share| {
            let from = bound(share).map_or(first, |byte| with(first, byte));
            let to = bound(share + 1).and_then(|byte| byte.checked_sub(1));
            (from, to.map_or(last, |byte| with(last, byte)))
        })
        .collect()
}

/// Walks records and witnesses side by side.
fn read_range(
    seals: &Seals,
    key: &KeyRow,
    records: &Records,
    witnesses: &Witnesses,
    first: &RowKey,
    last: &RowKey,
) -> Result<Reading, VaultError> {
    let mut reading = Reading::default();
    let mut witnesses = witnesses.range::<&RowKey>(first..=last)?;
    let mut witness = witnesses.next().transpose()?;
    for record in records.range::<&RowKey>(first..=last)? {
        let (row, sealed) = record?;
        let row = *row.value();
        while let Some((seen, _)) = &witness
            && *seen.value() < row
        {
            reading.broken.push((*seen.value(), Broken::Missing));
            witness = witnesses.next().transpose()?;
        }
        let (part, expected) = seals.part(Kind::Record, &row, sealed.value());
        reading.sum.toggle(part);
        reading.rows += 1;
        let matches = match &witness {
            Some((seen, value)) if *seen.value() == row => {
                let matches = *value.value() == expected;
                witness = witnesses.next().transpose()?;
                Some(matches)
            }
            Some(_) | None => None,
        };
        match (seals.open_record(key.id, &row, sealed.value()), matches) {
            (Some(stored), Some(true)) => reading.stored.push(stored),
            // It says what it is, though it is not the last.
            (Some(stored), Some(false)) => {
                reading.broken.push((row, Broken::Replayed));
                reading.stored.push(stored);
            }
            (Some(_) | None, None) | (None, Some(_)) => reading.broken.push((row, Broken::Changed)),
        }
    }
    while let Some((seen, _)) = witness {
        reading.broken.push((*seen.value(), Broken::Missing));
        witness = witnesses.next().transpose()?;
    }
    Ok(reading)
}
