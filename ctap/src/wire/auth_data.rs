//! Authenticator data (WebAuthn §6.1): bytes, not CBOR, but for the key inside.

use ciborium::Value;

use super::cbor;
use crate::{
    credential::{Algorithm, CredentialId, RpIdHash},
    crypto::PublicKey,
};

/// The flags byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// UP: a person was there.
    pub(crate) user_present: bool,
}

impl Flags {
    const UP: u8 = 0x01;
    const AT: u8 = 0x40;

    fn emit(self, attested: bool) -> u8 {
        let up = if self.user_present { Self::UP } else { 0 };
        let at = if attested { Self::AT } else { 0 };
        up | at
    }
}

/// Attested credential data (WebAuthn §6.5.1).
pub(crate) struct Attested<'a> {
    pub(crate) aaguid: &'a [u8; 16],
    pub(crate) id: &'a CredentialId,
    pub(crate) algorithm: Algorithm,
    pub(crate) public_key: &'a PublicKey,
}

/// Authenticator data.
pub(crate) struct AuthData<'a> {
    pub(crate) rp_id_hash: &'a RpIdHash,
    pub(crate) flags: Flags,
    pub(crate) sign_count: u32,
    pub(crate) attested: Option<Attested<'a>>,
}

impl AuthData<'_> {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut bytes = self.rp_id_hash.0.to_vec();
        bytes.push(self.flags.emit(self.attested.is_some()));
        bytes.extend(self.sign_count.to_be_bytes());
        if let Some(attested) = &self.attested {
            let id = attested.id.as_bytes();
            bytes.extend(attested.aaguid);
            bytes.extend(u16::try_from(id.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(id);
            bytes.extend(cbor::emit(&cose_key(
                attested.algorithm,
                attested.public_key,
            )));
        }
        bytes
    }
}

/// COSE_Key (RFC 9053 §7.1).
pub(super) fn cose_key(algorithm: Algorithm, key: &PublicKey) -> Value {
    match algorithm {
        Algorithm::Es256 => cbor::int_map([
            (1, Value::from(2)),                // kty: EC2
            (3, Value::from(algorithm.cose())), // alg
            (-1, Value::from(1)),               // crv: P-256
            (-2, Value::Bytes(key.x.to_vec())),
            (-3, Value::Bytes(key.y.to_vec())),
        ]),
    }
}
