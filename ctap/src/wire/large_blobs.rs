//! authenticatorLargeBlobs, 0x0C (CTAP 2.1 §6.10.2).

use ciborium::Value;

use super::{PinUvAuth, cbor};
use crate::status::Status;

/// The parameters; which of them go together is not looked at here.
pub(crate) struct Request {
    /// How many bytes to read.
    pub(crate) get: Option<u64>,
    /// The bytes to write.
    pub(crate) set: Option<Vec<u8>>,
    /// Where they begin.
    pub(crate) offset: Option<u64>,
    /// Of the whole array that is to be written.
    pub(crate) length: Option<u64>,
    pub(crate) pin_uv_auth: PinUvAuth,
}

impl Request {
    pub(super) fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let mut members = cbor::Members::parse(parameters)?;
        Ok(Self {
            get: members.optional(0x01, cbor::unsigned)?,
            set: members.optional(0x02, cbor::bytes)?,
            offset: members.optional(0x03, cbor::unsigned)?,
            length: members.optional(0x04, cbor::unsigned)?,
            pin_uv_auth: PinUvAuth {
                param: members.optional(0x05, cbor::bytes)?,
                protocol: members.optional(0x06, cbor::unsigned)?,
            },
        })
    }
}

/// What the platform gets when it reads: 0x01 config.
pub(crate) fn emit(config: &[u8]) -> Vec<u8> {
    cbor::emit(&cbor::int_map([(0x01, Value::Bytes(config.to_vec()))]))
}
