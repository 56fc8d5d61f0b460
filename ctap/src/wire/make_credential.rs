//! authenticatorMakeCredential, 0x01 (CTAP 2.1 §6.1).

use ciborium::Value;

use super::{
    Options, PUBLIC_KEY, PinUvAuth, cbor, client_data_hash, credential_ids, extension::MakeInputs,
    user,
};
use crate::{credential::User, crypto::Secret, status::Status};

/// PublicKeyCredentialRpEntity.
pub(crate) struct Rp {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
}

/// The parameters.
pub(crate) struct Request {
    pub(crate) client_data_hash: [u8; 32],
    pub(crate) rp: Rp,
    pub(crate) user: User,
    /// COSE numbers of the algorithms asked for, the platform's favourite first.
    pub(crate) algorithms: Vec<i64>,
    pub(crate) exclude_list: Vec<Vec<u8>>,
    pub(crate) extensions: MakeInputs,
    pub(crate) options: Options,
    pub(crate) pin_uv_auth: PinUvAuth,
    pub(crate) enterprise_attestation: Option<u64>,
    /// Formats, the platform's favourite first (CTAP 2.2 §6.1).
    pub(crate) attestation_formats_preference: Vec<String>,
}

impl Request {
    pub(super) fn parse(parameters: &[u8]) -> Result<Self, Status> {
        let mut members = cbor::Members::parse(parameters)?;
        Ok(Self {
            client_data_hash: members.required(0x01, client_data_hash)?,
            rp: members.required(0x02, rp)?,
            user: members.required(0x03, user)?,
            algorithms: members.required(0x04, algorithms)?,
            exclude_list: members.optional(0x05, credential_ids)?.unwrap_or_default(),
            extensions: members
                .optional(0x06, MakeInputs::from_value)?
                .unwrap_or_default(),
            options: members
                .optional(0x07, Options::from_value)?
                .unwrap_or_default(),
            pin_uv_auth: PinUvAuth {
                param: members.optional(0x08, cbor::bytes)?,
                protocol: members.optional(0x09, cbor::unsigned)?,
            },
            enterprise_attestation: members.optional(0x0a, cbor::unsigned)?,
            attestation_formats_preference: members
                .optional(0x0b, |value| cbor::list(value, cbor::text))?
                .unwrap_or_default(),
        })
    }
}

/// Whether formats, the platform's favourite first, ask for no attestation (CTAP 2.2 §6.1.2).
pub(crate) fn prefers_none(formats: &[String]) -> bool {
    let mut formats = formats.iter();
    let first = formats.find(|format| ["none", "packed"].contains(&format.as_str()));
    first.is_some_and(|format| format == "none")
}

pub(super) fn rp(value: Value) -> Result<Rp, Status> {
    let mut members = cbor::Members::from_value(value)?;
    Ok(Rp {
        id: members.required("id", cbor::text)?,
        name: members.optional("name", cbor::text)?,
    })
}

/// The algorithms among pubKeyCredParams that go with public keys.
fn algorithms(value: Value) -> Result<Vec<i64>, Status> {
    let parameters = cbor::list(value, |parameter| {
        let mut members = cbor::Members::from_value(parameter)?;
        let algorithm = members.required("alg", cbor::integer)?;
        let kind = members.required("type", cbor::text)?;
        Ok((kind == PUBLIC_KEY).then_some(algorithm))
    })?;
    Ok(parameters.into_iter().flatten().collect())
}

/// The attestation statement (WebAuthn §8).
pub(crate) enum Statement {
    /// §8.7.
    None,
    /// §8.2.
    Packed {
        /// Of the key that signs, by COSE's number.
        algorithm: i32,
        signature: Vec<u8>,
        /// The certificate of that key and those behind it, DER; none in self attestation, where
        /// the credential's own key signs.
        x5c: Vec<Vec<u8>>,
    },
}

/// What the platform gets.
pub(crate) struct Response {
    pub(crate) auth_data: Vec<u8>,
    pub(crate) statement: Statement,
    /// epAtt: the statement is an enterprise attestation.
    pub(crate) enterprise: bool,
    /// The credential's largeBlobKey, for a platform that asked for one (§12.3).
    pub(crate) large_blob_key: Option<Secret>,
}

impl Response {
    pub(crate) fn emit(self) -> Vec<u8> {
        let (format, statement) = match self.statement {
            Statement::None => ("none", Value::Map(Vec::new())),
            Statement::Packed {
                algorithm,
                signature,
                x5c,
            } => {
                let mut statement = vec![
                    ("alg", Value::from(algorithm)),
                    ("sig", Value::Bytes(signature)),
                ];
                if !x5c.is_empty() {
                    let x5c = x5c.into_iter().map(Value::Bytes);
                    statement.push(("x5c", Value::Array(x5c.collect())));
                }
                ("packed", cbor::sorted_text_map(statement))
            }
        };
        let mut members = vec![
            (Value::from(0x01), Value::from(format)),
            (Value::from(0x02), Value::Bytes(self.auth_data)),
            (Value::from(0x03), statement),
        ];
        if self.enterprise {
            members.push((Value::from(0x04), Value::from(true)));
        }
        if let Some(key) = self.large_blob_key {
            members.push((Value::from(0x05), Value::Bytes(key.as_bytes().to_vec())));
        }
        cbor::emit(&Value::Map(members))
    }
}
