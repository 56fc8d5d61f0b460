//! A vault that forgets at exit: for `--ephemeral` keys, tests and rigs.

use std::{collections::BTreeMap, future::ready};

use roamkey_ctap::{Change, ChangeSet, KeyState, Place, Profile, Record};

use super::{KeyVault, Pending, VaultError};
use crate::key::Seed;

/// One key's records in memory. It answers every commit at once.
#[derive(Clone)]
pub struct Memory {
    records: BTreeMap<Place, Record>,
}

impl Memory {
    /// A vault with a new key in it. `created` is the date of its attestation certificate, in
    /// seconds since 1970.
    pub fn create(seed: &mut Seed, created: u64, profile: &Profile) -> Self {
        let mut vault = Self {
            records: BTreeMap::new(),
        };
        vault.apply(KeyState::create(seed.rng(), created, profile));
        vault
    }

    fn apply(&mut self, set: ChangeSet) {
        for change in set {
            match change {
                Change::Put(record) => {
                    self.records.insert(record.place(), record);
                }
                Change::Delete(place) => {
                    self.records.remove(&place);
                }
            }
        }
    }
}

impl KeyVault for Memory {
    fn commit(&mut self, set: ChangeSet) -> Pending<Result<(), VaultError>> {
        self.apply(set);
        Box::pin(ready(Ok(())))
    }

    fn load(&mut self) -> Pending<Result<KeyState, VaultError>> {
        let state = KeyState::load(self.records.values().cloned());
        Box::pin(ready(
            state.map_err(|error| VaultError::Refused(error.to_string())),
        ))
    }
}
