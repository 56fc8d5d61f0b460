//! A vault as it was at one commit, to be read on another thread while commits go on.

use std::sync::{Arc, Weak};

use redb::{ReadTransaction, ReadableDatabase as _};
use roamkey_ctap::AttestationAuthority;

use super::{
    KeyNumber, Store, StoredKey,
    ledger::{KeyRow, Seals},
    load::View,
};
use crate::vault::{VaultError, seal::VaultId};

/// A state of a vault that stays as it is.
pub(crate) struct Frozen {
    read: ReadTransaction,
    seals: Seals,
    pub(crate) vault: VaultId,
    pub(crate) commit: u64,
    pub(crate) authority: Option<AttestationAuthority>,
    /// In the order of the numbers.
    pub(crate) keys: Vec<(KeyNumber, KeyRow)>,
    /// While this reads, the file stays open: a vault that has failed waits to be opened again.
    store: Weak<()>,
}

impl Store {
    /// The vault as it is now.
    pub(crate) fn freeze(&self) -> Result<Frozen, VaultError> {
        let keys = self.ledger.keys.iter();
        Ok(Frozen {
            read: self.db.begin_read()?,
            seals: self.seals.another()?,
            vault: self.vault,
            commit: self.ledger.commit,
            authority: self.ledger.authority.clone(),
            keys: keys
                .map(|(number, entry)| (*number, entry.row.clone()))
                .collect(),
            store: Arc::downgrade(&self.in_use),
        })
    }
}

impl Frozen {
    /// The records of one of its keys.
    pub(crate) fn load(&self, number: KeyNumber, row: &KeyRow) -> Result<StoredKey, VaultError> {
        if self.store.strong_count() == 0 {
            return Err(VaultError::Closed);
        }
        let view = View {
            read: &self.read,
            seals: &self.seals,
        };
        view.load(number, row)
    }
}
