//! COSE keys (RFC 9053 §7, RFC 8812 §3.1) and what they verify.

use ciborium::Value;
use p256::ecdsa::signature::Verifier;

use super::cbor;

/// A credential's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Es256(p256::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
    Es384(p384::ecdsa::VerifyingKey),
    Es256k(k256::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// A COSE_Key with exactly the members of its type.
    pub(crate) fn from_cose(key: &Value) -> Self {
        let int = |label: i64| cbor::member(key, label).and_then(|value| value.as_integer());
        let int = |label: i64| int(label).map(i128::from).expect("an integer");
        let kind = (int(1), int(3), int(-1));
        let length = if kind.0 == 1 { 4 } else { 5 };
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
            Self::EdDsa(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature);
                key.verify_strict(&message, &signature.expect("64 bytes"))
            }
        };
        verified.is_ok()
    }
}
