//! Where what a key must not forget is kept.
//!
//! A key's driver hands over change sets one at a time and answers its host only when the vault
//! says that a set is durable. After a failure nobody knows what is, so the driver reads the key
//! again and goes on from there.

mod anchor;
mod backup;
mod error;
mod file;
mod guard;
mod manage;
mod memory;
mod open;
mod record;
#[cfg(test)]
mod sample;
mod seal;
mod store;
mod task;
pub mod unlock;

use std::{future::Future, pin::Pin};

use roamkey_ctap::{ChangeSet, KeyState};

pub use backup::{Backup, BackupError, Opener, Protection, Written, is_passphrase_protected};
pub use error::{Broken, Damage, VaultError};
pub use file::{Activity, Backend, Medium, default_path};
pub(crate) use file::{beside, make_directory_of, owner_only, state_dir};
pub(crate) use guard::guarded;
pub use manage::OlderCopy;
pub use memory::Memory;
pub use open::{LockedVault, OpenVault};
pub use record::{Identity, KeyId, StoredProfile};
pub use seal::VaultId;
pub(crate) use store::check_name;
pub use store::{KeyLoss, KeyNumber, Loss, MAX_KEY_NAME_LEN, Passkey, Snapshot, Store};
pub use task::{StoredKeyVault, Vault, VaultThread, VaultWorker};

/// An answer that may take its time.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One key's part of a vault.
pub trait KeyVault: Send {
    /// Makes the set durable, all of it or nothing. Called again only after the answer.
    fn commit(&mut self, set: ChangeSet) -> Pending<Result<(), VaultError>>;

    /// The key as it is stored.
    fn load(&mut self) -> Pending<Result<KeyState, VaultError>>;
}
