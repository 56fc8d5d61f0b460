//! A program on the browser's machine that opens a key: CTAPHID over a host in this process.

use ciborium::Value;
use roamkey::rig::Rig;
use roamkey_transport::memory::MemoryHost;

use crate::support::{
    auth_data::AuthData,
    cbor,
    cose::PublicKey,
    ctap2::{
        GET_ASSERTION, GET_INFO, GetAssertion, MAKE_CREDENTIAL, MakeCredential, Outcome, sha256,
    },
};

const INIT: u8 = 0x86;
const CBOR: u8 = 0x90;
const KEEPALIVE: u8 = 0xbb;
/// What the first report of a message carries, and each that follows.
const FIRST: usize = 57;
const NEXT: usize = 59;

/// A host with a channel of its own.
pub(super) struct Host {
    host: MemoryHost,
    channel: [u8; 4],
}

impl Host {
    pub(super) async fn open(rig: &Rig, key: &str) -> Self {
        let host = rig.connect(key).await.expect("the key is there");
        let channel = [0xff; 4];
        let mut host = Self { host, channel };
        host.send(INIT, &[7; 8]).await;
        let answer = host.receive().await;
        host.channel = answer[8..12].try_into().expect("a channel");
        host
    }

    async fn send(&mut self, command: u8, payload: &[u8]) {
        let (first, rest) = payload.split_at(payload.len().min(FIRST));
        let mut report = [0; 64];
        report[..4].copy_from_slice(&self.channel);
        report[4] = command;
        let length = u16::try_from(payload.len()).expect("a short message");
        report[5..7].copy_from_slice(&length.to_be_bytes());
        report[7..7 + first.len()].copy_from_slice(first);
        self.host.send_report(&report).await.expect("a device");
        for (sequence, part) in (0..).zip(rest.chunks(NEXT)) {
            let mut report = [0; 64];
            report[..4].copy_from_slice(&self.channel);
            report[4] = sequence;
            report[5..5 + part.len()].copy_from_slice(part);
            self.host.send_report(&report).await.expect("a device");
        }
    }

    /// A message that is no keepalive.
    async fn receive(&mut self) -> Vec<u8> {
        loop {
            let report = self.host.recv_report().await.expect("a device");
            if report[4] == KEEPALIVE {
                continue;
            }
            let length = usize::from(u16::from_be_bytes([report[5], report[6]]));
            let mut message = report[7..].to_vec();
            while message.len() < length {
                let report = self.host.recv_report().await.expect("a device");
                message.extend(&report[5..]);
            }
            message.truncate(length);
            return message;
        }
    }

    pub(super) async fn start(&mut self, command: u8, parameters: Option<&Value>) {
        let mut payload = vec![command];
        payload.extend(parameters.map(cbor::emit).unwrap_or_default());
        self.send(CBOR, &payload).await;
    }

    pub(super) async fn finish(&mut self) -> Outcome<Value> {
        let message = self.receive().await;
        match message.split_first().expect("a status") {
            (0, []) => Ok(Value::Null),
            (0, body) => Ok(cbor::parse(body)),
            (status, _) => Err(*status),
        }
    }

    /// A command and its response.
    pub(super) async fn ctap2(
        &mut self,
        command: u8,
        parameters: Option<&Value>,
    ) -> Outcome<Value> {
        self.start(command, parameters).await;
        self.finish().await
    }

    pub(super) async fn info(&mut self) -> Value {
        let info = self.ctap2(GET_INFO, None).await;
        info.expect("every key of CTAP2 has it")
    }

    pub(super) async fn register(&mut self, request: &MakeCredential) -> Outcome<AuthData> {
        let made = self
            .ctap2(MAKE_CREDENTIAL, Some(&request.to_value()))
            .await?;
        Ok(AuthData::parse(&cbor::bytes(cbor::member(&made, 2))))
    }

    pub(super) async fn sign_in(&mut self, request: &GetAssertion) -> Outcome<SignedIn> {
        let signed = self.ctap2(GET_ASSERTION, Some(&request.to_value())).await?;
        let credential = cbor::member(&signed, 1).expect("a credential");
        let raw = cbor::bytes(cbor::member(&signed, 2));
        Ok(SignedIn {
            id: cbor::bytes(cbor::member(&credential, "id")),
            auth_data: AuthData::parse(&raw),
            large_blob_key: cbor::member(&signed, 7).is_some(),
            signed: [raw, request.client_data_hash.to_vec()].concat(),
            signature: cbor::bytes(cbor::member(&signed, 3)),
        })
    }
}

/// An assertion.
pub(super) struct SignedIn {
    pub(super) id: Vec<u8>,
    pub(super) auth_data: AuthData,
    pub(super) large_blob_key: bool,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl SignedIn {
    /// Fails the test unless a private key in PKCS#8 made it for a site.
    pub(super) fn verify(&self, private_key: &[u8], rp_id: &str) {
        assert_eq!(self.auth_data.rp_id_hash, sha256(rp_id.as_bytes()));
        assert!(self.is_by(private_key));
    }

    /// Whether a private key in PKCS#8 made it.
    pub(super) fn is_by(&self, private_key: &[u8]) -> bool {
        // The public key is what such a PKCS#8 ends in (RFC 5915).
        let (_, point) = private_key.split_at(private_key.len() - 65);
        PublicKey::from_sec1(point).signed(&[&self.signed], &self.signature)
    }
}

/// A member of getInfo's options; none where it is absent.
pub(super) fn option(info: &Value, name: &str) -> Option<bool> {
    let options = cbor::member(info, 4).expect("options");
    cbor::member(&options, name).and_then(|value| value.as_bool())
}

/// A list of texts of getInfo: 1 has versions, 2 extensions.
pub(super) fn texts(info: &Value, key: i64) -> Vec<String> {
    let list = cbor::member(info, key).and_then(|list| list.into_array().ok());
    let list = list.unwrap_or_default().into_iter();
    list.map(|text| cbor::text(Some(text))).collect()
}
