//! A host that parks one IN URB as Linux does, and nothing more: it trusts what it reads. That of
//! `roamkey bench` is the binary's own (src/cli/bench/host.rs) and not to be had from here.

use std::time::{Duration, Instant};

use ciborium::cbor;
use roamkey::{
    key::{Key, Seed},
    presence::{Broker, Policy},
    profile::Profile,
    vault::KeyVault,
};
use roamkey_transport::usbip::{AllowList, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const INIT: u8 = 0x06;
pub(crate) const CBOR: u8 = 0x10;
const KEEPALIVE: u8 = 0x3b;
/// Length of a URB header and of a report.
const HEADER: usize = 48;
const REPORT: usize = 64;
const BUS_ID: &str = "1-1";

/// A finished CTAPHID transaction.
pub(crate) struct Transaction {
    /// From the first packet to the last, without the URB that waits for the next operation.
    pub(crate) elapsed: Duration,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Host {
    stream: TcpStream,
    seqnum: u32,
    channel: [u8; 4],
    buffer: Vec<u8>,
    filled: usize,
}

impl Host {
    /// Starts a server with a key of a vault in this runtime and attaches the key.
    pub(crate) async fn attach_to(vault: Box<dyn KeyVault>, profile: &Profile) -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(address, AllowList::loopback()).unwrap();
        let address = server.local_addr().unwrap();
        let identity = profile.usb_identity("BENCH").unwrap();
        let hosts = server.exports().add(BUS_ID.parse().unwrap(), identity);
        let seed = Seed::from_bytes([1; 32]);
        let broker = Broker::new(Policy::auto());
        let key = Key::open(profile, seed, vault, broker.seat(BUS_ID));
        let mut key = key.await.unwrap();
        // As `roamkey run` has it: what happens on the wire is noted.
        let handle = key.handle();
        tokio::spawn(async move {
            key.run(hosts.unwrap()).await;
            drop(handle);
        });
        tokio::spawn(server.run());

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut import = vec![0x01, 0x11, 0x80, 0x03, 0, 0, 0, 0];
        import.extend(BUS_ID.as_bytes());
        import.resize(40, 0);
        stream.write_all(&import).await.unwrap();
        let mut reply = [0; 320];
        stream.read_exact(&mut reply).await.unwrap();
        let mut host = Self {
            stream,
            seqnum: 0,
            channel: [0xff; 4],
            buffer: vec![0; 4096],
            filled: 0,
        };
        host.configure().await;
        host.park().await;
        let reply = host.transact(INIT, &[7; 8]).await.payload;
        host.channel = reply[8..12].try_into().unwrap();
        host
    }

    /// SET_CONFIGURATION 1.
    async fn configure(&mut self) {
        let frame = self.submit(0, 0, 0, [0, 9, 1, 0, 0, 0, 0, 0]);
        self.stream.write_all(&frame).await.unwrap();
        self.read(HEADER).await;
    }

    /// A USBIP_CMD_SUBMIT header.
    fn submit(&mut self, direction: u32, ep: u32, length: u32, setup: [u8; 8]) -> Vec<u8> {
        self.seqnum += 1;
        let fields = [
            1,
            self.seqnum,
            1 << 16 | 1,
            direction,
            ep,
            0,
            length,
            0,
            0,
            5,
        ];
        let mut frame: Vec<u8> = fields
            .iter()
            .flat_map(|field| field.to_be_bytes())
            .collect();
        frame.extend(setup);
        frame
    }

    /// Waits for a report without waiting for the answer.
    async fn park(&mut self) {
        let frame = self.submit(1, 1, REPORT as u32, [0; 8]);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Reads until `wanted` bytes are there, and takes them.
    async fn read(&mut self, wanted: usize) -> Vec<u8> {
        while self.filled < wanted {
            let room = &mut self.buffer[self.filled..];
            let read = self.stream.read(room).await.unwrap();
            assert!(read > 0, "the key is gone");
            self.filled += read;
        }
        let taken = self.buffer[..wanted].to_vec();
        self.buffer.copy_within(wanted..self.filled, 0);
        self.filled -= wanted;
        taken
    }

    /// Sends a CTAPHID message and reads its response, keepalives passed over.
    pub(crate) async fn transact(&mut self, command: u8, payload: &[u8]) -> Transaction {
        let packets = packets(self.channel, command, payload);
        let start = Instant::now();
        for packet in &packets {
            let mut frame = self.submit(0, 1, REPORT as u32, [0; 8]);
            frame.extend(packet);
            self.stream.write_all(&frame).await.unwrap();
            self.read(HEADER).await;
        }
        let (mut wanted, mut received) = (None, Vec::new());
        loop {
            let report = self.read(HEADER + REPORT).await.split_off(HEADER);
            let elapsed = start.elapsed();
            self.park().await;
            if report[4] == KEEPALIVE | 0x80 {
                continue;
            }
            if report[4] & 0x80 != 0 {
                assert_eq!(report[4], command | 0x80, "an answer to something else");
                wanted = Some(usize::from(u16::from_be_bytes([report[5], report[6]])));
                received.extend(&report[7..]);
            } else {
                received.extend(&report[5..]);
            }
            if let Some(wanted) = wanted.filter(|wanted| received.len() >= *wanted) {
                received.truncate(wanted);
                return Transaction {
                    elapsed,
                    payload: received,
                };
            }
        }
    }

    /// Makes a credential; its id.
    pub(crate) async fn register(&mut self) -> Vec<u8> {
        let request = make_credential();
        self.make(&request).await
    }

    /// Makes a passkey; its id.
    pub(crate) async fn register_passkey(&mut self) -> Vec<u8> {
        let request = make_passkey();
        self.make(&request).await
    }

    async fn make(&mut self, request: &[u8]) -> Vec<u8> {
        let response = self.transact(CBOR, request).await.payload;
        assert_eq!(response[0], 0, "makeCredential failed");
        let value: ciborium::Value = ciborium::from_reader(&response[1..]).unwrap();
        let members = value.into_map().unwrap();
        let auth_data = members[1].1.as_bytes().unwrap();
        auth_data[55..119].to_vec()
    }
}

fn packets(channel: [u8; 4], command: u8, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let (first, mut rest) = payload.split_at(payload.len().min(57));
    let length = (payload.len() as u16).to_be_bytes();
    packets.push([&channel[..], &[command | 0x80], &length, first].concat());
    let mut sequence = 0;
    while !rest.is_empty() {
        let (data, after) = rest.split_at(rest.len().min(59));
        packets.push([&channel[..], &[sequence], data].concat());
        sequence += 1;
        rest = after;
    }
    for packet in &mut packets {
        packet.resize(REPORT, 0);
    }
    packets
}

fn command(code: u8, parameters: &ciborium::Value) -> Vec<u8> {
    let mut message = vec![code];
    ciborium::into_writer(parameters, &mut message).unwrap();
    message
}

/// A makeCredential as a browser sends it: not discoverable, ES256.
pub(crate) fn make_credential() -> Vec<u8> {
    let parameters = registration();
    command(0x01, &ciborium::Value::Map(parameters))
}

/// The same for a passkey, which replaces the account's last one.
pub(crate) fn make_passkey() -> Vec<u8> {
    let mut parameters = registration();
    let rk = (
        ciborium::Value::Text("rk".into()),
        ciborium::Value::Bool(true),
    );
    parameters.push((7.into(), ciborium::Value::Map(vec![rk])));
    command(0x01, &ciborium::Value::Map(parameters))
}

fn registration() -> Vec<(ciborium::Value, ciborium::Value)> {
    let (hash, id) = (
        ciborium::Value::Bytes(vec![1; 32]),
        ciborium::Value::Bytes(vec![2; 16]),
    );
    let parameters = cbor!({
        1 => hash,
        2 => { "id" => "example.com", "name" => "Example" },
        3 => { "id" => id, "name" => "alice@example.com", "displayName" => "Alice" },
        4 => [ { "alg" => -7, "type" => "public-key" } ],
    });
    parameters.unwrap().into_map().unwrap()
}

/// A getAssertion with an allow list of one.
pub(crate) fn get_assertion(id: &[u8]) -> Vec<u8> {
    let (hash, id) = (
        ciborium::Value::Bytes(vec![1; 32]),
        ciborium::Value::Bytes(id.to_vec()),
    );
    let parameters = cbor!({
        1 => "example.com",
        2 => hash,
        3 => [ { "id" => id, "type" => "public-key" } ],
    });
    command(0x02, &parameters.unwrap())
}
