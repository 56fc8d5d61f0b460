//! CTAP2 messages: one request and response pair for each command (CTAP 2.1 §6).
//!
//! Requests are parsed into plain values and responses emitted from them; nothing is decided.
//! Integer keys stand beside their member. Deliberately absent: state and policy.

mod auth_data;
mod cbor;
pub(crate) mod get_assertion;
pub(crate) mod get_info;
pub(crate) mod make_credential;
mod strict;
#[cfg(test)]
mod tests;

use ciborium::Value;

use crate::status::Status;
pub(crate) use auth_data::{Attested, AuthData, Flags};

/// Type of every credential (WebAuthn §5.8.2).
const PUBLIC_KEY: &str = "public-key";

/// A command with its parameters, of one shape whatever the key offers.
pub(crate) enum Request {
    /// 0x01 authenticatorMakeCredential.
    MakeCredential(Box<make_credential::Request>),
    /// 0x02 authenticatorGetAssertion.
    GetAssertion(Box<get_assertion::Request>),
    /// 0x04 authenticatorGetInfo.
    GetInfo,
    /// 0x07 authenticatorReset.
    Reset,
    /// 0x08 authenticatorGetNextAssertion.
    GetNextAssertion,
    /// 0x0B authenticatorSelection.
    Selection,
}

impl Request {
    /// Parses a CTAPHID_CBOR payload: the command byte and its parameters.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Status> {
        let (command, parameters) = payload.split_first().ok_or(Status::InvalidCommand)?;
        let bare = |request| match parameters {
            [] => Ok(request),
            _ => Err(Status::InvalidCbor),
        };
        match command {
            0x01 => make_credential::Request::parse(parameters)
                .map(|request| Self::MakeCredential(Box::new(request))),
            0x02 => get_assertion::Request::parse(parameters)
                .map(|request| Self::GetAssertion(Box::new(request))),
            0x04 => bare(Self::GetInfo),
            0x07 => bare(Self::Reset),
            0x08 => bare(Self::GetNextAssertion),
            0x0b => bare(Self::Selection),
            _ => Err(Status::InvalidCommand),
        }
    }
}

/// A response: the status, and behind success the encoded value, if the command has one.
pub(crate) fn response(result: Result<Option<Vec<u8>>, Status>) -> Vec<u8> {
    match result {
        Ok(body) => {
            let mut response = vec![Status::Ok.code()];
            response.extend(body.unwrap_or_default());
            response
        }
        Err(status) => vec![status.code()],
    }
}

/// The options that makeCredential and getAssertion know; an absent one is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) rk: Option<bool>,
    pub(crate) up: Option<bool>,
    pub(crate) uv: Option<bool>,
}

impl Options {
    fn from_value(value: Value) -> Result<Self, Status> {
        let mut members = cbor::Members::from_value(value)?;
        Ok(Self {
            rk: members.optional("rk", cbor::boolean)?,
            up: members.optional("up", cbor::boolean)?,
            uv: members.optional("uv", cbor::boolean)?,
        })
    }
}

/// What a platform sends to prove user verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PinUvAuth {
    pub(crate) param: Option<Vec<u8>>,
    pub(crate) protocol: Option<u64>,
}

/// The ids in a list of PublicKeyCredentialDescriptor. One of another type stays in the list as an
/// empty id, which no credential has: a list that names nothing of ours is not an absent list.
fn credential_ids(value: Value) -> Result<Vec<Vec<u8>>, Status> {
    cbor::list(value, |descriptor| {
        let mut members = cbor::Members::from_value(descriptor)?;
        let id = members.required("id", cbor::bytes)?;
        let kind = members.required("type", cbor::text)?;
        Ok(if kind == PUBLIC_KEY { id } else { Vec::new() })
    })
}

/// clientDataHash is a SHA-256.
fn client_data_hash(value: Value) -> Result<[u8; 32], Status> {
    cbor::bytes(value)?
        .try_into()
        .map_err(|_| Status::InvalidLength)
}

/// Extensions are a map; what this key does not offer is ignored (CTAP 2.1 §6.1.2).
fn ignored_extensions(value: Value) -> Result<(), Status> {
    cbor::Members::from_value(value).map(drop)
}
