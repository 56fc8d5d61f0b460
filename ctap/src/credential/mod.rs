//! Credentials: their ids, what is stored of them, and where they are found.

mod id;
mod store;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::crypto::{Secret, sha256};
pub use id::{CREDENTIAL_ID_LEN, CredentialId};
pub(crate) use id::{Derived, Deriver, Origin};
pub(crate) use store::Store;

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
}

impl Algorithm {
    /// The number in the IANA registry of COSE algorithms.
    pub const fn cose(self) -> i32 {
        match self {
            Self::Es256 => -7,
        }
    }

    /// The algorithm of a COSE number; `None` for one that no key of ours offers.
    pub const fn from_cose(number: i64) -> Option<Self> {
        match number {
            -7 => Some(Self::Es256),
            _ => None,
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

/// A stored, discoverable credential.
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
    /// Its private key: for ES256 the scalar, big-endian.
    pub private_key: Secret,
    /// Rises from one credential of this key to the next: assertions name the newest first.
    pub sequence: u64,
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
