//! Secret bytes, and what is derived from them and sealed under them.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand_core::Rng as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The CSPRNG that a device is given: the same seed gives the same bytes.
pub type Rng = rand_chacha::ChaCha20Rng;

/// 32 secret bytes: wiped when dropped, compared in constant time, never shown.
///
/// `Serialize` hands the bytes out, for a vault that seals them.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Draws a new secret.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteArray::<32>::deserialize(deserializer)
            .map_err(|_| de::Error::custom("a secret is 32 bytes"))?;
        Ok(Self(bytes.into_array()))
    }
}

/// Private key bytes of whatever length an algorithm has: wiped, compared in constant time, never
/// shown.
///
/// `Serialize` hands the bytes out, for a vault that seals them.
#[derive(Clone)]
pub struct KeyBytes(Zeroizing<Vec<u8>>);

impl KeyBytes {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for KeyBytes {}

impl Serialize for KeyBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Ok(Self(Zeroizing::new(bytes.into_vec())))
    }
}

/// HKDF-SHA-256 (RFC 5869) with the extraction done once.
#[derive(Clone)]
pub(crate) struct Expander(Hkdf<Sha256>);

impl Expander {
    /// Extracts from `secret` with no salt.
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(Hkdf::new(None, secret.as_bytes()))
    }

    /// 32 bytes for the information `parts`, which the caller keeps unambiguous by fixed lengths.
    pub(crate) fn expand(&self, parts: &[&[u8]]) -> Secret {
        let mut secret = Secret([0; 32]);
        self.expand_into(parts, &mut secret.0);
        secret
    }

    /// Fills `to`, which is 255 * 32 bytes at most.
    pub(crate) fn expand_into(&self, parts: &[&[u8]], to: &mut [u8]) {
        // RFC 5869 refuses nothing but a longer output.
        let expanded = self.0.expand_multi_info(parts, to);
        debug_assert!(expanded.is_ok());
    }
}

/// XChaCha20-Poly1305 under one key.
pub(crate) struct Sealer(XChaCha20Poly1305);

impl Sealer {
    pub(crate) fn new(key: &Secret) -> Self {
        Self(XChaCha20Poly1305::new(key.as_bytes().into()))
    }

    /// Ciphertext and the 16-byte tag behind it.
    pub(crate) fn seal(&self, nonce: &[u8; 24], plain: &[u8], bound_to: &[u8]) -> Vec<u8> {
        let payload = Payload {
            msg: plain,
            aad: bound_to,
        };
        // The cipher refuses only messages of more than 256 GiB.
        self.0.encrypt(nonce.into(), payload).unwrap_or_default()
    }

    /// `None` unless the tag is right for this key, nonce and binding.
    pub(crate) fn open(&self, nonce: &[u8; 24], sealed: &[u8], bound_to: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload {
            msg: sealed,
            aad: bound_to,
        };
        self.0.decrypt(nonce.into(), payload).ok()
    }
}
