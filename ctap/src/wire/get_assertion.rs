//! authenticatorGetAssertion, 0x02, and authenticatorGetNextAssertion, 0x08 (CTAP 2.1 §6.2, §6.3).

use ciborium::Value;

use super::{
    Options, PUBLIC_KEY, PinUvAuth, cbor, client_data_hash, credential_ids, extension::GetInputs,
    user_value,
};
use crate::{credential::User, crypto::Secret, status::Status};

/// The parameters.
pub(crate) struct Request {
    pub(crate) rp_id: String,
    pub(crate) client_data_hash: [u8; 32],
    /// `None` asks for discoverable credentials.
    pub(crate) allow_list: Option<Vec<Vec<u8>>>,
    pub(crate) extensions: GetInputs,
    pub(crate) options: Options,
    pub(crate) pin_uv_auth: PinUvAuth,
}

impl Request {
    pub(super) fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let mut members = cbor::Members::parse(parameters)?;
        Ok(Self {
            rp_id: members.required(0x01, cbor::text)?,
            client_data_hash: members.required(0x02, client_data_hash)?,
            allow_list: members.optional(0x03, credential_ids)?,
            extensions: members
                .optional(0x04, GetInputs::from_value)?
                .unwrap_or_default(),
            options: members
                .optional(0x05, Options::from_value)?
                .unwrap_or_default(),
            pin_uv_auth: PinUvAuth {
                param: members.optional(0x06, cbor::bytes)?,
                protocol: members.optional(0x07, cbor::unsigned)?,
            },
        })
    }
}

/// What the platform gets.
pub(crate) struct Response<'a> {
    /// Absent only where a fault leaves it out.
    pub(crate) id: Option<&'a [u8]>,
    pub(crate) auth_data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// The account of a discoverable credential.
    pub(crate) user: Option<&'a User>,
    /// Whether its names are sent: only after user verification, and only where the platform has
    /// several to choose from (§6.2.2); one alone would open an account picker for nothing.
    pub(crate) user_names: bool,
    /// How many credentials there are, in the first response when there are several.
    pub(crate) number_of_credentials: Option<usize>,
    /// The credential's largeBlobKey, for a platform that asked for it (§12.3).
    pub(crate) large_blob_key: Option<&'a Secret>,
}

impl Response<'_> {
    pub(crate) fn emit(self) -> Vec<u8> {
        let mut members = Vec::new();
        if let Some(id) = self.id {
            let descriptor = cbor::text_map([
                ("id", Value::Bytes(id.to_vec())),
                ("type", Value::from(PUBLIC_KEY)),
            ]);
            members.push((Value::from(0x01), descriptor));
        }
        members.extend([
            (Value::from(0x02), Value::Bytes(self.auth_data)),
            (Value::from(0x03), Value::Bytes(self.signature)),
        ]);
        if let Some(user) = self.user {
            members.push((Value::from(0x04), user_value(user, self.user_names)));
        }
        if let Some(number) = self.number_of_credentials {
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            members.push((Value::from(0x05), Value::from(number)));
        }
        if let Some(key) = self.large_blob_key {
            members.push((Value::from(0x07), Value::Bytes(key.as_bytes().to_vec())));
        }
        cbor::emit(&Value::Map(members))
    }
}
