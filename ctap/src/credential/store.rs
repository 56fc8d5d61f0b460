//! The discoverable credentials of a key in memory, found by RP.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Credential, CredentialId, RpIdHash};
use crate::state::Counter;

/// A credential with what changes at each use.
pub(crate) struct Stored {
    pub(crate) credential: Credential,
    pub(crate) counter: Counter,
}

/// All discoverable credentials. A look-up costs the same whatever other RPs have stored.
#[derive(Default)]
pub(crate) struct Store {
    by_rp: BTreeMap<RpIdHash, BTreeMap<CredentialId, Stored>>,
    /// Where an id is, for changes that name the id alone.
    rp_of: BTreeMap<CredentialId, RpIdHash>,
    /// The next credential's [`Credential::sequence`].
    next_sequence: u64,
}

impl Store {
    pub(crate) fn len(&self) -> usize {
        self.rp_of.len()
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &CredentialId> {
        self.rp_of.keys()
    }

    /// All of them, in no order that means anything.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Stored> {
        self.by_rp.values().flat_map(BTreeMap::values)
    }

    pub(crate) fn get(&self, rp: &RpIdHash, id: &CredentialId) -> Option<&Stored> {
        self.by_rp.get(rp)?.get(id)
    }

    pub(crate) fn counter_mut(&mut self, id: &CredentialId) -> Option<&mut Counter> {
        let rp = self.rp_of.get(id)?;
        let stored = self.by_rp.get_mut(rp)?.get_mut(id)?;
        Some(&mut stored.counter)
    }

    /// The RP's credential for the account, if there is one.
    pub(crate) fn find_user(&self, rp: &RpIdHash, user_id: &[u8]) -> Option<&Stored> {
        self.of_rp(rp)
            .find(|stored| stored.credential.user.id == user_id)
    }

    /// The RPs that have credentials.
    pub(crate) fn rps(&self) -> impl Iterator<Item = RpIdHash> {
        self.by_rp.keys().copied()
    }

    /// Whose credential an id is.
    pub(crate) fn rp_of(&self, id: &CredentialId) -> Option<RpIdHash> {
        self.rp_of.get(id).copied()
    }

    /// The RP's credentials, the newest first.
    pub(crate) fn newest_first(&self, rp: &RpIdHash) -> Vec<CredentialId> {
        let mut stored: Vec<_> = self.of_rp(rp).collect();
        stored.sort_by_key(|stored| Reverse(stored.credential.sequence));
        let ids = stored.into_iter().map(|stored| stored.credential.id);
        ids.collect()
    }

    /// The RP's credentials, in no order that means anything.
    pub(crate) fn of_rp(&self, rp: &RpIdHash) -> impl Iterator<Item = &Stored> {
        self.by_rp.get(rp).into_iter().flat_map(BTreeMap::values)
    }

    /// A credential whose counter was never set: a key in use has none.
    pub(crate) fn without_counter(&self) -> Option<CredentialId> {
        self.all()
            .find(|stored| stored.counter == Counter::default())
            .map(|stored| stored.credential.id)
    }

    pub(crate) fn put(&mut self, credential: Credential, counter: Counter) {
        let rp = RpIdHash::of(&credential.rp_id);
        // A restored record may be at the end of the numbers.
        let next = credential.sequence.saturating_add(1);
        self.next_sequence = self.next_sequence.max(next);
        self.rp_of.insert(credential.id, rp);
        let stored = Stored {
            credential,
            counter,
        };
        let id = stored.credential.id;
        self.by_rp.entry(rp).or_default().insert(id, stored);
    }

    pub(crate) fn remove(&mut self, id: &CredentialId) {
        let Some(rp) = self.rp_of.remove(id) else {
            return;
        };
        if let Some(credentials) = self.by_rp.get_mut(&rp) {
            credentials.remove(id);
            if credentials.is_empty() {
                self.by_rp.remove(&rp);
            }
        }
    }
}
