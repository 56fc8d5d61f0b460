//! Extension inputs and outputs (CTAP 2.1 §12, CTAP 2.2 §12.8 to §12.10).

use ciborium::Value;

use super::{cbor, client_pin::key_agreement};
use crate::{pin::Point, status::Status};

/// The input of hmac-secret at getAssertion, and of hmac-secret-mc (§12.5).
pub(crate) struct HmacSalts {
    pub(crate) key_agreement: Point,
    pub(crate) salt_enc: Vec<u8>,
    pub(crate) salt_auth: Vec<u8>,
    /// pinUvAuthProtocol; 1 where the platform does not say.
    pub(crate) protocol: Option<u64>,
}

fn hmac_salts(value: Value) -> Result<HmacSalts, Status> {
    let mut members = cbor::Members::from_value(value)?;
    Ok(HmacSalts {
        key_agreement: members.required(0x01, key_agreement)?,
        salt_enc: members.required(0x02, cbor::bytes)?,
        salt_auth: members.required(0x03, cbor::bytes)?,
        protocol: members.optional(0x04, cbor::unsigned)?,
    })
}

/// What a platform asks of extensions when a credential is made; unknown ones are ignored.
#[derive(Default)]
pub(crate) struct MakeInputs {
    pub(crate) cred_blob: Option<Vec<u8>>,
    pub(crate) cred_protect: Option<u64>,
    pub(crate) hmac_secret: bool,
    pub(crate) hmac_secret_mc: Option<HmacSalts>,
    pub(crate) large_blob_key: Option<bool>,
    pub(crate) min_pin_length: bool,
    pub(crate) pin_complexity_policy: bool,
    pub(crate) third_party_payment: bool,
}

impl MakeInputs {
    pub(super) fn from_value(value: Value) -> Result<Self, Status> {
        let mut members = cbor::Members::from_value(value)?;
        let wanted = |value: Option<bool>| value == Some(true);
        Ok(Self {
            cred_blob: members.optional("credBlob", cbor::bytes)?,
            cred_protect: members.optional("credProtect", cbor::unsigned)?,
            hmac_secret: wanted(members.optional("hmac-secret", cbor::boolean)?),
            hmac_secret_mc: members.optional("hmac-secret-mc", hmac_salts)?,
            large_blob_key: members.optional("largeBlobKey", cbor::boolean)?,
            min_pin_length: wanted(members.optional("minPinLength", cbor::boolean)?),
            pin_complexity_policy: wanted(members.optional("pinComplexityPolicy", cbor::boolean)?),
            third_party_payment: wanted(members.optional("thirdPartyPayment", cbor::boolean)?),
        })
    }
}

/// What a platform asks of extensions when it asserts.
#[derive(Default)]
pub(crate) struct GetInputs {
    pub(crate) cred_blob: bool,
    pub(crate) hmac_secret: Option<HmacSalts>,
    pub(crate) large_blob_key: Option<bool>,
    pub(crate) third_party_payment: bool,
}

impl GetInputs {
    pub(super) fn from_value(value: Value) -> Result<Self, Status> {
        let mut members = cbor::Members::from_value(value)?;
        Ok(Self {
            cred_blob: members.optional("credBlob", cbor::boolean)? == Some(true),
            hmac_secret: members.optional("hmac-secret", hmac_salts)?,
            large_blob_key: members.optional("largeBlobKey", cbor::boolean)?,
            third_party_payment: members.optional("thirdPartyPayment", cbor::boolean)?
                == Some(true),
        })
    }
}

/// What goes into the authenticator data, in whatever order it is added.
#[derive(Default)]
pub(crate) struct Outputs(Vec<(&'static str, Value)>);

impl Outputs {
    /// At registration: whether the blob was stored.
    pub(crate) fn cred_blob_stored(&mut self, stored: bool) {
        self.0.push(("credBlob", Value::from(stored)));
    }

    /// At authentication: the blob.
    pub(crate) fn cred_blob(&mut self, blob: &[u8]) {
        self.0.push(("credBlob", Value::Bytes(blob.to_vec())));
    }

    pub(crate) fn cred_protect(&mut self, level: u8) {
        self.0.push(("credProtect", Value::from(level)));
    }

    /// At registration: hmac-secret can be used with the credential.
    pub(crate) fn hmac_secret_offered(&mut self) {
        self.0.push(("hmac-secret", Value::from(true)));
    }

    /// At authentication: the outputs, encrypted.
    pub(crate) fn hmac_secret(&mut self, sealed: Vec<u8>) {
        self.0.push(("hmac-secret", Value::Bytes(sealed)));
    }

    /// At registration: the outputs, encrypted.
    pub(crate) fn hmac_secret_mc(&mut self, sealed: Vec<u8>) {
        self.0.push(("hmac-secret-mc", Value::Bytes(sealed)));
    }

    pub(crate) fn min_pin_length(&mut self, length: u8) {
        self.0.push(("minPinLength", Value::from(length)));
    }

    /// At registration: whether simple PINs are refused.
    pub(crate) fn pin_complexity_policy(&mut self, in_force: bool) {
        self.0.push(("pinComplexityPolicy", Value::from(in_force)));
    }

    /// At authentication: whether other sites may ask to pay with the credential.
    pub(crate) fn third_party_payment(&mut self, enabled: bool) {
        self.0.push(("thirdPartyPayment", Value::from(enabled)));
    }

    /// The encoded map, `None` when there is nothing in it.
    pub(super) fn emit(&self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        Some(cbor::emit(&cbor::sorted_text_map(self.0.clone())))
    }
}
