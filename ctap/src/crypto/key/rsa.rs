//! RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8812 §2, RFC 8017 §8.2).
//!
//! A key of our own has 2048 bits, the least that RFC 8812 §2 allows, and the exponent 65537.
//! Stored is PKCS#1 (RFC 8017 §A.1.2) and not the two primes alone, so that a key that came from
//! elsewhere goes out again with the private exponent that it came with.

use p256::pkcs8::PrivateKeyInfoRef;
use rand_core::SeedableRng;
use rsa::{
    Pkcs1v15Sign, PrivateKey,
    pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey},
    traits::PublicKeyParts,
};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{NoKey, PublicKey};
use crate::crypto::{Rng, sha256};

/// rsaEncryption (RFC 8017 §A.1).
pub(super) use rsa::pkcs1::ALGORITHM_OID;

/// The modulus of a key that is made here.
const BITS: usize = 2048;
/// Of one that comes in: less is broken, more would not be read back.
const TAKEN_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

/// The key of a seed. It takes a few hundred milliseconds: see [`crate::Work`].
pub(super) fn generate(seed: &[u8]) -> Option<PrivateKey> {
    let mut rng = Rng::from_seed(seed.try_into().ok()?);
    PrivateKey::new(&mut rng, BITS).ok()
}

pub(super) fn from_pkcs1(der: &[u8]) -> Option<PrivateKey> {
    PrivateKey::from_pkcs1_der(der).ok()
}

/// Empty only for a key that nothing here makes or takes.
pub(super) fn to_pkcs1(key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    let der = key.to_pkcs1_der();
    Zeroizing::new(der.map(|der| der.as_bytes().to_vec()).unwrap_or_default())
}

pub(super) fn from_pkcs8(info: PrivateKeyInfoRef<'_>) -> Result<PrivateKey, NoKey> {
    let key = PrivateKey::try_from(info).map_err(|_| NoKey::Malformed)?;
    if TAKEN_BITS.contains(&key.n().bit_width_vartime()) {
        Ok(key)
    } else {
        Err(NoKey::OtherAlgorithm)
    }
}

pub(super) fn public_key(key: &PrivateKey) -> PublicKey {
    PublicKey::Rsa {
        n: key.n_bytes().into_vec(),
        e: key.e_bytes().into_vec(),
    }
}

/// The signature is a function of key and message; the blinding that hides the key from a
/// stopwatch is drawn from both, so that nobody else can foresee it.
pub(super) fn sign(key: &PrivateKey, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let digest = sha256(parts);
    let private = to_pkcs1(key);
    let seed = sha256(&[b"roamkey RSA blinding v1", &private, &digest]);
    let mut rng = Rng::from_seed(seed);
    let scheme = Pkcs1v15Sign::new::<Sha256>();
    key.sign_with_rng(&mut rng, scheme, &digest).ok()
}
