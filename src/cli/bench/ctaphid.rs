//! The host's side of CTAPHID (CTAP 2.1 §11.2) and the requests that are measured.
//!
//! Deliberately absent: every check that a platform makes. It trusts the key that it measures.

use std::io;

use ciborium::{Value, cbor};
use roamkey_transport::REPORT_LEN;

pub(super) const PING: u8 = 0x01;
pub(super) const INIT: u8 = 0x06;
pub(super) const CBOR: u8 = 0x10;
const KEEPALIVE: u8 = 0x3b;
/// The first bit of a packet that begins a message.
const BEGINS: u8 = 0x80;
/// Payload in the first packet of a message, and in each that follows.
const FIRST: usize = 57;
const NEXT: usize = 59;
/// The channel that INIT is sent on.
pub(super) const BROADCAST: [u8; 4] = [0xff; 4];

/// What is asked of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) command: u8,
    pub(super) payload: Vec<u8>,
}

impl Request {
    pub(super) fn init() -> Self {
        let payload = vec![7; 8];
        Self {
            command: INIT,
            payload,
        }
    }

    /// One packet each way.
    pub(super) fn ping() -> Self {
        let payload = vec![0; FIRST];
        Self {
            command: PING,
            payload,
        }
    }

    pub(super) fn info() -> Self {
        Self::cbor(vec![0x04])
    }

    /// makeCredential as a browser sends it: not discoverable, ES256.
    pub(super) fn make_credential() -> io::Result<Self> {
        Self::registration(-7, None)
    }

    /// The same for a passkey; account by account, or it replaces the account's last one.
    pub(super) fn make_passkey(account: u32) -> io::Result<Self> {
        Self::registration(-7, Some(account))
    }

    /// The same with a key that takes long to make.
    pub(super) fn make_rsa_passkey() -> io::Result<Self> {
        Self::registration(-257, Some(0))
    }

    fn registration(algorithm: i32, passkey: Option<u32>) -> io::Result<Self> {
        let (hash, id) = (Value::Bytes(vec![1; 32]), account_id(passkey.unwrap_or(0)));
        let parameters = match passkey {
            None => cbor!({
                1 => hash,
                2 => { "id" => "example.com", "name" => "Example" },
                3 => { "id" => id, "name" => "alice@example.com", "displayName" => "Alice" },
                4 => [ { "alg" => algorithm, "type" => "public-key" } ],
            }),
            Some(_) => cbor!({
                1 => hash,
                2 => { "id" => "example.com", "name" => "Example" },
                3 => { "id" => id, "name" => "alice@example.com", "displayName" => "Alice" },
                4 => [ { "alg" => algorithm, "type" => "public-key" } ],
                7 => { "rk" => true },
            }),
        };
        Self::command(0x01, &parameters.map_err(io::Error::other)?)
    }

    /// getAssertion with an allow list of one.
    pub(super) fn get_assertion(id: &[u8]) -> io::Result<Self> {
        let (hash, id) = (Value::Bytes(vec![1; 32]), Value::Bytes(id.to_vec()));
        let parameters = cbor!({
            1 => "example.com",
            2 => hash,
            3 => [ { "id" => id, "type" => "public-key" } ],
        });
        Self::command(0x02, &parameters.map_err(io::Error::other)?)
    }

    fn command(code: u8, parameters: &Value) -> io::Result<Self> {
        let mut payload = vec![code];
        ciborium::into_writer(parameters, &mut payload).map_err(io::Error::other)?;
        Ok(Self::cbor(payload))
    }

    fn cbor(payload: Vec<u8>) -> Self {
        let command = CBOR;
        Self { command, payload }
    }

    /// The packets that it travels in.
    pub(super) fn packets(&self, channel: [u8; 4]) -> Vec<[u8; REPORT_LEN]> {
        let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        let (first, rest) = self.payload.split_at(self.payload.len().min(FIRST));
        let [high, low] = length.to_be_bytes();
        let head = [self.command | BEGINS, high, low];
        let mut packets = vec![packet(channel, &head, first)];
        let next = (0..BEGINS).zip(rest.chunks(NEXT));
        packets.extend(next.map(|(sequence, data)| packet(channel, &[sequence], data)));
        packets
    }
}

fn account_id(number: u32) -> Value {
    let mut id = vec![2; 12];
    id.extend(number.to_be_bytes());
    Value::Bytes(id)
}

fn packet(channel: [u8; 4], head: &[u8], data: &[u8]) -> [u8; REPORT_LEN] {
    let mut packet = [0; REPORT_LEN];
    let bytes = channel.iter().chain(head).chain(data);
    for (to, from) in packet.iter_mut().zip(bytes) {
        *to = *from;
    }
    packet
}

/// A response as its packets come.
pub(super) struct Response {
    command: u8,
    wanted: Option<usize>,
    received: Vec<u8>,
}

impl Response {
    pub(super) fn to(request: &Request) -> Self {
        Self {
            command: request.command,
            wanted: None,
            received: Vec::new(),
        }
    }

    /// Takes a packet: the payload, once it is whole. Keepalives are passed over. A CTAP2 status
    /// that is no success is an error.
    pub(super) fn take(&mut self, packet: &[u8; REPORT_LEN]) -> io::Result<Option<Vec<u8>>> {
        let [_, _, _, _, command, high, low, first @ ..] = packet;
        if *command == KEEPALIVE | BEGINS {
            return Ok(None);
        }
        if command & BEGINS == 0 {
            let [_, _, _, _, _, next @ ..] = packet;
            self.received.extend(next);
        } else if *command == self.command | BEGINS {
            self.wanted = Some(usize::from(u16::from_be_bytes([*high, *low])));
            self.received.extend(first);
        } else {
            let text = format!("the key answered {command:#04x}, which was not asked");
            return Err(io::Error::other(text));
        }
        let Some(wanted) = self.wanted.filter(|wanted| self.received.len() >= *wanted) else {
            return Ok(None);
        };
        let mut payload = std::mem::take(&mut self.received);
        payload.truncate(wanted);
        match payload.first() {
            Some(status) if self.command == CBOR && *status != 0 => {
                let text = format!("the key answered status {status:#04x}");
                Err(io::Error::other(text))
            }
            Some(_) | None => Ok(Some(payload)),
        }
    }
}

/// The channel in the answer to INIT.
pub(super) fn channel_of(init: &[u8]) -> io::Result<[u8; 4]> {
    let channel = init.get(8..).and_then(|rest| rest.first_chunk());
    channel
        .copied()
        .ok_or_else(|| io::Error::other("the answer to INIT is too short"))
}

/// The id of the credential in the answer to makeCredential: authData begins with the RP's hash,
/// flags, a counter, the AAGUID and the id's length (WebAuthn §6.1).
pub(super) fn credential_id_of(made: &[u8]) -> io::Result<Vec<u8>> {
    let malformed = || io::Error::other("the answer to makeCredential has no credential");
    let body = made.get(1..).ok_or_else(malformed)?;
    let value: Value = ciborium::from_reader(body).map_err(io::Error::other)?;
    let mut members = value.into_map().map_err(|_| malformed())?.into_iter();
    let auth_data = members.find(|(key, _)| *key == Value::from(2));
    let auth_data = auth_data.and_then(|(_, value)| value.into_bytes().ok());
    let auth_data = auth_data.ok_or_else(malformed)?;
    let length = auth_data.get(53..).and_then(|rest| rest.first_chunk());
    let length = usize::from(u16::from_be_bytes(*length.ok_or_else(malformed)?));
    let id = auth_data.get(55..).and_then(|rest| rest.get(..length));
    Ok(id.ok_or_else(malformed)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_comes_back_out_of_its_packets() {
        for length in [0_usize, 1, 57, 58, 116, 117, 1_000] {
            let mut request = Request::ping();
            request.payload = (0..length)
                .map(|n| u8::try_from(n % 251).unwrap())
                .collect();
            let packets = request.packets([1, 2, 3, 4]);
            assert_eq!(packets.len(), 1 + (length.max(57) - 57).div_ceil(59));
            let mut response = Response::to(&request);
            let (last, before) = packets.split_last().unwrap();
            for packet in before {
                assert_eq!(response.take(packet).unwrap(), None);
            }
            assert_eq!(response.take(last).unwrap(), Some(request.payload));
        }
    }

    #[test]
    fn keepalive_is_passed_over_and_an_error_is_one() {
        let mut response = Response::to(&Request::info());
        let keepalive = packet([0; 4], &[0xbb, 0, 1], &[1]);
        assert_eq!(response.take(&keepalive).unwrap(), None);
        let error = packet([0; 4], &[0xbf, 0, 1], &[6]);
        assert!(response.take(&error).is_err());
        let status = packet([0; 4], &[0x90, 0, 1], &[0x2e]);
        let why = Response::to(&Request::info()).take(&status).unwrap_err();
        assert!(why.to_string().contains("0x2e"), "{why}");
    }
}
