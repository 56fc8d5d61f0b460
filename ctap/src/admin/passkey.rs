//! A credential with a record as its owner sees it, and why one is not made, changed or handed out.
//!
//! Deliberately absent: credentials without a record. They live in their ids, at the sites, and a
//! key cannot list them.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    credential::{
        Algorithm, CredProtect, Credential, CredentialId, MAX_USER_ID_LEN, RpIdHash, Stored, User,
    },
    crypto::PrivateKey,
    profile::Profile,
    state::Counter,
};

/// What is no secret of a credential with a record.
#[derive(Clone, Copy)]
pub struct Passkey<'a> {
    credential: &'a Credential,
    counter: Counter,
}

impl<'a> Passkey<'a> {
    pub(super) fn of(stored: &'a Stored) -> Self {
        Self {
            credential: &stored.credential,
            counter: stored.counter,
        }
    }

    pub(super) fn credential(&self) -> &'a Credential {
        self.credential
    }

    /// The id that its RP knows, 1 to [`crate::MAX_CREDENTIAL_ID_LEN`] bytes.
    pub fn known_as(&self) -> &'a [u8] {
        self.credential.known_as()
    }

    /// Its id among this key's records.
    pub fn id(&self) -> &'a CredentialId {
        &self.credential.id
    }

    /// The RP it belongs to; empty where U2F told only [`Self::rp_id_hash`].
    pub fn rp_id(&self) -> &'a str {
        &self.credential.rp_id
    }

    /// SHA-256 of the RP's id.
    pub fn rp_id_hash(&self) -> RpIdHash {
        self.credential.rp()
    }

    /// The RP's name, if it gave one.
    pub fn rp_name(&self) -> Option<&'a str> {
        self.credential.rp_name.as_deref()
    }

    /// The account.
    pub fn user(&self) -> &'a User {
        &self.credential.user
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.credential.algorithm
    }

    /// Who may use and see it.
    pub fn cred_protect(&self) -> CredProtect {
        self.credential.cred_protect
    }

    /// How many bytes the RP stored in it, if it did.
    pub fn cred_blob_len(&self) -> Option<usize> {
        self.credential.cred_blob.as_ref().map(Vec::len)
    }

    /// Whether it has a key for large blobs (CTAP 2.1 §12.3).
    pub fn has_large_blob_key(&self) -> bool {
        self.credential.large_blob_key.is_some()
    }

    /// Flag BE of its assertions, in a key with this profile.
    pub fn backup_eligible(&self, profile: &Profile) -> bool {
        profile.backup_of(self.credential).eligible
    }

    /// Flag BS of its assertions, in a key with this profile.
    pub fn backup_state(&self, profile: &Profile) -> bool {
        profile.backup_of(self.credential).state
    }

    /// No signature of it has had a counter value above this one.
    pub fn counter_ceiling(&self) -> u32 {
        self.counter.ceiling()
    }

    /// The value of its last signature, or above it after a start; of a backup eligible one, and
    /// of one that was never used, what it began with.
    pub fn counter(&self) -> u32 {
        self.counter.last()
    }

    /// Rises from one credential of the key to the next.
    pub fn sequence(&self) -> u64 {
        self.credential.sequence
    }

    /// Whether it is found without its id. One that is not is here because its private key is in
    /// no id (RS256, or made elsewhere) or because the key stores all; no site finds it for an
    /// account, and no platform lists it.
    pub fn is_discoverable(&self) -> bool {
        self.credential.discoverable
    }

    /// Its public key, an encoded COSE_Key (RFC 9052 §7); `None` if what is stored is no key.
    pub fn public_key(&self) -> Option<Vec<u8>> {
        let credential = self.credential;
        let key = PrivateKey::from_bytes(credential.algorithm, credential.private_key.as_slice())?;
        let public_key = key.public_key();
        Some(crate::wire::emit_cose_key(
            credential.algorithm,
            &public_key,
        ))
    }
    /// Its private key in PKCS#8 (RFC 5208, DER), as [`crate::KeyState::inject`] takes it.
    ///
    /// # Errors
    /// The profile keeps private keys in, or what is stored is no key.
    pub fn private_key_pkcs8(
        &self,
        profile: &Profile,
    ) -> Result<Zeroizing<Vec<u8>>, PasskeyRefusal> {
        if !profile.exportable {
            return Err(PasskeyRefusal::NotExportable);
        }
        let credential = self.credential;
        let key = PrivateKey::from_bytes(credential.algorithm, credential.private_key.as_slice());
        let der = key.and_then(|key| key.to_pkcs8());
        der.ok_or(PasskeyRefusal::Damaged)
    }
}

/// Why a passkey is not made, changed or handed out. The text is for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyRefusal {
    /// There is none with this id.
    NotFound,
    /// The profile has no passkeys.
    NotOffered,
    /// The RP id is empty, or longer than a request could carry.
    RpId,
    /// The user handle is empty or too long.
    UserId,
    /// Another passkey at the site is the account's.
    AccountTaken,
    /// A credential of the key has this id.
    IdTaken,
    /// The bytes are no private key in PKCS#8.
    NotPkcs8,
    /// It is a private key for something else.
    OtherKey,
    /// The profile does not sign with this.
    Algorithm(Algorithm),
    /// The profile lacks an extension that the passkey needs: its name.
    Extension(&'static str),
    /// The blob is longer than the profile allows.
    CredBlob {
        /// Bytes that fit.
        most: u16,
    },
    /// It is backed up, and must not be.
    BackupState,
    /// Its id is empty, or longer than the profile's maxCredentialIdLength.
    IdLength {
        /// Bytes that fit.
        most: u16,
    },
    /// The array of large blobs has no room for it.
    LargeBlob {
        /// Bytes of the whole array.
        most: u16,
    },
    /// No room is left.
    Full,
    /// The profile keeps private keys in.
    NotExportable,
    /// What is stored is no key.
    Damaged,
}

impl fmt::Display for PasskeyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the key has no such passkey",
            Self::NotOffered => "the key's profile has no passkeys",
            Self::RpId => "the RP id is the site's domain: it is neither empty nor that long",
            Self::UserId => {
                return write!(f, "the user handle has 1 to {MAX_USER_ID_LEN} bytes");
            }
            Self::AccountTaken => {
                "the key has another passkey for this site and user handle: delete that first"
            }
            Self::IdTaken => "the key has a credential with this id already",
            Self::NotPkcs8 => "this is no private key in PKCS#8 (DER, not encrypted)",
            Self::OtherKey => {
                "the private key is of another kind: P-256, P-384, P-521, secp256k1, Ed25519, RSA \
                 of 2048 to 4096 bits, ML-DSA-44 and ML-DSA-65 are known"
            }
            Self::Algorithm(algorithm) => {
                return write!(
                    f,
                    "the key's profile does not sign with this private key's algorithm, {}",
                    algorithm.name()
                );
            }
            Self::Extension(name) => {
                return write!(
                    f,
                    "the key's profile does not have the extension {name}, which the passkey needs"
                );
            }
            Self::CredBlob { most } => {
                return write!(
                    f,
                    "the key's profile takes a credBlob of {most} bytes at most"
                );
            }
            Self::BackupState => {
                "a passkey that is not backup eligible (BE) cannot be backed up (BS)"
            }
            Self::IdLength { most } => {
                return write!(
                    f,
                    "the key's profile takes credential ids of 1 to {most} bytes"
                );
            }
            Self::LargeBlob { most } => {
                return write!(
                    f,
                    "the key's large blobs have {most} bytes together, and no room for this one"
                );
            }
            Self::Full => "the key has no room for another passkey",
            Self::NotExportable => {
                "the key's profile keeps private keys in: only one with exportable = true hands \
                 them out"
            }
            Self::Damaged => "what is stored of the passkey is no private key",
        })
    }
}

impl std::error::Error for PasskeyRefusal {}
