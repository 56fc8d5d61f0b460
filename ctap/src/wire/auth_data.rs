//! Authenticator data (WebAuthn §6.1): bytes, not CBOR, but for the key inside.

use ciborium::Value;

use super::{cbor, extension::Outputs};
use crate::{
    credential::{Algorithm, CredentialId, RpIdHash},
    crypto::PublicKey,
};

/// The flags byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// UP: a person was there.
    pub(crate) user_present: bool,
    /// UV: the person was verified.
    pub(crate) user_verified: bool,
    /// BE: the credential may be copied.
    pub(crate) backup_eligible: bool,
    /// BS: it has been.
    pub(crate) backup_state: bool,
    /// What a fault sends the other way round.
    pub(crate) flipped: Flipped,
}

/// Flags whose value is not the true one: a fault wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flipped {
    pub(crate) user_present: bool,
    pub(crate) user_verified: bool,
    pub(crate) attested: bool,
    pub(crate) extensions: bool,
}

impl Flags {
    const UP: u8 = 0x01;
    const UV: u8 = 0x04;
    const BE: u8 = 0x08;
    const BS: u8 = 0x10;
    const AT: u8 = 0x40;
    const ED: u8 = 0x80;

    /// Each flag with its name.
    pub(crate) const NAMES: [(u8, &'static str); 6] = [
        (Self::UP, "UP"),
        (Self::UV, "UV"),
        (Self::BE, "BE"),
        (Self::BS, "BS"),
        (Self::AT, "AT"),
        (Self::ED, "ED"),
    ];

    fn emit(self, attested: bool, extensions: bool) -> u8 {
        let flipped = self.flipped;
        [
            (self.user_present ^ flipped.user_present, Self::UP),
            (self.user_verified ^ flipped.user_verified, Self::UV),
            (self.backup_eligible, Self::BE),
            (self.backup_state, Self::BS),
            (attested ^ flipped.attested, Self::AT),
            (extensions ^ flipped.extensions, Self::ED),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(0, |flags, (_, flag)| flags | flag)
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
    pub(crate) extensions: &'a Outputs,
}

impl AuthData<'_> {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut bytes = self.rp_id_hash.0.to_vec();
        let extensions = self.extensions.emit();
        let flags = self.flags;
        bytes.push(flags.emit(self.attested.is_some(), extensions.is_some()));
        bytes.extend(self.sign_count.to_be_bytes());
        if let Some(attested) = &self.attested {
            let id = attested.id.as_bytes();
            bytes.extend(attested.aaguid);
            bytes.extend(u16::try_from(id.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(id);
            bytes.extend(emit_cose_key(attested.algorithm, attested.public_key));
        }
        bytes.extend(extensions.unwrap_or_default());
        bytes
    }
}

/// [`cose_key`] in bytes.
pub(crate) fn emit_cose_key(algorithm: Algorithm, key: &PublicKey) -> Vec<u8> {
    cbor::emit(&cose_key(algorithm, key))
}

/// COSE_Key (RFC 9053 §7, RFC 8812 §3.1; RFC 8230 §4; draft-ietf-cose-dilithium §3).
pub(super) fn cose_key(algorithm: Algorithm, key: &PublicKey) -> Value {
    let alg = Value::from(algorithm.cose());
    match key {
        PublicKey::Ec2 { x, y } => cbor::int_map([
            (1, Value::from(2)), // kty: EC2
            (3, alg),
            (-1, Value::from(curve(algorithm))),
            (-2, Value::Bytes(x.clone())),
            (-3, Value::Bytes(y.clone())),
        ]),
        PublicKey::Okp { x } => cbor::int_map([
            (1, Value::from(1)), // kty: OKP
            (3, alg),
            (-1, Value::from(curve(algorithm))),
            (-2, Value::Bytes(x.clone())),
        ]),
        PublicKey::Rsa { n, e } => cbor::int_map([
            (1, Value::from(3)), // kty: RSA
            (3, alg),
            (-1, Value::Bytes(n.clone())),
            (-2, Value::Bytes(e.clone())),
        ]),
        PublicKey::Akp { public } => cbor::int_map([
            (1, Value::from(7)), // kty: AKP
            (3, alg),
            (-1, Value::Bytes(public.clone())),
        ]),
    }
}

/// COSE's number of the curve; 0, which is reserved, for a key that is on none.
fn curve(algorithm: Algorithm) -> i32 {
    match algorithm {
        Algorithm::Es256 => 1,
        Algorithm::Es384 => 2,
        Algorithm::Es512 => 3,
        Algorithm::EdDsa => 6,
        Algorithm::Es256k => 8,
        Algorithm::Rs256 | Algorithm::MlDsa44 | Algorithm::MlDsa65 => 0,
    }
}
