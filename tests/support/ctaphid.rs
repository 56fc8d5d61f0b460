//! A platform's side of CTAPHID (CTAP 2.1 §11.2), by code of its own.
//!
//! Strict where a platform depends on it: a packet out of sequence, a keepalive without a running
//! CBOR command, or a message for a channel that is not ours fails the test.

use std::collections::{BTreeMap, VecDeque};

use super::host::{Host, PATIENCE_MS, Report};

/// Command bytes without the initialization bit (§11.2.9).
pub(crate) mod command {
    pub(crate) const PING: u8 = 0x01;
    pub(crate) const MSG: u8 = 0x03;
    pub(crate) const LOCK: u8 = 0x04;
    pub(crate) const INIT: u8 = 0x06;
    pub(crate) const WINK: u8 = 0x08;
    pub(crate) const CBOR: u8 = 0x10;
    pub(crate) const CANCEL: u8 = 0x11;
    pub(crate) const KEEPALIVE: u8 = 0x3b;
    pub(crate) const ERROR: u8 = 0x3f;
}

/// Codes of CTAPHID_ERROR (§11.2.9.1.7).
pub(crate) mod error {
    pub(crate) const INVALID_COMMAND: u8 = 0x01;
    pub(crate) const INVALID_PARAMETER: u8 = 0x02;
    pub(crate) const INVALID_LENGTH: u8 = 0x03;
    pub(crate) const INVALID_SEQUENCE: u8 = 0x04;
    pub(crate) const MESSAGE_TIMEOUT: u8 = 0x05;
    pub(crate) const CHANNEL_BUSY: u8 = 0x06;
    pub(crate) const INVALID_CHANNEL: u8 = 0x0b;
}

/// The channel on which a platform asks for one of its own.
pub(crate) const BROADCAST: Channel = Channel(0xffff_ffff);
/// What fits one message.
pub(crate) const MAX_MESSAGE_LEN: usize = 7609;

/// A channel id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Channel(pub(crate) u32);

/// A whole message from the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) command: u8,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// CTAPHID_ERROR with a code.
    pub(crate) fn error(code: u8) -> Self {
        Self {
            command: command::ERROR,
            payload: vec![code],
        }
    }
}

/// A keepalive and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keepalive {
    pub(crate) at_ms: u64,
    /// 1 processing, 2 presence needed.
    pub(crate) status: u8,
}

/// The answer to a message, with the keepalives before it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) message: Message,
    pub(crate) keepalives: Vec<Keepalive>,
}

/// The answer to INIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InitResponse {
    pub(crate) channel: Channel,
    pub(crate) protocol: u8,
    pub(crate) version: [u8; 3],
    pub(crate) capabilities: u8,
}

/// A program on a host that has opened the device, with as many channels as it likes.
pub(crate) struct Platform {
    pub(crate) host: Box<dyn Host>,
    inbox: VecDeque<(u64, Report)>,
    /// Channels that were given to us, and whether a CBOR command runs there.
    channels: BTreeMap<Channel, bool>,
    nonces: u64,
}

impl Platform {
    /// Opens the device.
    pub(crate) fn open(mut host: Box<dyn Host>) -> Self {
        host.open();
        Self {
            host,
            inbox: VecDeque::new(),
            channels: BTreeMap::from([(BROADCAST, false)]),
            nonces: 0,
        }
    }

    /// The program ends, and its unread reports with it.
    pub(crate) fn close(&mut self) {
        self.host.close();
        self.inbox.clear();
        for running in self.channels.values_mut() {
            *running = false;
        }
    }

    /// Another program opens the device.
    pub(crate) fn reopen(&mut self) {
        self.host.open();
    }

    /// A channel of its own.
    pub(crate) fn init(&mut self) -> Channel {
        let response = self.init_on(BROADCAST);
        assert_ne!(response.channel, BROADCAST);
        assert_ne!(response.channel, Channel(0));
        assert_eq!(response.protocol, 2);
        let fresh = self.channels.insert(response.channel, false).is_none();
        assert!(fresh, "every INIT gives another channel");
        response.channel
    }

    /// INIT on any channel.
    pub(crate) fn init_on(&mut self, channel: Channel) -> InitResponse {
        self.nonces += 1;
        let nonce = (self.nonces << 32 | 0x6e6f_6e63).to_be_bytes();
        self.send(channel, command::INIT, &nonce);
        self.channels.insert(channel, false);
        // What was under way before may come first: answers that are void now, and those to
        // other programs' INITs, which only the nonce tells apart.
        let payload = loop {
            let message = self.recv(channel, PATIENCE_MS).expect("INIT is answered");
            if message.command == command::INIT && message.payload[..8] == nonce {
                break message.payload;
            }
        };
        assert_eq!(payload.len(), 17, "INIT's answer");
        let id = payload[8..12].try_into().expect("four bytes");
        InitResponse {
            channel: Channel(u32::from_be_bytes(id)),
            protocol: payload[12],
            version: [payload[13], payload[14], payload[15]],
            capabilities: payload[16],
        }
    }

    /// Writes a report as it is.
    pub(crate) fn write(&mut self, report: &Report) {
        self.host.write(report);
    }

    /// Sends a message without waiting for anything but the acknowledgement of each report.
    pub(crate) fn send(&mut self, channel: Channel, command: u8, payload: &[u8]) {
        if command == command::CBOR {
            self.channels.insert(channel, true);
        }
        for packet in packets(channel, command, payload) {
            self.write(&packet);
        }
    }

    /// Sends a message and waits for its answer.
    pub(crate) fn call(&mut self, channel: Channel, command: u8, payload: &[u8]) -> Answer {
        self.send(channel, command, payload);
        self.answer(channel)
    }

    /// Waits for the answer to what was sent on the channel.
    pub(crate) fn answer(&mut self, channel: Channel) -> Answer {
        self.answer_within(channel, PATIENCE_MS)
    }

    /// The same with another patience for each packet, for virtual time.
    pub(crate) fn answer_within(&mut self, channel: Channel, wait_ms: u64) -> Answer {
        let mut keepalives = Vec::new();
        loop {
            let (at_ms, message) = self
                .recv_at(channel, wait_ms)
                .unwrap_or_else(|| panic!("no answer on {channel:?}"));
            if message.command != command::KEEPALIVE {
                self.channels.insert(channel, false);
                return Answer {
                    message,
                    keepalives,
                };
            }
            assert!(
                self.channels[&channel],
                "a keepalive and no running command"
            );
            assert_eq!(message.payload.len(), 1, "a keepalive is one byte");
            let status = message.payload[0];
            assert!(matches!(status, 1 | 2), "keepalive status {status}");
            keepalives.push(Keepalive { at_ms, status });
        }
    }

    /// The next message on the channel, keepalives among them.
    pub(crate) fn recv(&mut self, channel: Channel, wait_ms: u64) -> Option<Message> {
        self.recv_at(channel, wait_ms).map(|(_, message)| message)
    }

    fn recv_at(&mut self, channel: Channel, wait_ms: u64) -> Option<(u64, Message)> {
        let (at_ms, first) = self.packet(channel, wait_ms)?;
        assert!(
            first[4] & 0x80 != 0,
            "a message begins with its first packet"
        );
        let length = usize::from(u16::from_be_bytes([first[5], first[6]]));
        assert!(length <= MAX_MESSAGE_LEN, "a message of {length} bytes");
        let mut payload = first[7..].to_vec();
        for sequence in 0.. {
            if payload.len() >= length {
                break;
            }
            let (_, packet) = self
                .packet(channel, PATIENCE_MS)
                .expect("the rest of a message");
            assert_eq!(packet[4], sequence, "packets come in sequence");
            payload.extend(&packet[5..]);
        }
        payload.truncate(length);
        let command = first[4] & 0x7f;
        Some((at_ms, Message { command, payload }))
    }

    /// The next packet on the channel; packets of others are kept.
    fn packet(&mut self, channel: Channel, wait_ms: u64) -> Option<(u64, Report)> {
        let deadline = self.host.now_ms().saturating_add(wait_ms);
        loop {
            let mine = |(_, report): &(u64, Report)| channel_of(report) == channel;
            if let Some(at) = self.inbox.iter().position(mine) {
                return self.inbox.remove(at);
            }
            let wait_ms = deadline.saturating_sub(self.host.now_ms());
            self.fill(wait_ms).then_some(())?;
        }
    }

    /// Takes one report into the inbox. False if none came in time.
    fn fill(&mut self, wait_ms: u64) -> bool {
        let Some(report) = self.host.read(wait_ms) else {
            return false;
        };
        let channel = channel_of(&report);
        let known = self.channels.contains_key(&channel);
        assert!(known, "a packet for {channel:?}, which nobody used");
        self.inbox.push_back((self.host.now_ms(), report));
        true
    }

    /// Reads for some time and keeps what comes.
    pub(crate) fn idle(&mut self, ms: u64) {
        let end = self.host.now_ms().saturating_add(ms);
        while self.fill(end.saturating_sub(self.host.now_ms())) {}
    }

    /// Nothing at all may come for some time.
    pub(crate) fn expect_silence(&mut self, ms: u64) {
        self.idle(ms);
        assert!(self.inbox.is_empty(), "unasked for: {:02x?}", self.inbox);
    }

    /// Says that packets may come on a channel that was never given to us.
    pub(crate) fn expect_on(&mut self, channel: Channel) {
        self.channels.entry(channel).or_insert(false);
    }

    /// Sends bytes as one message, and expects an error with just this code.
    pub(crate) fn expect_error(&mut self, channel: Channel, command: u8, data: &[u8], code: u8) {
        self.expect_on(channel);
        let answer = self.call(channel, command, data);
        assert_eq!(
            answer.message,
            Message::error(code),
            "to command {command:#04x} with {} bytes",
            data.len()
        );
    }
}

fn channel_of(report: &Report) -> Channel {
    Channel(u32::from_be_bytes([
        report[0], report[1], report[2], report[3],
    ]))
}

/// An initialization packet with a length of one's own.
pub(crate) fn first_packet(channel: Channel, command: u8, length: u16, data: &[u8]) -> Report {
    let mut report = [0; 64];
    report[..4].copy_from_slice(&channel.0.to_be_bytes());
    report[4] = command | 0x80;
    report[5..7].copy_from_slice(&length.to_be_bytes());
    report[7..7 + data.len()].copy_from_slice(data);
    report
}

/// A continuation packet.
pub(crate) fn next_packet(channel: Channel, sequence: u8, data: &[u8]) -> Report {
    let mut report = [0; 64];
    report[..4].copy_from_slice(&channel.0.to_be_bytes());
    report[4] = sequence;
    report[5..5 + data.len()].copy_from_slice(data);
    report
}

/// A message cut into packets (§11.2.4).
pub(crate) fn packets(channel: Channel, command: u8, payload: &[u8]) -> Vec<Report> {
    let (head, rest) = payload.split_at(payload.len().min(57));
    let length = u16::try_from(payload.len()).expect("a length that fits");
    let mut packets = vec![first_packet(channel, command, length, head)];
    for (sequence, data) in rest.chunks(59).enumerate() {
        let sequence = u8::try_from(sequence).expect("at most 128 packets");
        packets.push(next_packet(channel, sequence, data));
    }
    packets
}
