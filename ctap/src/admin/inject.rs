//! A passkey that comes with its private key instead of being made by the key (for test rigs, and
//! from another key).

use zeroize::Zeroizing;

use super::PasskeyRefusal;
use crate::{
    credential::{
        Algorithm, CredProtect, CredRandom, Credential, CredentialId, MAX_USER_ID_LEN, RpIdHash,
        User, truncated,
    },
    crypto::{KeyBytes, NoKey, PrivateKey, Rng, Secret},
    profile::{Extension, Profile},
    state::{COUNTER_LEASE, ChangeSet, KeyState, REGISTRATION_COUNT, Record},
};

/// A passkey to be put into a key. It holds a private key, so it has no Debug.
#[derive(Clone)]
pub struct NewPasskey {
    /// The RP it belongs to.
    pub rp_id: String,
    /// The RP's name.
    pub rp_name: Option<String>,
    /// The account.
    pub user: User,
    /// PKCS#8 (RFC 5208, RFC 5958) in DER; the algorithm is that of the key: ES256 for P-256,
    /// ES384 for P-384, ES512 for P-521, ES256K for secp256k1, EdDSA for Ed25519 (RFC 8410), RS256
    /// for RSA of 2048 to 4096 bits, ML-DSA-44 and ML-DSA-65 for their seeds (RFC 9881).
    pub private_key: Zeroizing<Vec<u8>>,
    /// The id that its RP knows, of any length up to the profile's maxCredentialIdLength; `None`
    /// for one at random.
    pub id: Option<Vec<u8>>,
    /// Whether it is found without its id. One that is not needs no account: its user handle may
    /// be empty, and no other gives way to it.
    pub discoverable: bool,
    /// Who may use and see it.
    pub cred_protect: CredProtect,
    /// What the RP would have stored in it.
    pub cred_blob: Option<Vec<u8>>,
    /// Whether it has a key for large blobs, which is drawn.
    pub large_blob_key: bool,
    /// The last value of its signature counter: its first assertion has the next one.
    pub counter: u32,
    /// Flag BE; `None` for the profile's.
    pub backup_eligible: Option<bool>,
    /// Flag BS; `None` for the profile's.
    pub backup_state: Option<bool>,
}

impl NewPasskey {
    /// One with nothing but what it must have; its counter is as after a registration.
    pub fn new(rp_id: String, user: User, private_key: Zeroizing<Vec<u8>>) -> Self {
        Self {
            rp_id,
            rp_name: None,
            user,
            private_key,
            id: None,
            discoverable: true,
            cred_protect: CredProtect::default(),
            cred_blob: None,
            large_blob_key: false,
            counter: REGISTRATION_COUNT,
            backup_eligible: None,
            backup_state: None,
        }
    }

    /// What does not fit a key with this profile, whatever is in it.
    fn check(&self, profile: &Profile) -> Result<(), PasskeyRefusal> {
        if self.discoverable && !profile.rk() || profile.room() == 0 {
            return Err(PasskeyRefusal::NotOffered);
        }
        if !(1..=usize::from(profile.max_msg_size)).contains(&self.rp_id.len()) {
            return Err(PasskeyRefusal::RpId);
        }
        if self.discoverable || !self.user.id.is_empty() {
            check_user_id(&self.user.id)?;
        }
        let most = profile.max_credential_id_length;
        let length = self.id.as_ref().map(Vec::len);
        if length.is_some_and(|length| !(1..=usize::from(most)).contains(&length)) {
            return Err(PasskeyRefusal::IdLength { most });
        }
        let needed = [
            (
                self.cred_protect != CredProtect::Optional,
                Extension::CredProtect,
            ),
            (self.cred_blob.is_some(), Extension::CredBlob),
            (self.large_blob_key, Extension::LargeBlobKey),
        ];
        let missing = needed
            .into_iter()
            .find(|(needed, extension)| *needed && !profile.offers(*extension));
        if let Some((_, extension)) = missing {
            return Err(PasskeyRefusal::Extension(extension.as_str()));
        }
        let most = profile.max_cred_blob_length;
        let blob = self.cred_blob.as_ref().map_or(0, Vec::len);
        if blob > usize::from(most) {
            return Err(PasskeyRefusal::CredBlob { most });
        }
        Ok(())
    }
}

/// The limits of makeCredential (CTAP 2.1 §6.1.2).
pub(super) fn check_user_id(id: &[u8]) -> Result<(), PasskeyRefusal> {
    if (1..=MAX_USER_ID_LEN).contains(&id.len()) {
        Ok(())
    } else {
        Err(PasskeyRefusal::UserId)
    }
}

/// Flag BS needs flag BE (WebAuthn §6.1.3), whichever of them is the profile's.
pub(super) fn check_backup(
    profile: &Profile,
    credential: &Credential,
) -> Result<(), PasskeyRefusal> {
    let eligible = profile.backup_of(credential).eligible;
    if credential.backup_state == Some(true) && !eligible {
        return Err(PasskeyRefusal::BackupState);
    }
    Ok(())
}

impl KeyState {
    /// Puts a passkey into the key as if it had been made there, within the limits of
    /// makeCredential (CTAP 2.1 §6.1.2): one of the same RP and account gives way to it (step 17).
    ///
    /// # Errors
    /// It does not fit the profile, its id is taken, or no room is left.
    pub fn inject(
        &self,
        profile: &Profile,
        rng: &mut Rng,
        new: NewPasskey,
    ) -> Result<(CredentialId, ChangeSet), PasskeyRefusal> {
        new.check(profile)?;
        let (algorithm, key) =
            PrivateKey::from_pkcs8(&new.private_key).map_err(|why| match why {
                NoKey::Malformed => PasskeyRefusal::NotPkcs8,
                NoKey::OtherAlgorithm => PasskeyRefusal::OtherKey,
            })?;
        if !profile.algorithms.contains(&algorithm) {
            return Err(PasskeyRefusal::Algorithm(algorithm));
        }
        let rp = RpIdHash::of(&new.rp_id);
        let replaced = self.credentials.find_user(&rp, &new.user.id);
        let replaced = replaced.filter(|_| new.discoverable);
        let replaced = replaced.map(|stored| stored.credential.id);
        let (id, foreign_id) = self.place_of(new.id, rng);
        let known = match &foreign_id {
            Some(foreign) => self.credentials.known_as(&rp, foreign),
            None => self.credentials.by_id(&id).map(|_| id),
        };
        let taken = known.is_some() && known != replaced;
        if taken || self.deriver.open(&id, &rp).is_some() {
            return Err(PasskeyRefusal::IdTaken);
        }
        if replaced.is_none() && self.is_full(profile) {
            return Err(PasskeyRefusal::Full);
        }
        let user = User {
            id: new.user.id,
            name: new.user.name.map(truncated),
            display_name: new.user.display_name.map(truncated),
        };
        let credential = Credential {
            id,
            rp_id: new.rp_id,
            rp_name: new.rp_name.map(truncated),
            user,
            algorithm,
            private_key: KeyBytes::new(key.to_bytes()),
            cred_protect: new.cred_protect,
            cred_random: CredRandom::random(rng),
            cred_blob: new.cred_blob,
            large_blob_key: new.large_blob_key.then(|| Secret::random(rng)),
            sequence: self.credentials.next_sequence(),
            discoverable: new.discoverable,
            third_party_payment: false,
            backup_eligible: new.backup_eligible,
            backup_state: new.backup_state,
            foreign_id,
            rp_id_hash: None,
        };
        check_backup(profile, &credential)?;
        let mut set = match replaced {
            Some(old) if old != id => self.delete_passkey(&old),
            Some(_) | None => ChangeSet::default(),
        };
        set.put(Record::Credential(Box::new(credential)));
        set.put(Record::CredentialCounter {
            id,
            ceiling: new.counter,
        });
        Ok((id, set))
    }

    /// A credential of U2F with a record, for a key that stores all: it belongs to a hash, and to
    /// no account.
    pub(crate) fn new_u2f_record(
        &self,
        rng: &mut Rng,
        application: &RpIdHash,
        key: &PrivateKey,
    ) -> (CredentialId, ChangeSet) {
        let id = CredentialId::random(rng);
        let credential = Credential {
            id,
            rp_id: String::new(),
            rp_name: None,
            user: User {
                id: Vec::new(),
                name: None,
                display_name: None,
            },
            algorithm: Algorithm::Es256,
            private_key: KeyBytes::new(key.to_bytes()),
            cred_protect: CredProtect::default(),
            cred_random: CredRandom::random(rng),
            cred_blob: None,
            large_blob_key: None,
            sequence: self.credentials.next_sequence(),
            discoverable: false,
            third_party_payment: false,
            backup_eligible: None,
            backup_state: None,
            foreign_id: None,
            rp_id_hash: Some(*application),
        };
        let mut set = ChangeSet::default();
        set.put(Record::Credential(Box::new(credential)));
        set.put(Record::CredentialCounter {
            id,
            ceiling: COUNTER_LEASE,
        });
        (id, set)
    }

    /// Where a passkey with this id is kept, and the id that its RP knows, if that is another.
    fn place_of(&self, id: Option<Vec<u8>>, rng: &mut Rng) -> (CredentialId, Option<Vec<u8>>) {
        match id {
            None => (CredentialId::random(rng), None),
            Some(id) => match CredentialId::from_slice(&id) {
                Some(own) => (own, None),
                None => (CredentialId::random(rng), Some(id)),
            },
        }
    }
}
