//! ML-DSA-44 and ML-DSA-65 (FIPS 204), as COSE has them (draft-ietf-cose-dilithium): the message
//! itself is signed, with an empty context.
//!
//! A private key is its seed of 32 bytes. Signatures are the deterministic ones of FIPS 204 §3.4,
//! as those of every other algorithm here: the same inputs give the same bytes.

use ml_dsa::{B32, MlDsaParams, SigningKey, signature::MultipartSigner};
use p256::pkcs8::{
    AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfoRef,
    der::{Encode, asn1::OctetStringRef},
};
use zeroize::Zeroizing;

use super::PublicKey;

/// id-ml-dsa-44 and id-ml-dsa-65 (RFC 9881 §2).
pub(super) const ID_ML_DSA_44: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
pub(super) const ID_ML_DSA_65: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");

/// `[0] IMPLICIT OCTET STRING (SIZE (32))`: the seed form of RFC 9881 §6, which alone is taken.
/// The expanded form cannot be brought back to a seed.
const SEED_FORM: [u8; 2] = [0x80, 32];

/// A key with all that signing needs, so that it is expanded once.
pub(super) type Key<P> = Box<SigningKey<P>>;

pub(super) fn from_seed<P: MlDsaParams>(seed: &[u8]) -> Option<Key<P>> {
    let seed = Zeroizing::new(B32::try_from(seed).ok()?);
    Some(Box::new(SigningKey::from_seed(&seed)))
}

pub(super) fn from_pkcs8<P: MlDsaParams>(info: &PrivateKeyInfoRef<'_>) -> Option<Key<P>> {
    if info.algorithm.parameters.is_some() {
        return None;
    }
    from_seed(info.private_key.as_bytes().strip_prefix(&SEED_FORM)?)
}

pub(super) fn to_pkcs8<P: MlDsaParams>(
    key: &SigningKey<P>,
    oid: ObjectIdentifier,
) -> Option<Zeroizing<Vec<u8>>> {
    let seed = Zeroizing::new([SEED_FORM.as_slice(), key.as_seed()].concat());
    let algorithm = AlgorithmIdentifierRef {
        oid,
        parameters: None,
    };
    let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&seed).ok()?);
    info.to_der().ok().map(Zeroizing::new)
}

pub(super) fn public_key<P: MlDsaParams>(key: &SigningKey<P>) -> PublicKey {
    PublicKey::Akp {
        public: key.as_ref().encode().to_vec(),
    }
}

pub(super) fn sign<P: MlDsaParams>(key: &SigningKey<P>, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let signature = key.try_multipart_sign(parts).ok()?;
    Some(signature.encode().to_vec())
}
