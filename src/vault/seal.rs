//! What makes a vault unreadable to others: XChaCha20-Poly1305 under keys that all come from one
//! data key (draft-irtf-cfrg-xchacha, RFC 8439, RFC 5869).
//!
//! Deliberately absent: how the data key itself is kept (`unlock`), and what is sealed (`store`).

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of the nonce in front of every sealed text, in bytes.
pub(crate) const NONCE_LEN: usize = 24;
/// Length of the tag behind it, in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// Tells one vault from another; it is drawn at random and no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VaultId([u8; 16]);

impl VaultId {
    /// A new one, from the operating system's randomness.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for VaultId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for VaultId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A 256-bit key: wiped when dropped, compared in constant time, never shown.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct SealingKey([u8; 32]);

impl SealingKey {
    /// A new one, from the operating system's randomness.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut key = Self([0; 32]);
        getrandom::fill(&mut key.0)?;
        Ok(key)
    }

    /// `None` unless there are 32 bytes.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HKDF-SHA-256 of any secret bytes: `salt` and `info` tell one use from another.
    pub(crate) fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Self {
        let mut key = Self([0; 32]);
        let expanded = Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut key.0);
        // RFC 5869 refuses nothing but an output of more than 255 blocks.
        debug_assert!(expanded.is_ok());
        key
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SealingKey {}

/// Seals and opens under one key.
#[derive(Clone)]
pub(crate) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub(crate) fn new(key: &SealingKey) -> Self {
        Self(XChaCha20Poly1305::new(key.as_bytes().into()))
    }

    /// Nonce, ciphertext and tag: `plain.len() + OVERHEAD` bytes. A nonce is never used twice:
    /// it is drawn at random for each text.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE_LEN], plain: &[u8], bound_to: &[u8]) -> Vec<u8> {
        let payload = Payload {
            msg: plain,
            aad: bound_to,
        };
        // The cipher refuses only messages of more than 256 GiB.
        let sealed = self.0.encrypt(nonce.into(), payload).unwrap_or_default();
        [nonce.as_slice(), &sealed].concat()
    }

    /// The text; `None` unless the tag is right for this key and binding.
    pub(crate) fn open(&self, sealed: &[u8], bound_to: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let payload = Payload {
            msg: sealed,
            aad: bound_to,
        };
        self.0.decrypt(nonce.into(), payload).ok()
    }
}
