//! Credential keys: ES256, ES384, ES512 and ES256K (RFC 9053 §2.1, RFC 8812 §3), EdDSA on Ed25519
//! (RFC 9053 §2.2), RS256 (RFC 8812 §2), ML-DSA-44 and ML-DSA-65 (draft-ietf-cose-dilithium).
//!
//! ECDSA needs the scalar alone to sign, so a private key is never expanded to a key pair for
//! that: the public point costs as much as a signature and is computed where it is asked for.
//! PKCS#8 (RFC 5208, RFC 5958) is for the owner's keys that come from elsewhere and go there.

mod ec;
mod ml_dsa;
mod rsa;

use ::ml_dsa::{MlDsa44, MlDsa65};
use ec::{ec2, sign};
use ecdsa::hazmat::sign_prehashed_rfc6979;
use ed25519_dalek::{Signer, pkcs8::KeypairBytes};
use p256::{
    ecdsa::SigningKey,
    elliptic_curve::{ALGORITHM_OID, sec1::ToSec1Point},
    pkcs8::{
        AssociatedOid, EncodePrivateKey, EncodePublicKey, ObjectIdentifier, PrivateKeyInfoRef,
        SecretDocument,
    },
};
use sha2::{Digest, Sha256, Sha384, Sha512};
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
    Es512(p521::SecretKey),
    EdDsa(Box<ed25519_dalek::SigningKey>),
    Rs256(Box<::rsa::PrivateKey>),
    MlDsa44(ml_dsa::Key<MlDsa44>),
    MlDsa65(ml_dsa::Key<MlDsa65>),
}

/// Why bytes are not taken for a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// They are not PKCS#8, or the key in it is none of its algorithm.
    Malformed,
    /// It is a key of an algorithm that nothing here signs with.
    OtherAlgorithm,
}

/// A public key: coordinates and numbers big-endian, the encoded point of RFC 8032, or the public
/// key of FIPS 204.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Ec2 { x: Vec<u8>, y: Vec<u8> },
    Okp { x: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Akp { public: Vec<u8> },
}

impl PublicKey {
    /// Uncompressed point (SEC 1 §2.3.3), as U2F sends it; `None` unless it is one of P-256.
    pub(crate) fn to_sec1(&self) -> Option<[u8; 65]> {
        match self {
            Self::Ec2 { x, y } => [&[4], x.as_slice(), y].concat().try_into().ok(),
            Self::Okp { .. } | Self::Rsa { .. } | Self::Akp { .. } => None,
        }
    }
}

impl PrivateKey {
    /// Draws a new key.
    pub(crate) fn random(algorithm: Algorithm, rng: &mut Rng) -> Self {
        Self::of_seed(algorithm, &Secret::random(rng))
    }

    /// The key that a generator makes of a seed that it has drawn.
    pub(crate) fn of_seed(algorithm: Algorithm, seed: &Secret) -> Self {
        let label: &[u8] = b"roamkey credential key v1";
        Self::derive(algorithm, &Expander::new(seed), &[label])
    }

    /// The key that `expander` gives for the information `parts`.
    ///
    /// Our own rejection sampling, so that the same master secret gives the same key whatever a
    /// crate's generator does in its next version: candidate number 0, 1, … is the expansion for
    /// `parts` and the number as one byte, and the first that is a key of the algorithm is it.
    /// A number of P-521 has 521 bits: the 7 above them are cleared in a candidate's 66 bytes, or
    /// hardly one in 128 would do. For RS256 a candidate is the seed of the crate's generator, so
    /// such a key is stored and never derived again.
    pub(crate) fn derive(algorithm: Algorithm, expander: &Expander, parts: &[&[u8]]) -> Self {
        let length = match algorithm {
            Algorithm::Es256
            | Algorithm::Es256k
            | Algorithm::EdDsa
            | Algorithm::Rs256
            | Algorithm::MlDsa44
            | Algorithm::MlDsa65 => 32,
            Algorithm::Es384 => 48,
            Algorithm::Es512 => 66,
        };
        let mut candidate = Zeroizing::new(vec![0; length]);
        let mut number = [0_u8];
        loop {
            let mut info = parts.to_vec();
            info.push(&number);
            expander.expand_into(&info, &mut candidate);
            if let (Algorithm::Es512, Some(top)) = (algorithm, candidate.first_mut()) {
                *top &= 0x01;
            }
            let key = match algorithm {
                Algorithm::Rs256 => rsa::generate(&candidate).map(|key| Self::Rs256(Box::new(key))),
                Algorithm::Es256
                | Algorithm::Es384
                | Algorithm::Es512
                | Algorithm::Es256k
                | Algorithm::EdDsa
                | Algorithm::MlDsa44
                | Algorithm::MlDsa65 => Self::from_bytes(algorithm, &candidate),
            };
            if let Some(key) = key {
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
            Algorithm::Es512 => p521::SecretKey::from_slice(bytes).ok().map(Self::Es512),
            Algorithm::Es256k => k256::SecretKey::from_slice(bytes).ok().map(Self::Es256k),
            Algorithm::EdDsa => {
                let seed = bytes.try_into().ok()?;
                let key = ed25519_dalek::SigningKey::from_bytes(seed);
                Some(Self::EdDsa(Box::new(key)))
            }
            Algorithm::Rs256 => Some(Self::Rs256(Box::new(rsa::from_pkcs1(bytes)?))),
            Algorithm::MlDsa44 => ml_dsa::from_seed(bytes).map(Self::MlDsa44),
            Algorithm::MlDsa65 => ml_dsa::from_seed(bytes).map(Self::MlDsa65),
        }
    }

    /// For storage: the scalar, big-endian; the seed of RFC 8032 or FIPS 204; PKCS#1 in DER.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Es256(key) => key.to_bytes().to_vec(),
            Self::Es384(key) => key.to_bytes().to_vec(),
            Self::Es512(key) => key.to_bytes().to_vec(),
            Self::Es256k(key) => key.to_bytes().to_vec(),
            Self::EdDsa(key) => key.to_bytes().to_vec(),
            Self::Rs256(key) => return rsa::to_pkcs1(key),
            Self::MlDsa44(key) => key.as_seed().to_vec(),
            Self::MlDsa65(key) => key.as_seed().to_vec(),
        })
    }

    /// The key in PKCS#8 (DER), and what it signs with. A public key beside it must be its own.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<(Algorithm, Self), NoKey> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| NoKey::Malformed)?;
        let algorithm = algorithm_of(&info).ok_or(NoKey::OtherAlgorithm)?;
        let key = match algorithm {
            Algorithm::Es256 => p256::SecretKey::try_from(info).ok().map(Self::Es256),
            Algorithm::Es384 => p384::SecretKey::try_from(info).ok().map(Self::Es384),
            Algorithm::Es512 => p521::SecretKey::try_from(info).ok().map(Self::Es512),
            Algorithm::Es256k => k256::SecretKey::try_from(info).ok().map(Self::Es256k),
            Algorithm::EdDsa => {
                let key = ed25519_dalek::SigningKey::try_from(info).ok();
                key.map(|key| Self::EdDsa(Box::new(key)))
            }
            Algorithm::Rs256 => Some(Self::Rs256(Box::new(rsa::from_pkcs8(info)?))),
            Algorithm::MlDsa44 => ml_dsa::from_pkcs8(&info).map(Self::MlDsa44),
            Algorithm::MlDsa65 => ml_dsa::from_pkcs8(&info).map(Self::MlDsa65),
        };
        Ok((algorithm, key.ok_or(NoKey::Malformed)?))
    }

    /// The same back, byte for byte as OpenSSL writes it: an EC key with its public point
    /// (RFC 5915), an Ed25519 key without (RFC 8410 §7). An ML-DSA key is its seed alone
    /// (RFC 9881 §6), which OpenSSL reads and writes only when it is told to.
    pub(crate) fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Es256(key) => bytes(key.to_pkcs8_der()),
            Self::Es384(key) => bytes(key.to_pkcs8_der()),
            Self::Es512(key) => bytes(key.to_pkcs8_der()),
            Self::Es256k(key) => bytes(key.to_pkcs8_der()),
            Self::EdDsa(key) => bytes(
                KeypairBytes {
                    secret_key: key.to_bytes(),
                    public_key: None,
                }
                .to_pkcs8_der(),
            ),
            Self::Rs256(key) => bytes(key.to_pkcs8_der()),
            Self::MlDsa44(key) => ml_dsa::to_pkcs8(key, ml_dsa::ID_ML_DSA_44),
            Self::MlDsa65(key) => ml_dsa::to_pkcs8(key, ml_dsa::ID_ML_DSA_65),
        }
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        match self {
            Self::Es256(key) => ec2!(key),
            Self::Es384(key) => ec2!(key),
            Self::Es512(key) => ec2!(key),
            Self::Es256k(key) => ec2!(key),
            Self::EdDsa(key) => PublicKey::Okp {
                x: key.verifying_key().to_bytes().to_vec(),
            },
            Self::Rs256(key) => rsa::public_key(key),
            Self::MlDsa44(key) => ml_dsa::public_key(key),
            Self::MlDsa65(key) => ml_dsa::public_key(key),
        }
    }

    /// Signs `parts` one after the other. ECDSA signatures are DER (WebAuthn §6.5.5).
    ///
    /// `None` where RSA's check of its own result fails, or ML-DSA's sampling ends in nothing:
    /// neither happens while the machine works.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        match self {
            Self::Es256(key) => sign!(key, p256::NistP256, Sha256, parts),
            Self::Es384(key) => sign!(key, p384::NistP384, Sha384, parts),
            Self::Es512(key) => sign!(key, p521::NistP521, Sha512, parts),
            Self::Es256k(key) => sign!(key, k256::Secp256k1, Sha256, parts),
            Self::EdDsa(key) => Some(key.sign(&parts.concat()).to_bytes().to_vec()),
            Self::Rs256(key) => rsa::sign(key, parts),
            Self::MlDsa44(key) => ml_dsa::sign(key, parts),
            Self::MlDsa65(key) => ml_dsa::sign(key, parts),
        }
    }

    /// The public key as certificates have it (RFC 5280 §4.1.2.7), DER; `None` unless it is one
    /// that certificates are issued for or with: for ES256 or RS256.
    pub(crate) fn to_spki(&self) -> Option<Vec<u8>> {
        let document = match self {
            Self::Es256(key) => key.public_key().to_public_key_der(),
            Self::Rs256(key) => key.to_public_key().to_public_key_der(),
            Self::Es384(_)
            | Self::Es512(_)
            | Self::Es256k(_)
            | Self::EdDsa(_)
            | Self::MlDsa44(_)
            | Self::MlDsa65(_) => return None,
        };
        Some(document.ok()?.as_bytes().to_vec())
    }

    /// As the certificate builder wants it; `None` unless it is a key for RS256.
    pub(crate) fn to_rsa_signing_key(&self) -> Option<::rsa::pkcs1v15::SigningKey<Sha256>> {
        match self {
            Self::Rs256(key) => Some(::rsa::pkcs1v15::SigningKey::new((**key).clone())),
            Self::Es256(_)
            | Self::Es384(_)
            | Self::Es512(_)
            | Self::Es256k(_)
            | Self::EdDsa(_)
            | Self::MlDsa44(_)
            | Self::MlDsa65(_) => None,
        }
    }

    /// As the certificate builder wants it; `None` unless it is a key for ES256.
    pub(crate) fn to_signing_key(&self) -> Option<SigningKey> {
        match self {
            Self::Es256(key) => Some(SigningKey::from(key)),
            Self::Es384(_)
            | Self::Es512(_)
            | Self::Es256k(_)
            | Self::EdDsa(_)
            | Self::Rs256(_)
            | Self::MlDsa44(_)
            | Self::MlDsa65(_) => None,
        }
    }
}

/// The bytes of what a crate has encoded.
fn bytes<E>(der: Result<SecretDocument, E>) -> Option<Zeroizing<Vec<u8>>> {
    let der = der.ok()?;
    Some(Zeroizing::new(der.as_bytes().to_vec()))
}

/// What a private key in PKCS#8 signs with, by its object identifiers.
fn algorithm_of(info: &PrivateKeyInfoRef<'_>) -> Option<Algorithm> {
    let (kind, curve): (ObjectIdentifier, _) = info.algorithm.oids().ok()?;
    if kind == ALGORITHM_OID {
        return [
            (p256::NistP256::OID, Algorithm::Es256),
            (p384::NistP384::OID, Algorithm::Es384),
            (p521::NistP521::OID, Algorithm::Es512),
            (k256::Secp256k1::OID, Algorithm::Es256k),
        ]
        .into_iter()
        .find_map(|(oid, algorithm)| (curve == Some(oid)).then_some(algorithm));
    }
    [
        (ID_ED25519, Algorithm::EdDsa),
        (rsa::ALGORITHM_OID, Algorithm::Rs256),
        (ml_dsa::ID_ML_DSA_44, Algorithm::MlDsa44),
        (ml_dsa::ID_ML_DSA_65, Algorithm::MlDsa65),
    ]
    .into_iter()
    .find_map(|(oid, algorithm)| (kind == oid).then_some(algorithm))
}
