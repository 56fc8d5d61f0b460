//! authenticatorCredentialManagement, 0x0A, and its preview, 0x41 (CTAP 2.1 §6.8).

use ciborium::Value;

use super::{Management, PUBLIC_KEY, PinUvAuth, auth_data::cose_key, cbor, credential_id, user};
use crate::{
    credential::{Algorithm, CredProtect, RpIdHash, User},
    crypto::{PublicKey, Secret},
    status::Status,
};

/// A subcommand with its parameters.
pub(crate) enum Subcommand {
    GetCredsMetadata,
    EnumerateRpsBegin,
    EnumerateRpsGetNextRp,
    EnumerateCredentialsBegin { rp_id_hash: RpIdHash },
    EnumerateCredentialsGetNextCredential,
    DeleteCredential { id: Vec<u8> },
    UpdateUserInformation { id: Vec<u8>, user: Box<User> },
}

/// The parameters.
pub(crate) struct Request {
    pub(crate) subcommand: Subcommand,
    /// What pinUvAuthParam authenticates: the subcommand and its parameters as they came.
    pub(crate) message: Vec<u8>,
    pub(crate) pin_uv_auth: PinUvAuth,
}

impl Request {
    pub(super) fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let common = Management::parse(parameters)?;
        let message = common.message(Vec::new());
        Ok(Self {
            message: message.ok_or(Status::InvalidSubcommand)?,
            subcommand: subcommand(common.subcommand, common.params)?,
            pin_uv_auth: common.pin_uv_auth,
        })
    }
}

fn subcommand(number: u64, params: Option<Value>) -> Result<Subcommand, Status> {
    let params = || cbor::Members::from_value(params.ok_or(Status::MissingParameter)?);
    Ok(match number {
        0x01 => Subcommand::GetCredsMetadata,
        0x02 => Subcommand::EnumerateRpsBegin,
        0x03 => Subcommand::EnumerateRpsGetNextRp,
        0x04 => {
            let rp_id_hash = params()?.required(0x01, cbor::bytes)?;
            let rp_id_hash = rp_id_hash.try_into().map_err(|_| Status::InvalidLength)?;
            Subcommand::EnumerateCredentialsBegin {
                rp_id_hash: RpIdHash(rp_id_hash),
            }
        }
        0x05 => Subcommand::EnumerateCredentialsGetNextCredential,
        0x06 => Subcommand::DeleteCredential {
            id: params()?.required(0x02, credential_id)?,
        },
        0x07 => {
            let mut params = params()?;
            Subcommand::UpdateUserInformation {
                id: params.required(0x02, credential_id)?,
                user: Box::new(params.required(0x03, user)?),
            }
        }
        _ => return Err(Status::InvalidSubcommand),
    })
}

/// What the platform gets.
pub(crate) enum Response<'a> {
    Metadata {
        existing: u64,
        remaining: u64,
    },
    Rp {
        id: &'a str,
        name: Option<&'a str>,
        id_hash: RpIdHash,
        /// How many there are, in the first response.
        total: Option<u64>,
    },
    Credential {
        id: &'a [u8],
        user: &'a User,
        algorithm: Algorithm,
        public_key: PublicKey,
        cred_protect: CredProtect,
        large_blob_key: Option<&'a Secret>,
        /// Where the key has the extension.
        third_party_payment: Option<bool>,
        /// How many there are, in the first response.
        total: Option<u64>,
    },
}

impl Response<'_> {
    pub(crate) fn emit(self) -> Vec<u8> {
        let members: Vec<(i64, Value)> = match self {
            Self::Metadata {
                existing,
                remaining,
            } => vec![
                (0x01, Value::from(existing)),
                (0x02, Value::from(remaining)),
            ],
            Self::Rp {
                id,
                name,
                id_hash,
                total,
            } => {
                let mut rp = vec![("id", Value::from(id))];
                rp.extend(name.map(|name| ("name", Value::from(name))));
                let mut members = vec![
                    (0x03, cbor::sorted_text_map(rp)),
                    (0x04, Value::Bytes(id_hash.0.to_vec())),
                ];
                members.extend(total.map(|total| (0x05, Value::from(total))));
                members
            }
            Self::Credential {
                id,
                user,
                algorithm,
                public_key,
                cred_protect,
                large_blob_key,
                third_party_payment,
                total,
            } => {
                let descriptor = cbor::text_map([
                    ("id", Value::Bytes(id.to_vec())),
                    ("type", Value::from(PUBLIC_KEY)),
                ]);
                let mut members = vec![
                    (0x06, super::user_value(user, true)),
                    (0x07, descriptor),
                    (0x08, cose_key(algorithm, &public_key)),
                ];
                members.extend(total.map(|total| (0x09, Value::from(total))));
                members.push((0x0a, Value::from(cred_protect.level())));
                let key = large_blob_key.map(|key| key.as_bytes().to_vec());
                members.extend(key.map(|key| (0x0b, Value::Bytes(key))));
                members.extend(third_party_payment.map(|enabled| (0x0c, Value::from(enabled))));
                members
            }
        };
        let members = members.into_iter();
        cbor::emit(&Value::Map(
            members.map(|(key, value)| (key.into(), value)).collect(),
        ))
    }
}
