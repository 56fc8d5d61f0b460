//! The credentials of a key that have a record, in memory: found by id, the discoverable ones by
//! RP and account, too.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{CREDENTIAL_ID_LEN, Credential, CredentialId, RpIdHash};
use zeroize::Zeroizing;

use crate::{crypto::sha256, state::Counter};

/// A credential with what changes at each use.
pub(crate) struct Stored {
    pub(crate) credential: Box<Credential>,
    pub(crate) counter: Counter,
    rp: RpIdHash,
}

/// All credentials with a record. A look-up costs the same whatever other RPs have stored.
///
/// There may be very many, most of them alone at their RP: nothing large lies in a tree's nodes,
/// and no RP has a tree of its own.
#[derive(Default)]
pub(crate) struct Store {
    stored: BTreeMap<CredentialId, Stored>,
    /// Discoverable ones alone.
    by_rp: BTreeSet<(RpIdHash, CredentialId)>,
    /// Those that were made elsewhere, by the id that their RP knows. Another RP may know the same.
    foreign: BTreeMap<(RpIdHash, Vec<u8>), CredentialId>,
    /// The next credential's [`Credential::sequence`].
    next_sequence: u64,
    /// What [`Self::digest`] gives, once somebody wanted it.
    digest: Option<[u8; 32]>,
}

impl Store {
    /// How many records there are, of either kind: each takes room.
    pub(crate) fn len(&self) -> usize {
        self.stored.len()
    }

    /// How many of them are discoverable.
    pub(crate) fn discoverable_len(&self) -> usize {
        self.by_rp.len()
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &CredentialId> {
        self.stored.keys()
    }

    /// All of them, in no order that means anything.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Stored> {
        self.stored.values()
    }

    pub(crate) fn get(&self, rp: &RpIdHash, id: &CredentialId) -> Option<&Stored> {
        self.stored.get(id).filter(|stored| stored.rp == *rp)
    }

    /// The RP's credential that it knows by this id.
    pub(crate) fn known_as(&self, rp: &RpIdHash, id: &[u8]) -> Option<CredentialId> {
        match CredentialId::from_slice(id) {
            Some(id) => self.get(rp, &id).map(|stored| stored.credential.id),
            None if self.foreign.is_empty() => None,
            None => self.foreign.get(&(*rp, id.to_vec())).copied(),
        }
    }

    pub(crate) fn by_id(&self, id: &CredentialId) -> Option<&Stored> {
        self.stored.get(id)
    }

    pub(crate) fn counter_mut(&mut self, id: &CredentialId) -> Option<&mut Counter> {
        self.stored.get_mut(id).map(|stored| &mut stored.counter)
    }

    /// The RP's discoverable credential for the account, if there is one.
    pub(crate) fn find_user(&self, rp: &RpIdHash, user_id: &[u8]) -> Option<&Stored> {
        self.of_rp(rp)
            .find(|stored| stored.credential.user.id == user_id)
    }

    /// The RPs that have discoverable credentials.
    pub(crate) fn rps(&self) -> impl Iterator<Item = RpIdHash> {
        let mut last = None;
        let rps = self.by_rp.iter().map(|(rp, _)| *rp);
        rps.filter(move |rp| last.replace(*rp) != Some(*rp))
    }

    /// Whose credential an id is.
    pub(crate) fn rp_of(&self, id: &CredentialId) -> Option<RpIdHash> {
        self.stored.get(id).map(|stored| stored.rp)
    }

    /// The RP's discoverable credentials, the newest first.
    pub(crate) fn newest_first(&self, rp: &RpIdHash) -> Vec<CredentialId> {
        let mut stored: Vec<_> = self.of_rp(rp).collect();
        stored.sort_by_key(|stored| Reverse(stored.credential.sequence));
        let ids = stored.into_iter().map(|stored| stored.credential.id);
        ids.collect()
    }

    /// The RP's discoverable credentials, in no order that means anything.
    pub(crate) fn of_rp(&self, rp: &RpIdHash) -> impl Iterator<Item = &Stored> {
        let id = |byte| CredentialId::from([byte; CREDENTIAL_ID_LEN]);
        let ids = self.by_rp.range((*rp, id(0))..=(*rp, id(0xff)));
        ids.filter_map(|(_, id)| self.stored.get(id))
    }

    /// A credential whose counter was never set: a key in use has none.
    pub(crate) fn without_counter(&self) -> Option<CredentialId> {
        self.all()
            .find(|stored| stored.counter == Counter::MISSING)
            .map(|stored| stored.credential.id)
    }

    /// A digest of all that is told of the discoverable credentials: it changes with each that
    /// comes, goes or is edited, and not with their use. Made of all of them once, it follows
    /// them from then on.
    pub(crate) fn digest(&mut self) -> [u8; 32] {
        *self.digest.get_or_insert_with(|| {
            let mut digest = [0; 32];
            for stored in self.stored.values() {
                toggle(&mut digest, &stored.credential);
            }
            digest
        })
    }

    pub(crate) fn put(&mut self, credential: Box<Credential>, counter: Counter) {
        let rp = credential.rp();
        // A restored record may be at the end of the numbers.
        let next = credential.sequence.saturating_add(1);
        self.next_sequence = self.next_sequence.max(next);
        let id = credential.id;
        self.remove(&id);
        if let Some(digest) = &mut self.digest {
            toggle(digest, &credential);
        }
        if credential.discoverable {
            self.by_rp.insert((rp, id));
        }
        if let Some(foreign) = &credential.foreign_id {
            self.foreign.insert((rp, foreign.clone()), id);
        }
        let stored = Stored {
            credential,
            counter,
            rp,
        };
        self.stored.insert(id, stored);
    }

    pub(crate) fn remove(&mut self, id: &CredentialId) {
        if let Some(stored) = self.stored.remove(id) {
            self.by_rp.remove(&(stored.rp, *id));
            if let Some(foreign) = &stored.credential.foreign_id {
                self.foreign.remove(&(stored.rp, foreign.clone()));
            }
            if let Some(digest) = &mut self.digest {
                toggle(digest, &stored.credential);
            }
        }
    }
}

/// Takes a credential into a digest, or out of it.
fn toggle(digest: &mut [u8; 32], credential: &Credential) {
    if !credential.discoverable {
        return;
    }
    let level = [credential.cred_protect.level()];
    let payment = [u8::from(credential.third_party_payment)];
    let text = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    let user = &credential.user;
    let large_blob_key = credential.large_blob_key.as_ref();
    let parts = [
        Some(credential.known_as().to_vec()),
        Some(credential.rp_id.as_bytes().to_vec()),
        text(&credential.rp_name),
        Some(user.id.clone()),
        text(&user.name),
        text(&user.display_name),
        Some(level.to_vec()),
        Some(payment.to_vec()),
        large_blob_key.map(|key| key.as_bytes().to_vec()),
    ];
    let mut encoded = Zeroizing::new(Vec::new());
    for part in parts {
        let length = part.as_ref().map(Vec::len);
        encoded.extend(
            u64::try_from(length.map_or(0, |length| length + 1))
                .unwrap_or(0)
                .to_be_bytes(),
        );
        encoded.extend(part.unwrap_or_default());
    }
    for (to, from) in digest.iter_mut().zip(sha256(&[&encoded])) {
        *to ^= from;
    }
}
