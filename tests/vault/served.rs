//! Keys of a vault on a server of the test's own.

use std::{fs, net::SocketAddr, path::Path};

use roamkey::{
    key::Seed,
    presence::{Broker, Policy},
    profile::Profile,
    vault::{KeyVault, LockedVault, OpenVault, StoredProfile, Vault, VaultThread, unlock::Unlock},
};

use crate::support::{
    carrier::{Sockets, request_import},
    ctaphid::Platform,
    host::Linux,
};

/// The date of whatever a test makes.
pub(super) const CREATED: u64 = 1_735_689_600;

/// What a key is, where it does not matter.
pub(super) fn default_profile() -> StoredProfile {
    StoredProfile {
        name: "default".to_owned(),
        text: None,
    }
}

/// An empty directory of one test's own, removed when dropped.
pub(super) struct Directory(pub(super) std::path::PathBuf);

impl Directory {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("roamkey-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // of an earlier test that was killed
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(super) fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where the machine notes what it has seen, in a test.
pub(super) fn state_of(vault: &Path) -> std::path::PathBuf {
    vault.with_file_name("state")
}

/// Opens a vault with the key file beside it.
pub(super) fn open(path: &Path) -> OpenVault {
    let locked = LockedVault::open_in(path, &state_of(path)).expect("a vault");
    let key_file = Unlock::KeyFile(format!("{}.key", path.display()).into());
    locked.unlock(&key_file).expect("its key file")
}

/// A vault with its keys attached to a server; all of them approve every touch.
pub(super) struct Served {
    sockets: Option<Sockets>,
    vault: Option<(Vault, VaultThread)>,
}

impl Served {
    pub(super) fn start(open: OpenVault) -> Self {
        let keys = open.store().keys().expect("the keys");
        let (vault, thread) = open.serve().expect("a thread");
        let vaults = keys.iter().map(|(number, _)| vault.key(*number));
        let vaults: Vec<_> = vaults
            .map(|key| Box::new(key) as Box<dyn KeyVault>)
            .collect();
        let seeds = keys.iter().map(|_| Seed::random().expect("randomness"));
        let broker = Broker::new(Policy::auto());
        let sockets = Sockets::start(&Profile::default(), seeds.collect(), vaults, &broker);
        Self {
            sockets: Some(sockets),
            vault: Some((vault, thread)),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.sockets.as_ref().expect("it runs").address
    }

    pub(super) fn attach(&self, busid: &str) -> Platform {
        let link = request_import(self.address(), busid).expect("a key that is free");
        Platform::open(Box::new(Linux::attach(link)))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.sockets.take());
        if let Some((vault, thread)) = self.vault.take() {
            drop(vault);
            thread.join();
        }
    }
}
