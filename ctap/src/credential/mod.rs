//! Credentials: their ids, what is stored of them, and where they are found.

mod id;
mod store;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::crypto::{KeyBytes, Rng, Secret, sha256};
pub use id::{CREDENTIAL_ID_LEN, CredentialId, MAX_CREDENTIAL_ID_LEN};
pub(crate) use id::{Derived, Deriver, IDENTIFIER_LEN, Origin};
pub(crate) use store::{Store, Stored};

/// The longest user handle (WebAuthn §5.4.3), in bytes.
pub const MAX_USER_ID_LEN: usize = 64;
/// Names are cut to this many bytes, at a character (CTAP 2.1 §6.1.2 asks for 64 at least).
pub(crate) const MAX_NAME_LEN: usize = 64;

/// SHA-256 of an RP id, or a U2F application parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RpIdHash(pub [u8; 32]);

impl RpIdHash {
    /// The hash of an RP id such as `example.com`.
    pub fn of(rp_id: &str) -> Self {
        Self(sha256(&[rp_id.as_bytes()]))
    }
}

/// A signature algorithm by its COSE number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: COSE -7.
    Es256,
    /// EdDSA on Ed25519: COSE -8.
    EdDsa,
    /// ECDSA on P-384 with SHA-384: COSE -35.
    Es384,
    /// ECDSA on secp256k1 with SHA-256: COSE -47.
    Es256k,
    /// ECDSA on P-521 with SHA-512: COSE -36.
    Es512,
    /// RSASSA-PKCS1-v1_5 with SHA-256: COSE -257.
    Rs256,
    /// ML-DSA-44 (FIPS 204): COSE -48.
    MlDsa44,
    /// ML-DSA-65 (FIPS 204): COSE -49.
    MlDsa65,
}

impl Algorithm {
    /// All that there are.
    pub const ALL: [Self; 8] = [
        Self::Es256,
        Self::EdDsa,
        Self::Es384,
        Self::Es256k,
        Self::Es512,
        Self::Rs256,
        Self::MlDsa44,
        Self::MlDsa65,
    ];

    /// The number in the IANA registry of COSE algorithms.
    pub const fn cose(self) -> i32 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Es384 => -35,
            Self::Es256k => -47,
            Self::Es512 => -36,
            Self::Rs256 => -257,
            Self::MlDsa44 => -48,
            Self::MlDsa65 => -49,
        }
    }

    /// Its name in the IANA registry of COSE algorithms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Es384 => "ES384",
            Self::Es256k => "ES256K",
            Self::Es512 => "ES512",
            Self::Rs256 => "RS256",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
        }
    }

    /// The algorithm of a COSE number; `None` for one that no key of ours offers.
    pub const fn from_cose(number: i64) -> Option<Self> {
        match number {
            -7 => Some(Self::Es256),
            -8 => Some(Self::EdDsa),
            -35 => Some(Self::Es384),
            -47 => Some(Self::Es256k),
            -36 => Some(Self::Es512),
            -257 => Some(Self::Rs256),
            -48 => Some(Self::MlDsa44),
            -49 => Some(Self::MlDsa65),
            _ => None,
        }
    }
}

/// The level of credProtect (CTAP 2.1 §12.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CredProtect {
    /// 1, userVerificationOptional.
    #[default]
    Optional,
    /// 2, userVerificationOptionalWithCredentialIDList.
    OptionalWithList,
    /// 3, userVerificationRequired.
    Required,
}

impl CredProtect {
    /// The number on the wire.
    pub const fn level(self) -> u8 {
        match self {
            Self::Optional => 1,
            Self::OptionalWithList => 2,
            Self::Required => 3,
        }
    }

    /// The level of a number; `None` for one that is none.
    pub const fn from_level(level: u64) -> Option<Self> {
        match level {
            1 => Some(Self::Optional),
            2 => Some(Self::OptionalWithList),
            3 => Some(Self::Required),
            _ => None,
        }
    }
}

/// The two secrets of hmac-secret (CTAP 2.1 §12.5).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredRandom {
    /// CredRandomWithUV.
    pub with_uv: Secret,
    /// CredRandomWithoutUV.
    pub without_uv: Secret,
}

impl CredRandom {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self {
            with_uv: Secret::random(rng),
            without_uv: Secret::random(rng),
        }
    }
}

/// PublicKeyCredentialUserEntity (WebAuthn §5.4.3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user handle, 1 to [`MAX_USER_ID_LEN`] bytes.
    #[serde(with = "serde_bytes")]
    pub id: Vec<u8>,
    /// The account's name, such as an e-mail address.
    pub name: Option<String>,
    /// The person's name.
    pub display_name: Option<String>,
}

/// A stored credential: a discoverable one, one whose private key is in no id (RS256, or made
/// elsewhere), or any of a key that stores all ([`crate::Profile::stores_all`]).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// The RP it belongs to.
    pub rp_id: String,
    /// The RP's name, if it gave one.
    pub rp_name: Option<String>,
    /// The account.
    pub user: User,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Its private key: the scalar, big-endian; the seed of RFC 8032 or FIPS 204; PKCS#1.
    pub private_key: KeyBytes,
    /// Who may use and see it.
    pub cred_protect: CredProtect,
    /// What hmac-secret computes with.
    pub cred_random: CredRandom,
    /// What the RP stored in it (CTAP 2.1 §12.2).
    #[serde(with = "serde_bytes")]
    pub cred_blob: Option<Vec<u8>>,
    /// What its large blobs are encrypted with (§12.3); records of before large blobs have none.
    #[serde(default)]
    pub large_blob_key: Option<Secret>,
    /// Rises from one credential of this key to the next: assertions name the newest first.
    pub sequence: u64,
    /// Whether it is found without its id. Records of before RS256 do not say so.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub discoverable: bool,
    /// Whether other sites may ask to pay with it (CTAP 2.2 §12.10).
    #[serde(default, skip_serializing_if = "is_no")]
    pub third_party_payment: bool,
    /// Flag BE of its assertions (WebAuthn §6.1.3), where its owner set it; else the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_eligible: Option<bool>,
    /// Flag BS, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_state: Option<bool>,
    /// The id that its RP knows, where it was made elsewhere and has another length than ours.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_bytes")]
    pub foreign_id: Option<Vec<u8>>,
    /// SHA-256 of the RP's id where that is not known: U2F tells no more, and `rp_id` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rp_id_hash: Option<RpIdHash>,
}

impl Credential {
    /// The id that its RP knows.
    pub fn known_as(&self) -> &[u8] {
        match &self.foreign_id {
            Some(id) => id,
            None => self.id.as_bytes(),
        }
    }

    /// Whose it is.
    pub fn rp(&self) -> RpIdHash {
        self.rp_id_hash.unwrap_or_else(|| RpIdHash::of(&self.rp_id))
    }
}

fn yes() -> bool {
    true
}

fn is_yes(yes: &bool) -> bool {
    *yes
}

fn is_no(yes: &bool) -> bool {
    !*yes
}

/// `text` cut to [`MAX_NAME_LEN`] bytes at a character's end.
pub(crate) fn truncated(text: String) -> String {
    let end = text
        .char_indices()
        .map(|(start, c)| start + c.len_utf8())
        .take_while(|end| *end <= MAX_NAME_LEN)
        .last()
        .unwrap_or(0);
    if end == text.len() {
        return text;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
