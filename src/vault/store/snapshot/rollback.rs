//! A rollback: all keys are as they were when the snapshot was made, but for what must not go
//! back.
//!
//! The snapshot learns the ceilings that its counters go on from: a passkey that comes back twice
//! does not begin twice at the same value.

use std::collections::BTreeMap;

use redb::ReadableTable as _;
use roamkey_ctap::{Credential, CredentialId, Record, StoredPin};

use super::{CopyKey, SnapshotRow, copies_of, copy_key, row_in};
use crate::vault::{
    VaultError,
    record::{Identity, KeyId, Stored},
    store::{
        KeyNumber, Store,
        ledger::Kind,
        live::{self, Live},
        transaction::Transaction,
    },
};

/// A passkey as a list of losses shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passkey {
    /// The site.
    pub rp_id: String,
    /// The account's name; the person's, where it has none.
    pub account: Option<String>,
}

/// What a rollback takes from a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLoss {
    /// The key's name, or bus id where its name cannot be read.
    pub name: String,
    /// The whole key goes: it was made since.
    pub removed: bool,
    /// Passkeys that were made since, by site and account.
    pub passkeys: Vec<Passkey>,
    /// The key was reset since: registrations without a passkey that were made after that go.
    pub reset: bool,
    /// Its PIN was set, changed or removed since: it is again what it was.
    pub pin: bool,
    /// Some of its records cannot be read: more may go than is listed.
    pub damaged: bool,
}

/// What a rollback takes from the keys; those that lose nothing are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// In the order of the keys' numbers.
    pub keys: Vec<KeyLoss>,
}

/// What is to be done beside copying the records back.
struct Plan {
    loss: Loss,
    /// Counters that do not go on where the copy says.
    counters: Vec<(KeyNumber, Record)>,
    /// Tries of PINs that are fewer than the copy says.
    retries: Vec<(KeyNumber, Record)>,
}

/// A key that is in the vault now, as far as it can be read.
struct Present {
    id: KeyId,
    number: KeyNumber,
    stored: Vec<Stored>,
    whole: bool,
}

/// What two states of a key are compared by.
#[derive(Default)]
struct Contents<'r> {
    identity: Option<&'r Identity>,
    credentials: BTreeMap<CredentialId, &'r Credential>,
    master: Option<&'r Record>,
    pin: Option<&'r StoredPin>,
}

impl<'r> Contents<'r> {
    fn of(stored: &'r [Stored]) -> Self {
        let mut contents = Self::default();
        for stored in stored {
            match stored {
                Stored::Identity(identity) => contents.identity = Some(identity),
                Stored::Record(Record::Credential(credential)) => {
                    contents.credentials.insert(credential.id, credential);
                }
                Stored::Record(record @ Record::Master(_)) => contents.master = Some(record),
                Stored::Record(Record::Pin(pin)) => contents.pin = Some(pin),
                Stored::Record(_) => {}
            }
        }
        contents
    }
}

fn records(stored: &[Stored]) -> impl Iterator<Item = &Record> {
    stored.iter().filter_map(|stored| match stored {
        Stored::Record(record) => Some(record),
        Stored::Identity(_) => None,
    })
}

impl Present {
    /// What goes when the copy takes its place; `None` where nothing does.
    fn loss(&self, copy: Option<&Vec<Stored>>) -> Option<KeyLoss> {
        let now = Contents::of(&self.stored);
        let then = Contents::of(copy.map_or(&[], Vec::as_slice));
        let lost = now.credentials.iter();
        let mut passkeys: Vec<_> = lost
            .filter(|(id, _)| !then.credentials.contains_key(id))
            .map(|(_, credential)| Passkey {
                rp_id: credential.rp_id.clone(),
                account: [&credential.user.name, &credential.user.display_name]
                    .into_iter()
                    .find_map(Clone::clone),
            })
            .collect();
        passkeys.sort();
        let removed = copy.is_none();
        let loss = KeyLoss {
            name: now
                .identity
                .map_or_else(|| self.number.to_string(), |identity| identity.name.clone()),
            removed,
            passkeys,
            reset: !removed && now.master.is_some() && now.master != then.master,
            pin: !removed && now.pin != then.pin,
            damaged: !self.whole,
        };
        let nothing =
            !loss.removed && loss.passkeys.is_empty() && !loss.reset && !loss.pin && !loss.damaged;
        (!nothing).then_some(loss)
    }
}

impl Store {
    /// What a rollback would take.
    ///
    /// # Errors
    /// There is no such snapshot, it is damaged, or the file cannot be read.
    pub fn rollback_loss(&self, name: &str) -> Result<Loss, VaultError> {
        let (number, row) = self.find_snapshot(name)?;
        Ok(self.plan(number, row)?.loss)
    }

    /// Puts all keys back as they were, in one commit, and says what that took. Signature counters
    /// and PIN retries do not go back: a counter goes on from the higher ceiling, a PIN with the
    /// fewer tries, and what was deleted since comes back with a counter that is raised by 65536,
    /// since what was used of it is not known. No key of the vault is in use meanwhile.
    ///
    /// # Errors
    /// There is no such snapshot, it is damaged, or the file cannot be written. Then nothing has
    /// changed.
    pub fn rollback(&mut self, name: &str) -> Result<Loss, VaultError> {
        let (number, row) = self.find_snapshot(name)?;
        let plan = self.plan(number, row)?;
        let row = row.clone();
        self.write(|transaction| transaction.roll_back(number, row, &plan))?;
        Ok(plan.loss)
    }

    fn plan(&self, number: u32, row: &SnapshotRow) -> Result<Plan, VaultError> {
        let copies = self.read_snapshot(number, row)?;
        let present = self.present()?;
        let present_by_id: BTreeMap<_, _> = present.iter().map(|key| (key.id, key)).collect();
        let mut plan = Plan {
            loss: Loss::default(),
            counters: Vec::new(),
            retries: Vec::new(),
        };
        for key in &present {
            plan.loss.keys.extend(key.loss(copies.get(&key.id)));
        }
        for (number, key) in &row.keys {
            let copy = || records(copies.get(&key.id).map_or(&[], Vec::as_slice));
            let live = present_by_id
                .get(&key.id)
                .map(|key| Live::of(records(&key.stored), key.whole));
            let live = live.as_ref();
            let counters = copy().filter_map(|record| live::rolled_back(record, live));
            plan.counters
                .extend(counters.map(|record| (*number, record)));
            let retries = live::fewer_retries(copy(), live);
            plan.retries.extend(retries.map(|record| (*number, record)));
        }
        Ok(plan)
    }

    /// All keys as far as they can be read: a rollback is a way out where some of them cannot.
    fn present(&self) -> Result<Vec<Present>, VaultError> {
        let keys = self.ledger.keys.iter();
        keys.map(|(number, entry)| {
            let (stored, whole) = self.readable(*number)?;
            Ok(Present {
                id: entry.row.id,
                number: *number,
                stored,
                whole,
            })
        })
        .collect()
    }
}

impl Transaction<'_> {
    fn roll_back(
        &mut self,
        snapshot: u32,
        mut row: SnapshotRow,
        plan: &Plan,
    ) -> Result<(), VaultError> {
        self.records.retain(|_, _| false)?;
        self.witnesses.retain(|_, _| false)?;
        for number in self.ledger.keys.keys() {
            self.touched.insert(*number, None);
        }
        let mut copies = self.snapshot_records()?;
        for (number, key) in &row.keys {
            let (first, last) = copies_of(snapshot, *number);
            for copy in copies.range::<&CopyKey>(&first..=&last)? {
                let (at, sealed) = copy?;
                let (at, sealed) = (row_in(at.value()), sealed.value());
                let (_, witness) = self.seals.part(Kind::Record, &at, sealed);
                self.records.insert(&at, sealed)?;
                self.witnesses.insert(&at, &witness)?;
            }
            self.touched.insert(*number, Some(key.clone()));
        }
        for (number, counter) in &plan.counters {
            let counter = Stored::Record(counter.clone());
            self.put(*number, &counter)?;
            let Some(key) = self.key(*number) else {
                continue;
            };
            let at = self.seals.row_key(*number, key.id, counter.address());
            if let Some(sealed) = self.records.get(&at)? {
                copies.insert(&copy_key(snapshot, &at), sealed.value())?;
            }
        }
        for (number, key) in &mut row.keys {
            if let Some(now) = self.key(*number) {
                *key = now.clone();
            }
        }
        self.touched_snapshots.insert(snapshot, Some(row));
        for (number, retries) in &plan.retries {
            self.put(*number, &Stored::Record(retries.clone()))?;
        }
        Ok(())
    }
}
