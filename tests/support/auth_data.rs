//! Authenticator data (WebAuthn §6.1) taken apart.

use ciborium::Value;

use super::{cbor, cose::PublicKey};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const BACKUP_STATE: u8 = 0x10;
const ATTESTED: u8 = 0x40;
const EXTENSIONS: u8 = 0x80;

/// What an authenticator says beside a signature.
#[derive(Clone, Debug)]
pub(crate) struct AuthData {
    pub(crate) rp_id_hash: [u8; 32],
    pub(crate) user_present: bool,
    pub(crate) user_verified: bool,
    /// BE and BS.
    pub(crate) backup: (bool, bool),
    pub(crate) counter: u32,
    pub(crate) aaguid: Option<Vec<u8>>,
    /// The credential's id and key.
    pub(crate) attested: Option<(Vec<u8>, PublicKey)>,
    /// Their map; null where there is none.
    pub(crate) extensions: Value,
}

impl AuthData {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let flags = bytes[32];
        assert_eq!(flags & 0x22, 0, "reserved flags of {flags:#04x}");
        let is_set = |flag| flags & flag != 0;
        let mut rest = &bytes[37..];
        let (mut aaguid, mut attested) = (None, None);
        if is_set(ATTESTED) {
            let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
            aaguid = Some(rest[..16].to_vec());
            let id = rest[18..18 + length].to_vec();
            rest = &rest[18 + length..];
            attested = Some((id, PublicKey::from_cose(&take(&mut rest))));
        }
        let mut extensions = Value::Null;
        if is_set(EXTENSIONS) {
            extensions = take(&mut rest);
            let members = extensions.as_map().expect("a map of extensions");
            assert!(!members.is_empty(), "ED says that there are some");
        }
        assert!(rest.is_empty(), "nothing behind what the flags name");
        Self {
            rp_id_hash: bytes[..32].try_into().expect("32 bytes"),
            user_present: is_set(USER_PRESENT),
            user_verified: is_set(USER_VERIFIED),
            backup: (is_set(BACKUP_ELIGIBLE), is_set(BACKUP_STATE)),
            counter: u32::from_be_bytes(bytes[33..37].try_into().expect("four bytes")),
            aaguid,
            attested,
            extensions,
        }
    }

    /// The output of an extension.
    pub(crate) fn extension(&self, name: &str) -> Option<Value> {
        if self.extensions == Value::Null {
            return None;
        }
        cbor::member(&self.extensions, name)
    }
}

/// The canonical CBOR item that bytes begin with.
fn take(rest: &mut &[u8]) -> Value {
    let all = *rest;
    let _: Value = ciborium::from_reader(&mut *rest).expect("CBOR");
    cbor::parse(&all[..all.len() - rest.len()])
}
