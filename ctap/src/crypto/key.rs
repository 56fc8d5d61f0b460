//! Credential keys: ES256, ES384 and ES256K (RFC 9053 §2.1, RFC 8812 §3), EdDSA on Ed25519
//! (RFC 9053 §2.2).
//!
//! ECDSA needs the scalar alone to sign, so a private key is never expanded to a key pair for
//! that: the public point costs as much as a signature and is computed where it is asked for.
//! PKCS#8 (RFC 5208, RFC 5958) is for the owner's keys that come from elsewhere and go there.

use ecdsa::hazmat::sign_prehashed_rfc6979;
use ed25519_dalek::{Signer, pkcs8::KeypairBytes};
use p256::{
    ecdsa::SigningKey,
    elliptic_curve::{ALGORITHM_OID, sec1::ToSec1Point},
    pkcs8::{AssociatedOid, EncodePrivateKey, ObjectIdentifier, PrivateKeyInfoRef},
};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

use super::{Expander, Rng, Secret};
use crate::credential::Algorithm;

/// id-Ed25519 (RFC 8410 §3).
const ID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A private key. It is wiped when dropped.
pub(crate) enum PrivateKey {
    Es256(p256::SecretKey),
    Es384(p384::SecretKey),
    Es256k(k256::SecretKey),
    EdDsa(Box<ed25519_dalek::SigningKey>),
}

/// Why bytes are not taken for a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// They are not PKCS#8, or the key in it is none of its algorithm.
    Malformed,
    /// It is a key of an algorithm that nothing here signs with.
    OtherAlgorithm,
}

/// A public key: coordinates big-endian, or the encoded point of RFC 8032.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Ec2 { x: Vec<u8>, y: Vec<u8> },
    Okp { x: Vec<u8> },
}

impl PublicKey {
    /// Uncompressed point (SEC 1 §2.3.3), as U2F sends it; `None` unless it is one of P-256.
    pub(crate) fn to_sec1(&self) -> Option<[u8; 65]> {
        match self {
            Self::Ec2 { x, y } => [&[4], x.as_slice(), y].concat().try_into().ok(),
            Self::Okp { .. } => None,
        }
    }
}

/// Signs a digest deterministically (RFC 6979); the result is DER.
macro_rules! sign {
    ($key:expr, $curve:ty, $digest:ty, $parts:expr) => {{
        let mut hasher = <$digest>::new();
        for part in $parts {
            hasher.update(part);
        }
        let digest = hasher.finalize();
        let scalar = $key.to_nonzero_scalar();
        let (signature, _) = sign_prehashed_rfc6979::<$curve, $digest>(&scalar, &digest, &[]);
        signature.to_der().as_bytes().to_vec()
    }};
}

/// The public point's coordinates.
macro_rules! ec2 {
    ($key:expr) => {{
        let point = $key.public_key().to_sec1_point(false);
        PublicKey::Ec2 {
            x: point.x().map(|x| x.to_vec()).unwrap_or_default(),
            y: point.y().map(|y| y.to_vec()).unwrap_or_default(),
        }
    }};
}

impl PrivateKey {
    /// Draws a new key.
    pub(crate) fn random(algorithm: Algorithm, rng: &mut Rng) -> Self {
        let label: &[u8] = b"roamkey credential key v1";
        Self::derive(algorithm, &Expander::new(&Secret::random(rng)), &[label])
    }

    /// The key that `expander` gives for the information `parts`.
    ///
    /// Our own rejection sampling, so that the same master secret gives the same key whatever a
    /// crate's generator does in its next version: candidate number 0, 1, … is the expansion for
    /// `parts` and the number as one byte, and the first that is a key of the algorithm is it.
    pub(crate) fn derive(algorithm: Algorithm, expander: &Expander, parts: &[&[u8]]) -> Self {
        let length = match algorithm {
            Algorithm::Es256 | Algorithm::Es256k | Algorithm::EdDsa => 32,
            Algorithm::Es384 => 48,
        };
        let mut candidate = Zeroizing::new(vec![0; length]);
        let mut number = [0_u8];
        loop {
            let mut info = parts.to_vec();
            info.push(&number);
            expander.expand_into(&info, &mut candidate);
            if let Some(key) = Self::from_bytes(algorithm, &candidate) {
                return key;
            }
            // A candidate fails once in 2^32 at most, so this does not come round.
            number = number.map(|n| n.wrapping_add(1));
        }
    }

    /// The key that [`Self::to_bytes`] gave; `None` for bytes that are no key of the algorithm.
    pub(crate) fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 => p256::SecretKey::from_slice(bytes).ok().map(Self::Es256),
            Algorithm::Es384 => p384::SecretKey::from_slice(bytes).ok().map(Self::Es384),
            Algorithm::Es256k => k256::SecretKey::from_slice(bytes).ok().map(Self::Es256k),
            Algorithm::EdDsa => {
                let seed = bytes.try_into().ok()?;
                let key = ed25519_dalek::SigningKey::from_bytes(seed);
                Some(Self::EdDsa(Box::new(key)))
            }
        }
    }

    /// The scalar, big-endian, or the seed of RFC 8032: for storage.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Es256(key) => key.to_bytes().to_vec(),
            Self::Es384(key) => key.to_bytes().to_vec(),
            Self::Es256k(key) => key.to_bytes().to_vec(),
            Self::EdDsa(key) => key.to_bytes().to_vec(),
        })
    }

    /// The key in PKCS#8 (DER), and what it signs with. A public key beside it must be its own.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<(Algorithm, Self), NoKey> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| NoKey::Malformed)?;
        let algorithm = algorithm_of(&info).ok_or(NoKey::OtherAlgorithm)?;
        let key = match algorithm {
            Algorithm::Es256 => p256::SecretKey::try_from(info).map(Self::Es256),
            Algorithm::Es384 => p384::SecretKey::try_from(info).map(Self::Es384),
            Algorithm::Es256k => k256::SecretKey::try_from(info).map(Self::Es256k),
            Algorithm::EdDsa => {
                ed25519_dalek::SigningKey::try_from(info).map(|key| Self::EdDsa(Box::new(key)))
            }
        };
        Ok((algorithm, key.map_err(|_| NoKey::Malformed)?))
    }

    /// The same back, byte for byte as OpenSSL writes it: an EC key with its public point
    /// (RFC 5915), an Ed25519 key without (RFC 8410 §7).
    pub(crate) fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        let der = match self {
            Self::Es256(key) => key.to_pkcs8_der(),
            Self::Es384(key) => key.to_pkcs8_der(),
            Self::Es256k(key) => key.to_pkcs8_der(),
            Self::EdDsa(key) => KeypairBytes {
                secret_key: key.to_bytes(),
                public_key: None,
            }
            .to_pkcs8_der(),
        };
        der.ok().map(|der| Zeroizing::new(der.as_bytes().to_vec()))
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        match self {
            Self::Es256(key) => ec2!(key),
            Self::Es384(key) => ec2!(key),
            Self::Es256k(key) => ec2!(key),
            Self::EdDsa(key) => PublicKey::Okp {
                x: key.verifying_key().to_bytes().to_vec(),
            },
        }
    }

    /// Signs `parts` one after the other. ECDSA signatures are DER (WebAuthn §6.5.5).
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Es256(key) => sign!(key, p256::NistP256, Sha256, parts),
            Self::Es384(key) => sign!(key, p384::NistP384, Sha384, parts),
            Self::Es256k(key) => sign!(key, k256::Secp256k1, Sha256, parts),
            Self::EdDsa(key) => key.sign(&parts.concat()).to_bytes().to_vec(),
        }
    }

    /// As the certificate builder wants it; `None` unless it is a key for ES256.
    pub(crate) fn to_signing_key(&self) -> Option<SigningKey> {
        match self {
            Self::Es256(key) => Some(SigningKey::from(key)),
            Self::Es384(_) | Self::Es256k(_) | Self::EdDsa(_) => None,
        }
    }
}

/// What a private key in PKCS#8 signs with, by its object identifiers.
fn algorithm_of(info: &PrivateKeyInfoRef<'_>) -> Option<Algorithm> {
    let (kind, curve): (ObjectIdentifier, _) = info.algorithm.oids().ok()?;
    if kind == ID_ED25519 {
        return Some(Algorithm::EdDsa);
    }
    if kind != ALGORITHM_OID {
        return None;
    }
    [
        (p256::NistP256::OID, Algorithm::Es256),
        (p384::NistP384::OID, Algorithm::Es384),
        (k256::Secp256k1::OID, Algorithm::Es256k),
    ]
    .into_iter()
    .find_map(|(oid, algorithm)| (curve == Some(oid)).then_some(algorithm))
}
