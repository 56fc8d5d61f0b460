//! A platform's side of authenticatorCredentialManagement (CTAP 2.1 §6.8) and
//! authenticatorConfig (§6.11).

use ciborium::Value;

use super::{
    cbor,
    cose::PublicKey,
    ctap2::{
        CONFIG, CREDENTIAL_MANAGEMENT, CREDENTIAL_MANAGEMENT_PREVIEW, Outcome, descriptors, sha256,
    },
    ctaphid::{Channel, Platform},
    pin::Token,
};

/// Subcommands of authenticatorCredentialManagement.
pub(crate) mod subcommand {
    pub(crate) const METADATA: u8 = 1;
    pub(crate) const RPS: u8 = 2;
    pub(crate) const NEXT_RP: u8 = 3;
    pub(crate) const CREDENTIALS: u8 = 4;
    pub(crate) const NEXT_CREDENTIAL: u8 = 5;
    pub(crate) const DELETE: u8 = 6;
    pub(crate) const UPDATE: u8 = 7;
}

/// Subcommands of authenticatorConfig.
pub(crate) mod config {
    pub(crate) const ENTERPRISE_ATTESTATION: u8 = 1;
    pub(crate) const TOGGLE_ALWAYS_UV: u8 = 2;
    pub(crate) const SET_MIN_PIN_LENGTH: u8 = 3;
    pub(crate) const LONG_TOUCH_FOR_RESET: u8 = 4;
    pub(crate) const VENDOR: u8 = 0xff;
}

/// A managed RP: id, name, and how many there are.
pub(crate) type ManagedRp = (String, Option<String>, Option<u64>);

/// A managed credential.
#[derive(Clone, Debug)]
pub(crate) struct Managed {
    pub(crate) id: Vec<u8>,
    pub(crate) user: Value,
    pub(crate) public_key: PublicKey,
    pub(crate) total: Option<u64>,
    pub(crate) cred_protect: u64,
    pub(crate) large_blob_key: Option<Vec<u8>>,
    pub(crate) third_party_payment: Option<bool>,
}

/// A management command's parameters. `message` is what the token authenticates.
fn parameters(subcommand: u8, params: Option<&Value>, auth: Option<(Vec<u8>, u8)>) -> Value {
    let mut members = vec![(1, Value::from(subcommand))];
    members.extend(params.map(|params| (2, params.clone())));
    if let Some((param, protocol)) = auth {
        members.push((3, Value::from(protocol)));
        members.push((4, Value::from(param)));
    }
    cbor::map(members)
}

/// The parameters of authenticatorCredentialManagement.
pub(crate) fn management(subcommand: u8, params: Option<&Value>, token: Option<&Token>) -> Value {
    let mut message = vec![subcommand];
    message.extend(params.map(cbor::emit).unwrap_or_default());
    let auth = token.map(|token| (token.param(&message), token.protocol.number()));
    parameters(subcommand, params, auth)
}

/// The parameters of authenticatorConfig.
pub(crate) fn configuration(
    subcommand: u8,
    params: Option<&Value>,
    token: Option<&Token>,
) -> Value {
    let mut message = vec![0xff; 32];
    message.extend([CONFIG, subcommand]);
    message.extend(params.map(cbor::emit).unwrap_or_default());
    let auth = token.map(|token| (token.param(&message), token.protocol.number()));
    parameters(subcommand, params, auth)
}

/// subCommandParams that name an RP.
pub(crate) fn of_rp(rp_id: &str) -> Value {
    cbor::map([(1, Value::from(sha256(rp_id.as_bytes()).to_vec()))])
}

/// A PublicKeyCredentialDescriptor.
pub(crate) fn descriptor(id: &[u8]) -> Value {
    let list = descriptors(&[id.to_vec()]).into_array().expect("a list");
    list.into_iter().next().expect("an item")
}

/// A PublicKeyCredentialUserEntity.
pub(crate) fn user(id: &[u8], names: &[(&str, &str)]) -> Value {
    let names = names.iter().map(|(key, name)| (*key, Value::from(*name)));
    cbor::map([("id", Value::from(id))].into_iter().chain(names))
}

impl Platform {
    pub(crate) fn manage(
        &mut self,
        channel: Channel,
        token: Option<&Token>,
        subcommand: u8,
        params: Option<Value>,
    ) -> Outcome<Value> {
        let parameters = management(subcommand, params.as_ref(), token);
        self.ctap2(channel, CREDENTIAL_MANAGEMENT, Some(&parameters))
    }

    /// The same under the number of the preview.
    pub(crate) fn manage_preview(
        &mut self,
        channel: Channel,
        token: Option<&Token>,
        subcommand: u8,
        params: Option<Value>,
    ) -> Outcome<Value> {
        let parameters = management(subcommand, params.as_ref(), token);
        self.ctap2(channel, CREDENTIAL_MANAGEMENT_PREVIEW, Some(&parameters))
    }

    /// authenticatorConfig.
    pub(crate) fn configure(
        &mut self,
        channel: Channel,
        token: Option<&Token>,
        subcommand: u8,
        params: Option<Value>,
    ) -> Outcome<()> {
        let parameters = configuration(subcommand, params.as_ref(), token);
        let value = self.ctap2(channel, CONFIG, Some(&parameters))?;
        assert_eq!(value, Value::Null, "authenticatorConfig answers nothing");
        Ok(())
    }

    /// existingResidentCredentialsCount and maxPossibleRemainingResidentCredentialsCount.
    pub(crate) fn metadata(&mut self, channel: Channel, token: &Token) -> Outcome<(u64, u64)> {
        let value = self.manage(channel, Some(token), subcommand::METADATA, None)?;
        let number = |key: i64| cbor::unsigned(cbor::member(&value, key));
        Ok((number(1), number(2)))
    }

    /// The first RP with a token, a further one without.
    pub(crate) fn rp(&mut self, channel: Channel, token: Option<&Token>) -> Outcome<ManagedRp> {
        let first = token.is_some();
        let subcommand = if first {
            subcommand::RPS
        } else {
            subcommand::NEXT_RP
        };
        let value = self.manage(channel, token, subcommand, None)?;
        let rp = cbor::member(&value, 3).expect("rp");
        let id = cbor::text(cbor::member(&rp, "id"));
        let hash = cbor::bytes(cbor::member(&value, 4));
        assert_eq!(hash, sha256(id.as_bytes()));
        let name = cbor::member(&rp, "name").map(|name| cbor::text(Some(name)));
        let total = cbor::member(&value, 5).map(|total| cbor::unsigned(Some(total)));
        assert_eq!(total.is_some(), first, "the total comes first");
        Ok((id, name, total))
    }

    /// All RPs' ids, sorted.
    pub(crate) fn rps(&mut self, channel: Channel, token: &Token) -> Outcome<Vec<String>> {
        let (id, _, total) = self.rp(channel, Some(token))?;
        let mut ids = vec![id];
        for _ in 1..total.expect("a total") {
            ids.push(self.rp(channel, None)?.0);
        }
        ids.sort();
        Ok(ids)
    }

    /// The first credential of an RP with a token, a further one without.
    pub(crate) fn credential(
        &mut self,
        channel: Channel,
        begin: Option<(&Token, &str)>,
    ) -> Outcome<Managed> {
        let value = match begin {
            Some((token, rp_id)) => {
                let params = Some(of_rp(rp_id));
                self.manage(channel, Some(token), subcommand::CREDENTIALS, params)?
            }
            None => self.manage(channel, None, subcommand::NEXT_CREDENTIAL, None)?,
        };
        let descriptor = cbor::member(&value, 7).expect("credentialID");
        assert_eq!(cbor::text(cbor::member(&descriptor, "type")), "public-key");
        let total = cbor::member(&value, 9).map(|total| cbor::unsigned(Some(total)));
        assert_eq!(total.is_some(), begin.is_some(), "the total comes first");
        Ok(Managed {
            id: cbor::bytes(cbor::member(&descriptor, "id")),
            user: cbor::member(&value, 6).expect("user"),
            public_key: PublicKey::from_cose(&cbor::member(&value, 8).expect("publicKey")),
            total,
            cred_protect: cbor::unsigned(cbor::member(&value, 10)),
            large_blob_key: cbor::member(&value, 11).map(|key| cbor::bytes(Some(key))),
            third_party_payment: cbor::member(&value, 12)
                .map(|payment| payment.as_bool().expect("a Boolean")),
        })
    }

    /// All credentials of an RP.
    pub(crate) fn credentials(
        &mut self,
        channel: Channel,
        token: &Token,
        rp_id: &str,
    ) -> Outcome<Vec<Managed>> {
        let first = self.credential(channel, Some((token, rp_id)))?;
        let total = first.total.expect("a total");
        let mut all = vec![first];
        for _ in 1..total {
            all.push(self.credential(channel, None)?);
        }
        Ok(all)
    }

    pub(crate) fn delete(&mut self, channel: Channel, token: &Token, id: &[u8]) -> Outcome<Value> {
        let params = cbor::map([(2, descriptor(id))]);
        self.manage(channel, Some(token), subcommand::DELETE, Some(params))
    }

    pub(crate) fn update(
        &mut self,
        channel: Channel,
        token: &Token,
        id: &[u8],
        user: Value,
    ) -> Outcome<Value> {
        let params = cbor::map([(2, descriptor(id)), (3, user)]);
        self.manage(channel, Some(token), subcommand::UPDATE, Some(params))
    }
}
