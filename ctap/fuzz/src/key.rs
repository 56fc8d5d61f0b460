//! A key under attack: its profile, what a vault holds of it, and a device of that.
//!
//! Deliberately absent: algorithms but the two fastest, since what is looked for is no matter of
//! the curve; RS256 stays for its slow work, which is never run here.

use std::{collections::BTreeMap, sync::OnceLock};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use roamkey_ctap::{
    Algorithm, Change, ChangeSet, Device, KeyState, Place, Profile, Record, Version,
};

/// 2023-11-14, when the attestation certificate begins.
const CREATED: u64 = 1_700_000_000;

fn default() -> Profile {
    Profile {
        algorithms: vec![Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256],
        ..Profile::default()
    }
}

/// The profile with little room, for models that fill it.
pub(crate) const TINY: u8 = 3;
/// Discoverable credentials that fit there.
pub(crate) const TINY_ROOM: usize = 4;

/// What an input's byte stands for: what is sold today, one with a sensor, one of U2F alone.
pub(crate) fn profile(number: u8) -> Profile {
    match number % 4 {
        0 => default(),
        1 => Profile {
            built_in_uv: true,
            bio_enroll: true,
            enrolled_fingerprints: 1,
            max_fingerprints: 3,
            ..default()
        },
        TINY => Profile {
            algorithms: vec![Algorithm::Es256],
            max_discoverable_credentials: 4,
            ..Profile::default()
        },
        _ => Profile {
            versions: [Version::U2fV2].into(),
            ..default()
        },
    }
}

/// What is durable of one key.
#[derive(Clone)]
pub(crate) struct Vault(BTreeMap<Place, Record>);

impl Vault {
    /// A new key's; making one costs a signature, so each profile's is made once.
    pub(crate) fn new(number: u8) -> Self {
        static NEW: [OnceLock<Vault>; 4] = [const { OnceLock::new() }; 4];
        let made = || {
            let mut vault = Self(BTreeMap::new());
            let mut rng = ChaCha20Rng::from_seed([number % 4; 32]);
            vault.apply(KeyState::create(&mut rng, CREATED, &profile(number)));
            vault
        };
        NEW[usize::from(number % 4)].get_or_init(made).clone()
    }

    pub(crate) fn apply(&mut self, set: ChangeSet) {
        for change in set {
            match change {
                Change::Put(record) => drop(self.0.insert(record.place(), record)),
                Change::Delete(place) => drop(self.0.remove(&place)),
            }
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.0.values()
    }

    /// The key as a restart finds it.
    pub(crate) fn load(&self) -> KeyState {
        let state = KeyState::load(self.0.values().cloned());
        state.unwrap_or_else(|why| panic!("what is durable makes no key: {why}"))
    }

    /// Each start has randomness of its own.
    pub(crate) fn device(&self, number: u8, start: u8) -> Device {
        let rng = ChaCha20Rng::from_seed([0x80 ^ start; 32]);
        Device::new(profile(number), self.load(), rng)
    }
}
