//! COSE keys (RFC 9053 §7, RFC 8812 §3.1, RFC 8230 §4, draft-ietf-cose-dilithium) and what they
//! verify.

use ciborium::Value;
use ml_dsa::{MlDsa44, MlDsa65, MlDsaParams};
use p256::ecdsa::signature::Verifier;
use rsa::BoxedUint;
use sha2::{Digest, Sha256};

use super::cbor;

/// A credential's public key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PublicKey {
    Es256(p256::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
    Es384(p384::ecdsa::VerifyingKey),
    Es256k(k256::ecdsa::VerifyingKey),
    Es512(p521::ecdsa::VerifyingKey),
    Rs256(rsa::PublicKey),
    MlDsa44(Box<ml_dsa::VerifyingKey<MlDsa44>>),
    MlDsa65(Box<ml_dsa::VerifyingKey<MlDsa65>>),
}

impl PublicKey {
    /// A COSE_Key with exactly the members of its type.
    pub(crate) fn from_cose(key: &Value) -> Self {
        let int = |label: i64| cbor::member(key, label).and_then(|value| value.as_integer());
        let int = |label: i64| int(label).map(i128::from).expect("an integer");
        let kty = int(1);
        // Of a key on no curve -1 is the key itself.
        let curve = if kty < 3 { int(-1) } else { 0 };
        let kind = (kty, int(3), curve);
        let length = match kty {
            1 | 3 => 4,
            2 => 5,
            _ => 3,
        };
        assert_eq!(key.as_map().map(Vec::len), Some(length), "{key:?}");
        let coordinate = |label: i64, length| {
            let bytes = cbor::bytes(cbor::member(key, label));
            assert_eq!(bytes.len(), length, "coordinate {label}");
            bytes
        };
        let point = |length| [vec![4], coordinate(-2, length), coordinate(-3, length)].concat();
        match kind {
            (2, -7, 1) => Self::from_sec1(&point(32)),
            (2, -35, 2) => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&point(48));
                Self::Es384(key.expect("a point of P-384"))
            }
            (2, -47, 8) => {
                let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(&point(32));
                Self::Es256k(key.expect("a point of secp256k1"))
            }
            (1, -8, 6) => {
                let bytes = coordinate(-2, 32).try_into().expect("32 bytes");
                let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes);
                Self::EdDsa(key.expect("a point of Curve25519"))
            }
            (2, -36, 3) => {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&point(66));
                Self::Es512(key.expect("a point of P-521"))
            }
            (3, -257, 0) => {
                let n = BoxedUint::from_be_slice_vartime(&coordinate(-1, 256));
                let e = BoxedUint::from_be_slice_vartime(&coordinate(-2, 3));
                Self::Rs256(rsa::PublicKey::new(n, e).expect("a key of RSA"))
            }
            (7, -48, 0) => Self::MlDsa44(ml_dsa_key(&coordinate(-1, 1312))),
            (7, -49, 0) => Self::MlDsa65(ml_dsa_key(&coordinate(-1, 1952))),
            other => panic!("kty, alg and crv {other:?}"),
        }
    }

    /// A point of P-256, uncompressed.
    pub(crate) fn from_sec1(point: &[u8]) -> Self {
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point);
        Self::Es256(key.expect("a point of P-256"))
    }

    /// COSE's number.
    pub(crate) fn algorithm(&self) -> i64 {
        match self {
            Self::Es256(_) => -7,
            Self::EdDsa(_) => -8,
            Self::Es384(_) => -35,
            Self::Es256k(_) => -47,
            Self::Es512(_) => -36,
            Self::Rs256(_) => -257,
            Self::MlDsa44(_) => -48,
            Self::MlDsa65(_) => -49,
        }
    }

    /// Fails the test unless the key signed the parts, one after the other.
    pub(crate) fn verify(&self, parts: &[&[u8]], signature: &[u8]) {
        assert!(self.signed(parts, signature), "a signature by this key");
    }

    /// Whether the key signed the parts; what is no signature at all fails the test.
    pub(crate) fn signed(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        let message = parts.concat();
        let verified = match self {
            Self::Es256(key) => {
                let signature = p256::ecdsa::Signature::from_der(signature);
                key.verify(&message, &signature.expect("a DER signature"))
            }
            Self::Es384(key) => {
                let signature = p384::ecdsa::Signature::from_der(signature);
                key.verify(&message, &signature.expect("a DER signature"))
            }
            Self::Es256k(key) => {
                // secp256k1 verifiers take the lower of two equal values of s alone.
                let signature = k256::ecdsa::Signature::from_der(signature);
                key.verify(&message, &signature.expect("a DER signature").normalize_s())
            }
            Self::Es512(key) => {
                let signature = p521::ecdsa::Signature::from_der(signature);
                key.verify(&message, &signature.expect("a DER signature"))
            }
            Self::Rs256(key) => {
                assert_eq!(signature.len(), 256, "as long as the modulus");
                let scheme = rsa::Pkcs1v15Sign::new::<Sha256>();
                let verified = key.verify(scheme, &Sha256::digest(&message), signature);
                return verified.is_ok();
            }
            Self::MlDsa44(key) => return ml_dsa_signed(key, &message, signature),
            Self::MlDsa65(key) => return ml_dsa_signed(key, &message, signature),
            Self::EdDsa(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature);
                key.verify_strict(&message, &signature.expect("64 bytes"))
            }
        };
        verified.is_ok()
    }
}

fn ml_dsa_key<P: MlDsaParams>(bytes: &[u8]) -> Box<ml_dsa::VerifyingKey<P>> {
    let encoded = bytes.try_into().expect("as long as a key");
    Box::new(ml_dsa::VerifyingKey::decode(&encoded))
}

/// With an empty context. A changed signature may not even be one.
fn ml_dsa_signed<P: MlDsaParams>(
    key: &ml_dsa::VerifyingKey<P>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let signature = ml_dsa::Signature::<P>::try_from(signature);
    signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
}
