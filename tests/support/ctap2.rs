//! A platform's side of CTAP2: requests built, responses taken apart and verified.

use ciborium::Value;
use sha2::{Digest, Sha256};
use x509_cert::{Certificate, der::Decode};

use super::{
    auth_data::AuthData,
    cbor,
    cose::PublicKey,
    ctaphid::{Answer, Channel, Keepalive, Platform, command},
    pin::Token,
};

/// Status codes that scenarios name (CTAP 2.1 §8.2).
pub(crate) mod status {
    pub(crate) const INVALID_COMMAND: u8 = 0x01;
    pub(crate) const INVALID_PARAMETER: u8 = 0x02;
    pub(crate) const INVALID_LENGTH: u8 = 0x03;
    pub(crate) const INVALID_SEQ: u8 = 0x04;
    pub(crate) const CBOR_UNEXPECTED_TYPE: u8 = 0x11;
    pub(crate) const INVALID_CBOR: u8 = 0x12;
    pub(crate) const MISSING_PARAMETER: u8 = 0x14;
    pub(crate) const LIMIT_EXCEEDED: u8 = 0x15;
    pub(crate) const FP_DATABASE_FULL: u8 = 0x17;
    pub(crate) const LARGE_BLOB_STORAGE_FULL: u8 = 0x18;
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
    pub(crate) const PIN_INVALID: u8 = 0x31;
    pub(crate) const PIN_BLOCKED: u8 = 0x32;
    pub(crate) const PIN_AUTH_INVALID: u8 = 0x33;
    pub(crate) const PIN_AUTH_BLOCKED: u8 = 0x34;
    pub(crate) const PIN_NOT_SET: u8 = 0x35;
    pub(crate) const PUAT_REQUIRED: u8 = 0x36;
    pub(crate) const PIN_POLICY_VIOLATION: u8 = 0x37;
    pub(crate) const REQUEST_TOO_LARGE: u8 = 0x39;
    pub(crate) const UV_BLOCKED: u8 = 0x3c;
    pub(crate) const INTEGRITY_FAILURE: u8 = 0x3d;
    pub(crate) const INVALID_SUBCOMMAND: u8 = 0x3e;
    pub(crate) const UV_INVALID: u8 = 0x3f;
    pub(crate) const UNAUTHORIZED_PERMISSION: u8 = 0x40;
    pub(crate) const OTHER: u8 = 0x7f;
}

/// Command bytes (§6).
pub(crate) const MAKE_CREDENTIAL: u8 = 0x01;
pub(crate) const GET_ASSERTION: u8 = 0x02;
pub(crate) const GET_INFO: u8 = 0x04;
pub(crate) const CLIENT_PIN: u8 = 0x06;
pub(crate) const RESET: u8 = 0x07;
pub(crate) const GET_NEXT_ASSERTION: u8 = 0x08;
pub(crate) const BIO_ENROLLMENT: u8 = 0x09;
pub(crate) const CREDENTIAL_MANAGEMENT: u8 = 0x0a;
pub(crate) const SELECTION: u8 = 0x0b;
pub(crate) const LARGE_BLOBS: u8 = 0x0c;
pub(crate) const CONFIG: u8 = 0x0d;
pub(crate) const BIO_ENROLLMENT_PREVIEW: u8 = 0x40;
pub(crate) const CREDENTIAL_MANAGEMENT_PREVIEW: u8 = 0x41;

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
    pub(crate) display_name: Option<&'static str>,
    pub(crate) extensions: Vec<(&'static str, Value)>,
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
            display_name: None,
            extensions: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(crate) fn discoverable(rp_id: &'static str, user_id: &[u8]) -> Self {
        let mut request = Self::new(rp_id, user_id);
        request.options.push(("rk", true));
        request
    }

    /// With user verification: pinUvAuthParam by a token.
    pub(crate) fn with(mut self, token: &Token) -> Self {
        let param = token.param(&self.client_data_hash());
        self.more.extend(auth(8, 9, param, token.protocol.number()));
        self
    }

    pub(crate) fn extension(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extensions.push((name, value.into()));
        self
    }

    pub(crate) fn client_data_hash(&self) -> [u8; 32] {
        sha256(self.rp_id.as_bytes())
    }

    /// The parameters.
    pub(crate) fn to_value(&self) -> Value {
        let mut user = vec![("id", Value::from(self.user_id.clone()))];
        user.extend(self.user_name.map(|name| ("name", Value::from(name))));
        let display_name = self.display_name.map(Value::from);
        user.extend(display_name.map(|name| ("displayName", name)));
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
        if !self.extensions.is_empty() {
            members.push((6, cbor::map(self.extensions.clone())));
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
    pub(crate) extensions: Vec<(&'static str, Value)>,
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
            extensions: Vec::new(),
            more: Vec::new(),
        }
    }

    /// With user verification: pinUvAuthParam by a token.
    pub(crate) fn with(mut self, token: &Token) -> Self {
        let param = token.param(&self.client_data_hash);
        self.more.extend(auth(6, 7, param, token.protocol.number()));
        self
    }

    pub(crate) fn extension(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.extensions.push((name, value.into()));
        self
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
        if !self.extensions.is_empty() {
            members.push((4, cbor::map(self.extensions.clone())));
        }
        members.extend(options(&self.options).map(|options| (5, options)));
        members.extend(self.more.clone());
        cbor::map(members)
    }
}

/// pinUvAuthParam and pinUvAuthProtocol under their keys.
fn auth(param_key: i64, protocol_key: i64, param: Vec<u8>, protocol: u8) -> [(i64, Value); 2] {
    [
        (param_key, Value::from(param)),
        (protocol_key, Value::from(protocol)),
    ]
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

/// The certificates of a packed statement, DER.
pub(crate) fn x5c(statement: &Value) -> Vec<Vec<u8>> {
    let x5c = cbor::member(statement, "x5c").and_then(|x5c| x5c.into_array().ok());
    let x5c = x5c.unwrap_or_default().into_iter();
    x5c.map(|der| cbor::bytes(Some(der))).collect()
}

/// The key of the certificate that attests; none in self attestation.
fn attesting_key(statement: &Value) -> Option<PublicKey> {
    let certificates = x5c(statement);
    let leaf = Certificate::from_der(certificates.first()?).expect("X.509");
    let key = leaf.tbs_certificate().subject_public_key_info();
    Some(PublicKey::from_sec1(key.subject_public_key.raw_bytes()))
}

/// A credential as its registration tells it.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) format: String,
    pub(crate) counter: u32,
    pub(crate) id: Vec<u8>,
    pub(crate) public_key: PublicKey,
    pub(crate) auth_data: AuthData,
    pub(crate) large_blob_key: Option<Vec<u8>>,
}

/// An assertion whose signature is not verified yet.
#[derive(Clone, Debug)]
pub(crate) struct Asserted {
    pub(crate) id: Vec<u8>,
    pub(crate) auth_data: AuthData,
    pub(crate) user_id: Option<Vec<u8>>,
    /// name and displayName.
    pub(crate) user_names: (Option<String>, Option<String>),
    pub(crate) number_of_credentials: Option<u64>,
    pub(crate) large_blob_key: Option<Vec<u8>>,
    pub(crate) keepalives: Vec<Keepalive>,
    raw_auth_data: Vec<u8>,
    client_data_hash: [u8; 32],
    signature: Vec<u8>,
}

impl Asserted {
    /// Fails the test unless this is an assertion of the site, signed by the key.
    pub(crate) fn verify(&self, rp_id: &str, key: &PublicKey) {
        assert_eq!(self.auth_data.rp_id_hash, sha256(rp_id.as_bytes()));
        let parts = [self.raw_auth_data.as_slice(), &self.client_data_hash];
        key.verify(&parts, &self.signature);
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
        self.finish_make_where(channel, request, true)
    }

    /// The same where a touch shows, or none.
    pub(crate) fn finish_make_where(
        &mut self,
        channel: Channel,
        request: &MakeCredential,
        touch_shows: bool,
    ) -> Outcome<Registered> {
        let (value, keepalives) = self.finish(channel)?;
        let shows = keepalives.iter().any(|keepalive| keepalive.status == 2);
        assert_eq!(shows, touch_shows, "a touch shows");
        let raw = cbor::bytes(cbor::member(&value, 2));
        let auth_data = AuthData::parse(&raw);
        assert_eq!(auth_data.rp_id_hash, sha256(request.rp_id.as_bytes()));
        assert!(auth_data.user_present, "never made without a touch");
        let attested = auth_data.attested.clone();
        let (id, public_key) = attested.expect("attested credential data");
        assert_eq!(id.len(), 64, "every credential id has 64 bytes");
        let format = cbor::text(cbor::member(&value, 1));
        let statement = cbor::member(&value, 3).expect("an attestation statement");
        if format == "packed" {
            let attesting = attesting_key(&statement);
            let public_key = attesting.as_ref().unwrap_or(&public_key);
            let algorithm = Value::from(public_key.algorithm());
            assert_eq!(cbor::member(&statement, "alg"), Some(algorithm));
            let signature = cbor::bytes(cbor::member(&statement, "sig"));
            let hash = request.client_data_hash();
            public_key.verify(&[&raw, &hash], &signature);
        } else {
            assert_eq!(format, "none");
            assert_eq!(statement, Value::Map(Vec::new()));
        }
        Ok(Registered {
            format,
            counter: auth_data.counter,
            id,
            public_key,
            auth_data,
            large_blob_key: cbor::member(&value, 5).map(|key| cbor::bytes(Some(key))),
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
    let user = cbor::member(value, 4);
    if let Some(user) = user.as_ref().filter(|_| !auth_data.user_verified) {
        assert_eq!(user.as_map().map(Vec::len), Some(1), "the user id alone");
    }
    let name = |key: &str| {
        let name = user.as_ref().and_then(|user| cbor::member(user, key));
        name.map(|name| cbor::text(Some(name)))
    };
    Asserted {
        id: cbor::bytes(cbor::member(&credential, "id")),
        auth_data,
        user_id: user
            .as_ref()
            .map(|user| cbor::bytes(cbor::member(user, "id"))),
        user_names: (name("name"), name("displayName")),
        number_of_credentials: cbor::member(value, 5).map(|n| cbor::unsigned(Some(n))),
        large_blob_key: cbor::member(value, 7).map(|key| cbor::bytes(Some(key))),
        keepalives,
        raw_auth_data,
        client_data_hash,
        signature: cbor::bytes(cbor::member(value, 3)),
    }
}
