//! authenticatorConfig, 0x0D (CTAP 2.1 §6.11, CTAP 2.3 §6.11).

use ciborium::Value;

use super::{Management, PinUvAuth, cbor};
use crate::status::Status;

/// A subcommand with its parameters.
pub(crate) enum Subcommand {
    EnableEnterpriseAttestation,
    ToggleAlwaysUv,
    SetMinPinLength(SetMinPinLength),
    EnableLongTouchForReset,
    /// One that this key does not offer, or that does not exist.
    Other,
}

/// §6.11.4.
#[derive(Default)]
pub(crate) struct SetMinPinLength {
    pub(crate) new_min_pin_length: Option<u64>,
    pub(crate) rp_ids: Option<Vec<String>>,
    pub(crate) force_change_pin: bool,
    /// CTAP 2.2: true enables the policy; false changes nothing.
    pub(crate) pin_complexity_policy: Option<bool>,
}

/// The parameters.
pub(crate) struct Request {
    pub(crate) subcommand: Subcommand,
    /// What pinUvAuthParam authenticates.
    pub(crate) message: Vec<u8>,
    pub(crate) pin_uv_auth: PinUvAuth,
}

impl Request {
    pub(super) fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let common = Management::parse(parameters)?;
        let message = common.message([[0xff; 32].as_slice(), &[0x0d]].concat());
        Ok(Self {
            message: message.ok_or(Status::InvalidParameter)?,
            subcommand: match common.subcommand {
                0x01 => Subcommand::EnableEnterpriseAttestation,
                0x02 => Subcommand::ToggleAlwaysUv,
                0x03 => Subcommand::SetMinPinLength(set_min_pin_length(common.params)?),
                0x04 => Subcommand::EnableLongTouchForReset,
                _ => Subcommand::Other,
            },
            pin_uv_auth: common.pin_uv_auth,
        })
    }
}

fn set_min_pin_length(params: Option<Value>) -> Result<SetMinPinLength, Status> {
    let Some(params) = params else {
        return Ok(SetMinPinLength::default());
    };
    let mut members = cbor::Members::from_value(params)?;
    Ok(SetMinPinLength {
        new_min_pin_length: members.optional(0x01, cbor::unsigned)?,
        rp_ids: members.optional(0x02, |value| cbor::list(value, cbor::text))?,
        force_change_pin: members.optional(0x03, cbor::boolean)?.unwrap_or_default(),
        pin_complexity_policy: members.optional(0x04, cbor::boolean)?,
    })
}
