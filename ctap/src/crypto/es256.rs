//! ES256: ECDSA on P-256 with SHA-256 (RFC 9053 §2.1, FIPS 186-5).
//!
//! Signing needs the scalar alone, so a private key is never expanded to a key pair to sign with:
//! the public point costs as much as a signature and is computed only where it is asked for.

use ecdsa::hazmat::sign_prehashed_rfc6979;
use p256::{NistP256, SecretKey, ecdsa::SigningKey, elliptic_curve::sec1::ToSec1Point};
use sha2::Sha256;

use super::{Expander, Rng, Secret, sha256};

/// A P-256 private key. The scalar is wiped when dropped.
pub(crate) struct PrivateKey(SecretKey);

/// A P-256 public key as the two coordinates, big-endian.
pub(crate) struct PublicKey {
    pub(crate) x: [u8; 32],
    pub(crate) y: [u8; 32],
}

impl PublicKey {
    /// Uncompressed point (SEC 1 §2.3.3), as U2F sends it.
    pub(crate) fn to_sec1(&self) -> [u8; 65] {
        let mut point = [4; 65];
        for (to, from) in point.iter_mut().skip(1).zip(self.x.iter().chain(&self.y)) {
            *to = *from;
        }
        point
    }
}

impl PrivateKey {
    /// Draws a new key.
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self::derive(
            &Expander::new(&Secret::random(rng)),
            &[b"roamkey ES256 key"],
        )
    }

    /// The key that `expander` gives for the information `parts`.
    ///
    /// Our own rejection sampling, so that the same master secret gives the same key whatever a
    /// crate's generator does in its next version: candidate number 0, 1, … is the expansion for
    /// `parts` and the number as one byte, and the first in 1 ..= n-1 is the scalar.
    pub(crate) fn derive(expander: &Expander, parts: &[&[u8]]) -> Self {
        let mut number = [0_u8];
        loop {
            let mut info = parts.to_vec();
            info.push(&number);
            if let Some(key) = Self::from_secret(&expander.expand(&info)) {
                return key;
            }
            // A candidate fails once in 2^32, so this does not come round.
            number = number.map(|n| n.wrapping_add(1));
        }
    }

    /// `None` unless the bytes are a scalar in 1 ..= n-1, big-endian.
    pub(crate) fn from_secret(secret: &Secret) -> Option<Self> {
        SecretKey::from_slice(secret.as_bytes()).ok().map(Self)
    }

    /// The scalar, big-endian, for storage.
    pub(crate) fn to_secret(&self) -> Secret {
        Secret::from_bytes(self.0.to_bytes().into())
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        let point = self.0.public_key().to_sec1_point(false);
        let coordinate = |bytes: Option<&_>| bytes.copied().map(Into::into).unwrap_or_default();
        PublicKey {
            x: coordinate(point.x()),
            y: coordinate(point.y()),
        }
    }

    /// Deterministic signature (RFC 6979) over `parts` one after the other, DER-encoded.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        let digest = sha256(parts);
        let scalar = self.0.to_nonzero_scalar();
        let (signature, _) = sign_prehashed_rfc6979::<NistP256, Sha256>(&scalar, &digest, &[]);
        signature.to_der().as_bytes().to_vec()
    }

    /// As the certificate builder wants it.
    pub(crate) fn to_signing_key(&self) -> SigningKey {
        SigningKey::from(&self.0)
    }
}
