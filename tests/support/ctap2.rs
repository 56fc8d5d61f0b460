//! A platform's side of CTAP2: requests built, responses taken apart and verified.

use ciborium::Value;
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use sha2::{Digest, Sha256};

use super::{
    cbor,
    ctaphid::{Answer, Channel, Keepalive, Platform, command},
};

/// Status codes that scenarios name (CTAP 2.1 §8.2).
pub(crate) mod status {
    pub(crate) const INVALID_COMMAND: u8 = 0x01;
    pub(crate) const INVALID_PARAMETER: u8 = 0x02;
    pub(crate) const INVALID_LENGTH: u8 = 0x03;
    pub(crate) const CBOR_UNEXPECTED_TYPE: u8 = 0x11;
    pub(crate) const INVALID_CBOR: u8 = 0x12;
    pub(crate) const MISSING_PARAMETER: u8 = 0x14;
    pub(crate) const LIMIT_EXCEEDED: u8 = 0x15;
    pub(crate) const CREDENTIAL_EXCLUDED: u8 = 0x19;
    pub(crate) const UNSUPPORTED_ALGORITHM: u8 = 0x26;
    pub(crate) const OPERATION_DENIED: u8 = 0x27;
    pub(crate) const KEY_STORE_FULL: u8 = 0x28;
    pub(crate) const UNSUPPORTED_OPTION: u8 = 0x2b;
    pub(crate) const INVALID_OPTION: u8 = 0x2c;
    pub(crate) const KEEPALIVE_CANCEL: u8 = 0x2d;
    pub(crate) const NO_CREDENTIALS: u8 = 0x2e;
    pub(crate) const USER_ACTION_TIMEOUT: u8 = 0x2f;
    pub(crate) const NOT_ALLOWED: u8 = 0x30;
    pub(crate) const PIN_NOT_SET: u8 = 0x35;
    pub(crate) const REQUEST_TOO_LARGE: u8 = 0x39;
    pub(crate) const OTHER: u8 = 0x7f;
}

/// Command bytes (§6).
pub(crate) const MAKE_CREDENTIAL: u8 = 0x01;
pub(crate) const GET_ASSERTION: u8 = 0x02;
pub(crate) const GET_INFO: u8 = 0x04;
pub(crate) const RESET: u8 = 0x07;
pub(crate) const GET_NEXT_ASSERTION: u8 = 0x08;
pub(crate) const SELECTION: u8 = 0x0b;

const USER_PRESENT: u8 = 0x01;
const ATTESTED: u8 = 0x40;

/// What a response holds; the error is its status.
pub(crate) type Outcome<T> = Result<T, u8>;

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// An authenticatorMakeCredential.
#[derive(Clone)]
pub(crate) struct MakeCredential {
    pub(crate) rp_id: &'static str,
    pub(crate) user_id: Vec<u8>,
    pub(crate) user_name: Option<&'static str>,
    pub(crate) algorithms: Vec<i64>,
    pub(crate) exclude_list: Vec<Vec<u8>>,
    pub(crate) options: Vec<(&'static str, bool)>,
    pub(crate) formats: Vec<&'static str>,
    /// Members besides.
    pub(crate) more: Vec<(i64, Value)>,
}

impl MakeCredential {
    pub(crate) fn new(rp_id: &'static str, user_id: &[u8]) -> Self {
        Self {
            rp_id,
            user_id: user_id.to_vec(),
            user_name: Some("alice"),
            algorithms: vec![-7],
            exclude_list: Vec::new(),
            options: Vec::new(),
            formats: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(crate) fn discoverable(rp_id: &'static str, user_id: &[u8]) -> Self {
        let mut request = Self::new(rp_id, user_id);
        request.options.push(("rk", true));
        request
    }

    pub(crate) fn client_data_hash(&self) -> [u8; 32] {
        sha256(self.rp_id.as_bytes())
    }

    /// The parameters.
    pub(crate) fn to_value(&self) -> Value {
        let mut user = vec![("id", Value::from(self.user_id.clone()))];
        user.extend(self.user_name.map(|name| ("name", Value::from(name))));
        let algorithms = self.algorithms.iter().map(|number| {
            cbor::map([
                ("alg", Value::from(*number)),
                ("type", Value::from("public-key")),
            ])
        });
        let mut members = vec![
            (1, Value::from(self.client_data_hash().to_vec())),
            (2, cbor::map([("id", Value::from(self.rp_id))])),
            (3, cbor::map(user)),
            (4, Value::Array(algorithms.collect())),
        ];
        if !self.exclude_list.is_empty() {
            members.push((5, descriptors(&self.exclude_list)));
        }
        members.extend(options(&self.options).map(|options| (7, options)));
        if !self.formats.is_empty() {
            let formats = self.formats.iter().map(|format| Value::from(*format));
            members.push((11, Value::Array(formats.collect())));
        }
        members.extend(self.more.clone());
        cbor::map(members)
    }
}

/// An authenticatorGetAssertion.
#[derive(Clone)]
pub(crate) struct GetAssertion {
    pub(crate) rp_id: &'static str,
    pub(crate) client_data_hash: [u8; 32],
    pub(crate) allow_list: Vec<Vec<u8>>,
    pub(crate) options: Vec<(&'static str, bool)>,
    pub(crate) more: Vec<(i64, Value)>,
}

impl GetAssertion {
    /// With an empty list: for discoverable credentials.
    pub(crate) fn new(rp_id: &'static str, allow_list: &[&[u8]]) -> Self {
        Self {
            rp_id,
            client_data_hash: sha256(b"client data of an assertion"),
            allow_list: allow_list.iter().map(|id| id.to_vec()).collect(),
            options: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(crate) fn silent(mut self) -> Self {
        self.options.push(("up", false));
        self
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut members = vec![
            (1, Value::from(self.rp_id)),
            (2, Value::from(self.client_data_hash.to_vec())),
        ];
        if !self.allow_list.is_empty() {
            members.push((3, descriptors(&self.allow_list)));
        }
        members.extend(options(&self.options).map(|options| (5, options)));
        members.extend(self.more.clone());
        cbor::map(members)
    }
}

/// A list of PublicKeyCredentialDescriptor.
pub(crate) fn descriptors(ids: &[Vec<u8>]) -> Value {
    let descriptors = ids.iter().map(|id| {
        cbor::map([
            ("id", Value::from(id.clone())),
            ("type", Value::from("public-key")),
        ])
    });
    Value::Array(descriptors.collect())
}

fn options(options: &[(&'static str, bool)]) -> Option<Value> {
    let members = options.iter();
    let members = members.map(|(name, value)| (*name, Value::from(*value)));
    (!options.is_empty()).then(|| cbor::map(members))
}

/// Authenticator data (WebAuthn §6.1).
#[derive(Clone, Debug)]
pub(crate) struct AuthData {
    pub(crate) rp_id_hash: [u8; 32],
    pub(crate) user_present: bool,
    pub(crate) counter: u32,
    attested: Option<(Vec<u8>, Vec<u8>, VerifyingKey)>,
}

impl AuthData {
    fn parse(bytes: &[u8]) -> Self {
        let flags = bytes[32];
        assert_eq!(flags & !(USER_PRESENT | ATTESTED), 0, "flags {flags:#04x}");
        let attested = flags & ATTESTED != 0;
        let rest = &bytes[37..];
        assert_eq!(rest.is_empty(), !attested, "AT and what follows");
        Self {
            rp_id_hash: bytes[..32].try_into().expect("32 bytes"),
            user_present: flags & USER_PRESENT != 0,
            counter: u32::from_be_bytes(bytes[33..37].try_into().expect("four bytes")),
            attested: attested.then(|| {
                let length = usize::from(u16::from_be_bytes([rest[16], rest[17]]));
                let (id, key) = rest[18..].split_at(length);
                (rest[..16].to_vec(), id.to_vec(), public_key(key))
            }),
        }
    }
}

/// A COSE_Key of ES256 (RFC 9053 §7.1).
fn public_key(bytes: &[u8]) -> VerifyingKey {
    let key = cbor::parse(bytes);
    assert_eq!(key.as_map().map(Vec::len), Some(5));
    for (label, value) in [(1, 2), (3, -7), (-1, 1)] {
        assert_eq!(cbor::member(&key, label), Some(Value::from(value)));
    }
    let mut point = vec![4];
    point.extend(cbor::bytes(cbor::member(&key, -2)));
    point.extend(cbor::bytes(cbor::member(&key, -3)));
    VerifyingKey::from_sec1_bytes(&point).expect("a point of P-256")
}

/// Fails the test unless the key signed the parts, one after the other.
pub(crate) fn verify(key: &VerifyingKey, parts: &[&[u8]], signature: &[u8]) {
    let signature = Signature::from_der(signature).expect("a DER signature");
    key.verify(&parts.concat(), &signature)
        .expect("a signature by this key");
}

/// A credential as its registration tells it.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) format: String,
    pub(crate) counter: u32,
    pub(crate) id: Vec<u8>,
    pub(crate) public_key: VerifyingKey,
}

/// An assertion whose signature is not verified yet.
#[derive(Clone, Debug)]
pub(crate) struct Asserted {
    pub(crate) id: Vec<u8>,
    pub(crate) auth_data: AuthData,
    pub(crate) user_id: Option<Vec<u8>>,
    pub(crate) number_of_credentials: Option<u64>,
    pub(crate) keepalives: Vec<Keepalive>,
    raw_auth_data: Vec<u8>,
    client_data_hash: [u8; 32],
    signature: Vec<u8>,
}

impl Asserted {
    /// Fails the test unless this is an assertion of the site, signed by the key.
    pub(crate) fn verify(&self, rp_id: &str, key: &VerifyingKey) {
        assert_eq!(self.auth_data.rp_id_hash, sha256(rp_id.as_bytes()));
        let parts = [self.raw_auth_data.as_slice(), &self.client_data_hash];
        verify(key, &parts, &self.signature);
    }
}

impl Platform {
    /// Sends a CTAP2 command.
    pub(crate) fn start(&mut self, channel: Channel, command: u8, parameters: Option<&Value>) {
        let mut payload = vec![command];
        payload.extend(parameters.map(cbor::emit).unwrap_or_default());
        self.send(channel, command::CBOR, &payload);
    }

    /// The response to what was started: its value, null where it has none.
    pub(crate) fn finish(&mut self, channel: Channel) -> Outcome<(Value, Vec<Keepalive>)> {
        response(self.answer(channel))
    }

    /// A command and its response.
    pub(crate) fn ctap2(
        &mut self,
        channel: Channel,
        command: u8,
        parameters: Option<&Value>,
    ) -> Outcome<Value> {
        self.start(channel, command, parameters);
        self.finish(channel).map(|(value, _)| value)
    }

    /// A payload as it is; the status.
    pub(crate) fn raw_status(&mut self, channel: Channel, payload: &[u8]) -> u8 {
        match response(self.call(channel, command::CBOR, payload)) {
            Ok(_) => 0,
            Err(status) => status,
        }
    }

    pub(crate) fn start_make(&mut self, channel: Channel, request: &MakeCredential) {
        self.start(channel, MAKE_CREDENTIAL, Some(&request.to_value()));
    }

    /// The credential that was made, its attestation verified.
    pub(crate) fn finish_make(
        &mut self,
        channel: Channel,
        request: &MakeCredential,
    ) -> Outcome<Registered> {
        let (value, keepalives) = self.finish(channel)?;
        assert!(
            keepalives.iter().any(|keepalive| keepalive.status == 2),
            "a touch shows"
        );
        let raw = cbor::bytes(cbor::member(&value, 2));
        let auth_data = AuthData::parse(&raw);
        assert_eq!(auth_data.rp_id_hash, sha256(request.rp_id.as_bytes()));
        assert!(auth_data.user_present, "never made without a touch");
        let (_, id, public_key) = auth_data.attested.expect("attested credential data");
        assert_eq!(id.len(), 64, "every credential id has 64 bytes");
        let format = cbor::text(cbor::member(&value, 1));
        let statement = cbor::member(&value, 3).expect("an attestation statement");
        if format == "packed" {
            assert_eq!(cbor::member(&statement, "alg"), Some(Value::from(-7)));
            let signature = cbor::bytes(cbor::member(&statement, "sig"));
            let hash = request.client_data_hash();
            verify(&public_key, &[&raw, &hash], &signature);
        } else {
            assert_eq!(format, "none");
            assert_eq!(statement, Value::Map(Vec::new()));
        }
        Ok(Registered {
            format,
            counter: auth_data.counter,
            id,
            public_key,
        })
    }

    pub(crate) fn make(
        &mut self,
        channel: Channel,
        request: &MakeCredential,
    ) -> Outcome<Registered> {
        self.start_make(channel, request);
        self.finish_make(channel, request)
    }

    pub(crate) fn start_get(&mut self, channel: Channel, request: &GetAssertion) {
        self.start(channel, GET_ASSERTION, Some(&request.to_value()));
    }

    pub(crate) fn finish_get(
        &mut self,
        channel: Channel,
        request: &GetAssertion,
    ) -> Outcome<Asserted> {
        let (value, keepalives) = self.finish(channel)?;
        Ok(asserted(&value, keepalives, request.client_data_hash))
    }

    pub(crate) fn get(&mut self, channel: Channel, request: &GetAssertion) -> Outcome<Asserted> {
        self.start_get(channel, request);
        self.finish_get(channel, request)
    }

    /// getNextAssertion after `request`.
    pub(crate) fn get_next(
        &mut self,
        channel: Channel,
        request: &GetAssertion,
    ) -> Outcome<Asserted> {
        self.start(channel, GET_NEXT_ASSERTION, None);
        self.finish_get(channel, request)
    }

    pub(crate) fn info(&mut self, channel: Channel) -> Outcome<Value> {
        self.ctap2(channel, GET_INFO, None)
    }
}

fn response(answer: Answer) -> Outcome<(Value, Vec<Keepalive>)> {
    assert_eq!(answer.message.command, command::CBOR, "{answer:02x?}");
    let (status, body) = answer.message.payload.split_first().expect("a status");
    match (status, body) {
        (0, []) => Ok((Value::Null, answer.keepalives)),
        (0, body) => Ok((cbor::parse(body), answer.keepalives)),
        (status, body) => {
            assert!(body.is_empty(), "an error is its status alone");
            Err(*status)
        }
    }
}

fn asserted(value: &Value, keepalives: Vec<Keepalive>, client_data_hash: [u8; 32]) -> Asserted {
    let credential = cbor::member(value, 1).expect("a credential");
    assert_eq!(cbor::text(cbor::member(&credential, "type")), "public-key");
    let raw_auth_data = cbor::bytes(cbor::member(value, 2));
    let auth_data = AuthData::parse(&raw_auth_data);
    assert!(auth_data.attested.is_none());
    Asserted {
        id: cbor::bytes(cbor::member(&credential, "id")),
        auth_data,
        user_id: cbor::member(value, 4).map(|user| {
            assert_eq!(user.as_map().map(Vec::len), Some(1), "the user id alone");
            cbor::bytes(cbor::member(&user, "id"))
        }),
        number_of_credentials: cbor::member(value, 5).map(|n| cbor::unsigned(Some(n))),
        keepalives,
        raw_auth_data,
        client_data_hash,
        signature: cbor::bytes(cbor::member(value, 3)),
    }
}
