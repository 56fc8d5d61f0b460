//! Vaults that take their time and fail: in memory for most worlds, the product's own on a disk
//! that loses what was not synced for the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand_chacha::ChaCha20Rng;
use roamkey::vault::{
    KeyVault, LockedVault, OpenVault, Pending, StoredProfile, VaultError, VaultId, unlock::Unlock,
};
use roamkey_ctap::{ChangeSet, KeyState};
use tokio::time::sleep;

use super::{chance, net::below};
use crate::support::{disk::Disk, inline::in_thread, vault::TestVault};

/// The date of whatever a world makes, in seconds since 1970.
const CREATED: u64 = 1_735_689_600;
/// The most keys that a world has.
pub(crate) const MOST_KEYS: usize = 4;

/// Vaults with new keys, from which each world gets its own copy.
pub(crate) struct Stock {
    pub(crate) memory: Vec<TestVault>,
    pub(crate) disk: Disk,
    pub(crate) unlock: Unlock,
}

impl Stock {
    /// `key_file` is where the secret of the vault on the disk is kept.
    pub(crate) fn new(key_file: std::path::PathBuf) -> Self {
        let seed = crate::support::seed::TestSeed::fixed(0x51);
        let profile = roamkey::profile::Profile::default();
        let memory = (0..MOST_KEYS)
            .map(|number| TestVault::create(&mut seed.rng("stock", number), &profile.ctap));
        let unlock = Unlock::KeyFile(key_file);
        let disk = Disk::new(seed.rng("disk", 0));
        let open = OpenVault::create_on(disk.medium(), VaultId::from([7; 16]), &unlock, CREATED);
        let mut open = open.expect("a new vault");
        for number in 0..MOST_KEYS {
            let profile = StoredProfile {
                name: "default".to_owned(),
                text: None,
            };
            let name = format!("key {number}");
            let store = open.store_mut();
            let made = store.add_key(&name, profile, CREATED, &Default::default());
            made.expect("a key");
        }
        drop(open);
        Self {
            memory: memory.collect(),
            disk,
            unlock,
        }
    }
}

/// A world's own vault, which outlives its servers.
pub(crate) enum Depot {
    Memory(Vec<TestVault>),
    Disk(Disk),
}

impl Depot {
    /// A part for each key, of a server that starts now.
    pub(crate) fn open(&self, keys: usize, stock: &Stock) -> Vec<Box<dyn KeyVault>> {
        match self {
            Self::Memory(vaults) => vaults
                .iter()
                .map(|vault| Box::new(vault.clone()) as Box<dyn KeyVault>)
                .collect(),
            Self::Disk(disk) => {
                let locked = LockedVault::open_on(disk.medium()).expect("a vault");
                let open = locked.unlock(&stock.unlock).expect("a whole vault");
                in_thread(open, keys)
            }
        }
    }
}

/// A vault that takes its time, and fails in so many of a thousand commits.
pub(crate) struct Slow {
    pub(crate) inner: Box<dyn KeyVault>,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) failures: usize,
    pub(crate) failed: Arc<AtomicU64>,
    /// Only a vault that has failed fails to be read.
    pub(crate) broken: bool,
}

fn refused() -> VaultError {
    VaultError::Refused("the simulator wants it to fail".into())
}

impl Slow {
    fn delay(&mut self) -> Duration {
        let most = if chance(&mut self.rng, 5) { 700 } else { 8 };
        let ms = if chance(&mut self.rng, 40) {
            0
        } else {
            below(&mut self.rng, most)
        };
        Duration::from_millis(u64::try_from(ms).expect("64 bits"))
    }

    fn fails(&mut self) -> bool {
        let fails = below(&mut self.rng, 1_000) < self.failures;
        if fails {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        fails
    }
}

impl KeyVault for Slow {
    fn commit(&mut self, set: ChangeSet) -> Pending<Result<(), VaultError>> {
        let delay = self.delay();
        if self.fails() {
            self.broken = true;
            // Nobody knows whether it was stored.
            if chance(&mut self.rng, 50) {
                drop(self.inner.commit(set));
            }
            return Box::pin(async move {
                sleep(delay).await;
                Err(refused())
            });
        }
        let stored = self.inner.commit(set);
        if delay.is_zero() {
            return stored;
        }
        Box::pin(async move {
            sleep(delay).await;
            stored.await
        })
    }

    fn load(&mut self) -> Pending<Result<KeyState, VaultError>> {
        let delay = self.delay();
        let fails = self.broken && self.fails();
        let loaded = self.inner.load();
        Box::pin(async move {
            sleep(delay).await;
            if fails { Err(refused()) } else { loaded.await }
        })
    }
}
