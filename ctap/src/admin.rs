//! What a key's owner sees of it and changes without a protocol: passkeys, the PIN, a wipe.
//!
//! A view shows what is no secret; a change is a [`ChangeSet`] for the vault, and nothing changes
//! before the vault has it. The commands of `authenticator` make their changes here, too, so that
//! a key is the same whichever way it was changed. Deliberately absent: who may do it, and asking.

mod edit;
mod inject;
mod large_blob;
mod passkey;
mod pin;
#[cfg(test)]
mod tests;

pub use edit::PasskeyEdit;
pub use inject::NewPasskey;
pub use passkey::{Passkey, PasskeyRefusal};
pub use pin::{PinRefusal, PinStatus};

use crate::{
    credential::CredentialId,
    crypto::{Rng, Secret},
    profile::Profile,
    state::{ChangeSet, KeyState, Place, Record},
};

impl KeyState {
    /// The credentials with a record, the oldest first: the discoverable ones, and those whose
    /// private key is in no id (RS256). The others are stored in their own ids, at the sites: a
    /// key knows neither which there are nor how many, so nothing lists them.
    pub fn passkeys(&self) -> Vec<Passkey<'_>> {
        let mut passkeys: Vec<_> = self.credentials.all().map(Passkey::of).collect();
        passkeys.sort_by_key(Passkey::sequence);
        passkeys
    }

    /// The credential with a record that its RP knows by this id. Of ids that were drawn elsewhere
    /// two RPs may know the same: then it is the one that came first.
    pub fn find_passkey(&self, id: &[u8]) -> Option<CredentialId> {
        match CredentialId::from_slice(id) {
            Some(id) => self
                .credentials
                .by_id(&id)
                .map(|stored| stored.credential.id),
            None => {
                let all = self.credentials.all();
                let named = all.filter(|stored| stored.credential.known_as() == id);
                let first = named.min_by_key(|stored| stored.credential.sequence);
                first.map(|stored| stored.credential.id)
            }
        }
    }

    /// The credential with a record that has this id of ours.
    pub fn passkey(&self, id: &CredentialId) -> Option<Passkey<'_>> {
        self.credentials.by_id(id).map(Passkey::of)
    }

    /// How many credentials with a record there are.
    pub fn passkey_count(&self) -> usize {
        self.credentials.len()
    }

    /// Gives back the attempts at built-in verification (CTAP 2.1 §6.5.3 uvRetries): what a
    /// person does with the PIN, on a key that may have none.
    pub fn restore_verification(&self) -> ChangeSet {
        self.restore_uv_attempts()
    }

    /// Whether there is no room for another record.
    pub(crate) fn is_full(&self, profile: &Profile) -> bool {
        let room = usize::try_from(profile.room()).unwrap_or(usize::MAX);
        self.passkey_count() >= room
    }

    /// Deletes a credential with a record together with its counter.
    pub fn delete_passkey(&self, id: &CredentialId) -> ChangeSet {
        let mut set = ChangeSet::default();
        set.delete(Place::Credential(*id));
        set.delete(Place::CredentialCounter(*id));
        set
    }

    /// What authenticatorReset does (CTAP 2.1 §6.6).
    ///
    /// A new master secret makes every derived credential unknown. The counter goes on, so that
    /// no value is ever used twice, and the attestation key is the model's, not the owner's.
    pub fn wipe(&self, rng: &mut Rng) -> ChangeSet {
        let mut set = ChangeSet::default();
        for id in self.credentials.ids() {
            set.delete(Place::Credential(*id));
            set.delete(Place::CredentialCounter(*id));
        }
        for place in [
            Place::Pin,
            Place::PinRetries,
            Place::Config,
            Place::LargeBlobs,
            Place::Fingerprints,
            Place::Uv,
            Place::PersistentToken,
        ] {
            set.delete(place);
        }
        set.put(Record::Master(Secret::random(rng)));
        set
    }

    /// Raises every signature counter, for a state that may not be the key's last: values that
    /// another copy has used since are skipped.
    pub fn raise_counters(&self, by: u32) -> ChangeSet {
        let mut set = ChangeSet::default();
        set.put(Record::Counter {
            ceiling: self.counter.ceiling().saturating_add(by),
        });
        for stored in self.credentials.all() {
            set.put(Record::CredentialCounter {
                id: stored.credential.id,
                ceiling: stored.counter.ceiling().saturating_add(by),
            });
        }
        set
    }
}
