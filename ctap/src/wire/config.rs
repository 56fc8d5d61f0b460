//! authenticatorConfig, 0x0D (CTAP 2.1 §6.11).

use ciborium::Value;

use super::{PinUvAuth, cbor};
use crate::status::Status;

/// A subcommand with its parameters.
pub(crate) enum Subcommand {
    ToggleAlwaysUv,
    SetMinPinLength(SetMinPinLength),
    /// One that this key does not offer, or that does not exist.
    Other,
}

/// §6.11.4.
#[derive(Default)]
pub(crate) struct SetMinPinLength {
    pub(crate) new_min_pin_length: Option<u64>,
    pub(crate) rp_ids: Option<Vec<String>>,
    pub(crate) force_change_pin: bool,
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
        let mut members = cbor::Members::parse(parameters)?;
        let number = members.required(0x01, cbor::unsigned)?;
        let params = members.optional(0x02, Ok)?;
        let pin_uv_auth = PinUvAuth {
            protocol: members.optional(0x03, cbor::unsigned)?,
            param: members.optional(0x04, cbor::bytes)?,
        };
        let mut message = vec![0xff; 32];
        message.push(0x0d);
        message.push(u8::try_from(number).map_err(|_| Status::InvalidParameter)?);
        message.extend(params.as_ref().map(cbor::emit).unwrap_or_default());
        let subcommand = match number {
            0x02 => Subcommand::ToggleAlwaysUv,
            0x03 => Subcommand::SetMinPinLength(set_min_pin_length(params)?),
            _ => Subcommand::Other,
        };
        Ok(Self {
            subcommand,
            message,
            pin_uv_auth,
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
    })
}
