//! authenticatorClientPIN, 0x06 (CTAP 2.1 §6.5.5).

use ciborium::Value;

use super::cbor;
use crate::{pin::Point, status::Status};

/// A subcommand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subcommand {
    GetPinRetries,
    GetKeyAgreement,
    SetPin,
    ChangePin,
    GetPinToken,
    GetPinUvAuthTokenUsingUvWithPermissions,
    GetUvRetries,
    GetPinUvAuthTokenUsingPinWithPermissions,
    /// One that this key does not offer, or that does not exist.
    Other,
}

impl Subcommand {
    const fn from_number(number: u64) -> Self {
        match number {
            0x01 => Self::GetPinRetries,
            0x02 => Self::GetKeyAgreement,
            0x03 => Self::SetPin,
            0x04 => Self::ChangePin,
            0x05 => Self::GetPinToken,
            0x06 => Self::GetPinUvAuthTokenUsingUvWithPermissions,
            0x07 => Self::GetUvRetries,
            0x09 => Self::GetPinUvAuthTokenUsingPinWithPermissions,
            _ => Self::Other,
        }
    }
}

/// The parameters; which of them a subcommand needs is not looked at here.
pub(crate) struct Request {
    pub(crate) subcommand: Subcommand,
    pub(crate) protocol: Option<u64>,
    pub(crate) key_agreement: Option<Point>,
    pub(crate) pin_uv_auth_param: Option<Vec<u8>>,
    pub(crate) new_pin_enc: Option<Vec<u8>>,
    pub(crate) pin_hash_enc: Option<Vec<u8>>,
    pub(crate) permissions: Option<u64>,
    pub(crate) rp_id: Option<String>,
}

impl Request {
    pub(super) fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let mut members = cbor::Members::parse(parameters)?;
        Ok(Self {
            protocol: members.optional(0x01, cbor::unsigned)?,
            subcommand: Subcommand::from_number(members.required(0x02, cbor::unsigned)?),
            key_agreement: members.optional(0x03, key_agreement)?,
            pin_uv_auth_param: members.optional(0x04, cbor::bytes)?,
            new_pin_enc: members.optional(0x05, cbor::bytes)?,
            pin_hash_enc: members.optional(0x06, cbor::bytes)?,
            permissions: members.optional(0x09, cbor::unsigned)?,
            rp_id: members.optional(0x0a, cbor::text)?,
        })
    }
}

/// The platform's key agreement key: a COSE_Key with kty EC2 on P-256 (§6.5.6).
pub(super) fn key_agreement(value: Value) -> Result<Point, Status> {
    let mut members = cbor::Members::from_value(value)?;
    let coordinate = |bytes: Vec<u8>| bytes.try_into().map_err(|_| Status::InvalidParameter);
    let kty = members.required(1, cbor::integer)?;
    let curve = members.required(-1, cbor::integer)?;
    let x = members.required(-2, cbor::bytes)?;
    let y = members.required(-3, cbor::bytes)?;
    if (kty, curve) != (2, 1) {
        return Err(Status::InvalidParameter);
    }
    Ok(Point {
        x: coordinate(x)?,
        y: coordinate(y)?,
    })
}

/// What the platform gets.
pub(crate) enum Response {
    /// 0x03 pinRetries and 0x04 powerCycleState.
    Retries { left: u8, power_cycle_state: bool },
    /// 0x05 uvRetries.
    UvRetries(u8),
    /// 0x01 keyAgreement.
    KeyAgreement(Point),
    /// 0x02 pinUvAuthToken, encrypted.
    Token(Vec<u8>),
}

impl Response {
    pub(crate) fn emit(self) -> Vec<u8> {
        let value = match self {
            Self::Retries {
                left,
                power_cycle_state,
            } => cbor::int_map([
                (0x03, Value::from(left)),
                (0x04, Value::from(power_cycle_state)),
            ]),
            Self::UvRetries(left) => cbor::int_map([(0x05, Value::from(left))]),
            Self::KeyAgreement(point) => cbor::int_map([(
                0x01,
                cbor::int_map([
                    (1, Value::from(2)),   // kty: EC2
                    (3, Value::from(-25)), // alg: ECDH-ES + HKDF-256, as §6.5.6 wants it
                    (-1, Value::from(1)),  // crv: P-256
                    (-2, Value::Bytes(point.x.to_vec())),
                    (-3, Value::Bytes(point.y.to_vec())),
                ]),
            )]),
            Self::Token(token) => cbor::int_map([(0x02, Value::Bytes(token))]),
        };
        cbor::emit(&value)
    }
}
