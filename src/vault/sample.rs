//! Vaults in memory, and keys with something in them, for tests.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ciborium::Value;
use redb::backends::InMemoryBackend;
use roamkey_ctap::{
    Algorithm, Change, ChangeSet, CredProtect, CredRandom, Credential, CredentialId, PinHash,
    Record, StoredPin, User,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Activity, Backend, KeyNumber, Medium, OpenVault, Store, StoredProfile, VaultError, VaultId,
    seal::SealingKey,
    store::Locked,
    unlock::{RecoveryCode, Slot, Unlock},
};

pub(crate) const VAULT: [u8; 16] = [7; 16];

/// A vault in memory that can be opened again.
pub(crate) struct Sample {
    pub(crate) backend: Backend,
    data_key: SealingKey,
}

impl Sample {
    /// An empty vault.
    pub(crate) fn new() -> (Self, Store) {
        let sample = Self {
            backend: Backend::new(InMemoryBackend::new(), Arc::default()),
            data_key: SealingKey::from_slice(&[1; 32]).unwrap(),
        };
        let vault = VaultId::from(VAULT);
        let code = Unlock::RecoveryCode(RecoveryCode::random().unwrap());
        let slot = Slot::create(1, 0, &vault, &sample.data_key, &code).unwrap();
        let store = Store::create(sample.backend.clone(), vault, &sample.data_key, &slot).unwrap();
        (sample, store)
    }

    /// Nothing yet, to be opened with the same data key.
    pub(crate) fn empty_like(other: &Self) -> Self {
        Self {
            backend: Backend::new(InMemoryBackend::new(), Arc::default()),
            data_key: other.data_key.clone(),
        }
    }

    /// The vault after the last [`Store`] of it was dropped.
    pub(crate) fn reopen(&self) -> Result<Store, VaultError> {
        Locked::open(self.backend.clone(), Path::new("memory"))?.unlock(&self.data_key)
    }
}

/// A vault in memory, to be served.
pub(crate) fn open_vault() -> OpenVault {
    let code = Unlock::RecoveryCode(RecoveryCode::random().unwrap());
    let medium = InMemory(Backend::new(InMemoryBackend::new(), Arc::default()));
    OpenVault::create_on(Box::new(medium), VaultId::from(VAULT), &code, 0).unwrap()
}

struct InMemory(Backend);

impl Medium for InMemory {
    fn open(&mut self) -> Result<Backend, VaultError> {
        Ok(self.0.clone())
    }

    fn open_fresh(&mut self) -> Result<Backend, VaultError> {
        Ok(self.0.clone())
    }

    fn open_copy(&mut self, _schema: u32) -> Result<Backend, VaultError> {
        Ok(self.0.clone())
    }

    fn adopt_fresh(&mut self) -> Result<(), VaultError> {
        Ok(())
    }

    fn check_place(&self) -> Result<(), VaultError> {
        Ok(())
    }

    fn length(&self) -> u64 {
        0
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn activity(&self) -> Arc<Activity> {
        Arc::default()
    }
}

/// A value of what is stored as this.
fn made_of<T: DeserializeOwned>(value: &impl Serialize) -> T {
    Value::serialized(value).unwrap().deserialized().unwrap()
}

fn bytes<T: DeserializeOwned>(byte: u8, length: usize) -> T {
    made_of(&Value::Bytes(vec![byte; length]))
}

pub(crate) fn profile() -> StoredProfile {
    StoredProfile {
        name: "default".to_owned(),
        text: None,
    }
}

pub(crate) fn id(number: u32) -> CredentialId {
    let mut bytes = [0; 64];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    CredentialId::from_slice(&bytes).unwrap()
}

/// A passkey for `site-N.example`, account `alice-N`.
pub(crate) fn passkey(number: u32) -> Record {
    Record::Credential(Box::new(Credential {
        id: id(number),
        rp_id: format!("site-{number}.example"),
        rp_name: None,
        user: User {
            id: number.to_be_bytes().to_vec(),
            name: Some(format!("alice-{number}")),
            display_name: None,
        },
        algorithm: Algorithm::Es256,
        private_key: bytes(9, 32),
        cred_protect: CredProtect::Optional,
        cred_random: CredRandom {
            with_uv: bytes(3, 32),
            without_uv: bytes(4, 32),
        },
        cred_blob: None,
        large_blob_key: None,
        sequence: u64::from(number),
        discoverable: true,
        third_party_payment: false,
        backup_eligible: None,
        backup_state: None,
        foreign_id: None,
        rp_id_hash: None,
    }))
}

pub(crate) fn counter(ceiling: u32) -> Record {
    Record::Counter { ceiling }
}

pub(crate) fn passkey_counter(number: u32, ceiling: u32) -> Record {
    Record::CredentialCounter {
        id: id(number),
        ceiling,
    }
}

pub(crate) fn pin(byte: u8) -> Record {
    Record::Pin(StoredPin {
        hash: bytes::<PinHash>(byte, 16),
        code_points: 4,
    })
}

pub(crate) fn master(byte: u8) -> Record {
    Record::Master(bytes(byte, 32))
}

pub(crate) fn set(changes: Vec<Change>) -> ChangeSet {
    made_of(&changes)
}

pub(crate) fn put(store: &mut Store, number: KeyNumber, records: impl IntoIterator<Item = Record>) {
    let records = records.into_iter().map(Change::Put).collect();
    store.change_key(number, set(records)).unwrap();
}

pub(crate) fn add_passkeys(
    store: &mut Store,
    number: KeyNumber,
    passkeys: std::ops::RangeInclusive<u32>,
) {
    let records = passkeys.flat_map(|passkey_number| {
        [
            passkey(passkey_number),
            passkey_counter(passkey_number, 256),
        ]
    });
    put(store, number, records);
}

/// A key's records, sorted, as they are stored.
pub(crate) fn contents(store: &Store, number: KeyNumber) -> Vec<Record> {
    let mut records = store.load(number).unwrap().records;
    records.sort_by_key(Record::place);
    records
}

/// The ceiling of the key's own counter, and those of the passkeys.
pub(crate) fn ceilings(store: &Store, number: KeyNumber) -> (u32, Vec<u32>) {
    let (mut own, mut passkeys) = (0, Vec::new());
    for record in contents(store, number) {
        if let Record::Counter { ceiling } = record {
            own = ceiling;
        } else if let Record::CredentialCounter { ceiling, .. } = record {
            passkeys.push(ceiling);
        }
    }
    (own, passkeys)
}

/// The tries that are stored of the key's PIN; `None` for all.
pub(crate) fn retries(store: &Store, number: KeyNumber) -> Option<u8> {
    let records = contents(store, number);
    records.into_iter().find_map(|record| {
        let Record::PinRetries(left) = record else {
            return None;
        };
        Some(left)
    })
}

/// Every name of a directory of the test's own, which is gone with this.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("roamkey-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
