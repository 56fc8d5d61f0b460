//! Secret bytes, and what is derived from them and sealed under them.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The CSPRNG that a device is given: the same seed gives the same bytes.
pub type Rng = rand_chacha::ChaCha20Rng;

/// Makes what the generator gave until now unknown to who looks into it: it goes on from 32 bytes of
/// its own, and of what it was before nothing is left. It is as reproducible as before.
pub(crate) fn ratchet(rng: &mut Rng) {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    *rng = Rng::from_seed(*seed);
}

/// 32 secret bytes: wiped when dropped, compared in constant time, never shown.
///
/// `Serialize` hands the bytes out, for a vault that seals them. They stay in one place of the heap:
/// bytes that moved would leave a copy behind on a stack.
pub struct Secret(Box<Zeroizing<[u8; 32]>>);

impl Secret {
    /// Draws a new secret.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut secret = Self::blank();
        rng.fill_bytes(secret.0.as_mut_slice());
        secret
    }

    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self::filled(|to| to.copy_from_slice(bytes))
    }

    /// What `fill` writes into it.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut secret = Self::blank();
        fill(secret.0.as_mut_slice());
        secret
    }

    fn blank() -> Self {
        Self(Box::default())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        Self::from_bytes(self.as_bytes())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteArray::<32>::deserialize(deserializer)
            .map_err(|_| de::Error::custom("a secret is 32 bytes"))?;
        let bytes = Zeroizing::new(bytes.into_array());
        Ok(Self::from_bytes(&bytes))
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
        Secret::filled(|to| self.expand_into(parts, to))
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
