//! The product's vault without its thread: it works when it is asked.

use std::sync::{Arc, Mutex};

use roamkey::vault::{
    KeyNumber, KeyVault, OpenVault, Pending, StoredKeyVault, VaultError, VaultWorker,
};
use roamkey_ctap::{ChangeSet, KeyState};

/// A key's part of a vault that works when it is asked, in this thread.
struct Inline {
    key: StoredKeyVault,
    worker: Arc<Mutex<VaultWorker>>,
}

impl Inline {
    fn work(&self) {
        let mut worker = self.worker.lock().expect("no test panics in the vault");
        worker.run_pending();
    }
}

impl KeyVault for Inline {
    fn commit(&mut self, set: ChangeSet) -> Pending<Result<(), VaultError>> {
        let answer = self.key.commit(set);
        self.work();
        answer
    }

    fn load(&mut self) -> Pending<Result<KeyState, VaultError>> {
        let answer = self.key.load();
        self.work();
        answer
    }
}

/// The parts of its first keys.
pub(crate) fn in_thread(open: OpenVault, keys: usize) -> Vec<Box<dyn KeyVault>> {
    let (vault, mut worker) = open.worker();
    worker.reopen_at_once();
    let worker = Arc::new(Mutex::new(worker));
    let keys = (1..).take(keys).map(|number| {
        let key = vault.key(KeyNumber(number));
        let worker = Arc::clone(&worker);
        Box::new(Inline { key, worker }) as Box<dyn KeyVault>
    });
    keys.collect()
}
