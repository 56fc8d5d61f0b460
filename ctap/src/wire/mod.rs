//! CTAP2 messages: one request and response pair for each command (CTAP 2.1 §6).
//!
//! Requests are parsed into plain values and responses emitted from them; nothing is decided.
//! Integer keys stand beside their member. Deliberately absent: state and policy.

mod auth_data;
pub(crate) mod bio_enrollment;
mod cbor;
pub(crate) mod client_pin;
pub(crate) mod config;
pub(crate) mod credential_management;
pub(crate) mod damage;
pub(crate) mod extension;
pub(crate) mod get_assertion;
pub(crate) mod get_info;
mod item;
pub(crate) mod large_blobs;
pub(crate) mod make_credential;
mod peek;
mod strict;
#[cfg(test)]
mod tests;

use ciborium::Value;

use crate::{credential::User, status::Status};
pub(crate) use auth_data::{Attested, AuthData, Flags, Flipped, emit_cose_key};
pub(crate) use cbor::decode;
pub(crate) use peek::{peek, peek_apdu};
#[cfg(fuzzing)]
pub(crate) use strict::check as check_strictly;

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
    /// 0x06 authenticatorClientPIN.
    ClientPin(Box<client_pin::Request>),
    /// 0x07 authenticatorReset.
    Reset,
    /// 0x08 authenticatorGetNextAssertion.
    GetNextAssertion,
    /// 0x09 authenticatorBioEnrollment, or 0x40, its preview.
    BioEnrollment(Box<bio_enrollment::Request>),
    /// 0x0A authenticatorCredentialManagement, or 0x41, its preview.
    CredentialManagement(credential_management::Request),
    /// 0x0B authenticatorSelection.
    Selection,
    /// 0x0C authenticatorLargeBlobs.
    LargeBlobs(large_blobs::Request),
    /// 0x0D authenticatorConfig.
    Config(config::Request),
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
            0x06 => client_pin::Request::parse(parameters)
                .map(|request| Self::ClientPin(Box::new(request))),
            0x07 => bare(Self::Reset),
            0x08 => bare(Self::GetNextAssertion),
            0x09 | 0x40 => bio_enrollment::Request::parse(parameters)
                .map(|request| Self::BioEnrollment(Box::new(request))),
            0x0a | 0x41 => {
                credential_management::Request::parse(parameters).map(Self::CredentialManagement)
            }
            0x0b => bare(Self::Selection),
            0x0c => large_blobs::Request::parse(parameters).map(Self::LargeBlobs),
            0x0d => config::Request::parse(parameters).map(Self::Config),
            _ => Err(Status::InvalidCommand),
        }
    }
}

/// A response: the status, and behind success the encoded value, if the command has one.
pub(crate) fn response(result: Result<Option<Vec<u8>>, Status>) -> Vec<u8> {
    match result {
        Ok(body) => {
            let mut response = body.unwrap_or_default();
            response.insert(0, Status::Ok.code());
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

/// What authenticatorCredentialManagement and authenticatorConfig have in common.
struct Management {
    /// 0x01 subCommand.
    subcommand: u64,
    /// 0x02 subCommandParams, a map if they are there.
    params: Option<Value>,
    /// 0x03 and 0x04.
    pin_uv_auth: PinUvAuth,
}

impl Management {
    fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let mut members = cbor::Members::parse(parameters)?;
        Ok(Self {
            subcommand: members.required(0x01, cbor::unsigned)?,
            params: members.optional(0x02, Ok)?,
            pin_uv_auth: PinUvAuth {
                protocol: members.optional(0x03, cbor::unsigned)?,
                param: members.optional(0x04, cbor::bytes)?,
            },
        })
    }

    /// What pinUvAuthParam authenticates behind what the command puts in front: the subcommand
    /// and its parameters, which, canonical as they came, are encoded to the same bytes.
    fn message(&self, mut message: Vec<u8>) -> Option<Vec<u8>> {
        message.push(u8::try_from(self.subcommand).ok()?);
        message.extend(self.params.as_ref().map(cbor::emit).unwrap_or_default());
        Some(message)
    }
}

/// The id in a PublicKeyCredentialDescriptor; `None` for one of another type.
fn descriptor(value: Value) -> Result<Option<Vec<u8>>, Status> {
    let mut members = cbor::Members::from_value(value)?;
    let id = members.required("id", cbor::bytes)?;
    let kind = members.required("type", cbor::text)?;
    Ok((kind == PUBLIC_KEY).then_some(id))
}

/// The ids in a list of PublicKeyCredentialDescriptor. One of another type stays in the list as an
/// empty id, which no credential has: a list that names nothing of ours is not an absent list.
fn credential_ids(value: Value) -> Result<Vec<Vec<u8>>, Status> {
    cbor::list(value, |value| Ok(descriptor(value)?.unwrap_or_default()))
}

/// The id in a descriptor that must be one of a public key.
fn credential_id(value: Value) -> Result<Vec<u8>, Status> {
    descriptor(value)?.ok_or(Status::InvalidParameter)
}

/// PublicKeyCredentialUserEntity (WebAuthn §5.4.3).
fn user(value: Value) -> Result<User, Status> {
    let mut members = cbor::Members::from_value(value)?;
    Ok(User {
        id: members.required("id", cbor::bytes)?,
        name: members.optional("name", cbor::text)?,
        display_name: members.optional("displayName", cbor::text)?,
    })
}

/// The same, with names only for a caller who may see them.
fn user_value(user: &User, names: bool) -> Value {
    let mut members = vec![("id", Value::Bytes(user.id.clone()))];
    if names {
        let name = |key, name: &Option<String>| name.clone().map(|name| (key, Value::from(name)));
        members.extend(name("name", &user.name));
        members.extend(name("displayName", &user.display_name));
    }
    cbor::sorted_text_map(members)
}

/// clientDataHash is a SHA-256.
fn client_data_hash(value: Value) -> Result<[u8; 32], Status> {
    cbor::bytes(value)?
        .try_into()
        .map_err(|_| Status::InvalidLength)
}
