//! The host's end of CTAPHID, by code of its own: packets made, messages put together, and what a
//! key may say at all (CTAP 2.1 §11.2).
//!
//! Deliberately absent: what the messages mean beyond their first byte.

use std::collections::BTreeMap;

use roamkey_ctap::{REPORT_LEN, Status};

pub(crate) type Report = [u8; REPORT_LEN];

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

/// Stands for every command of a channel together; no command has so many bits.
const ALL: u8 = 0xff;

pub(crate) const BROADCAST: u32 = 0xffff_ffff;

/// A message from the key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) channel: u32,
    pub(crate) command: u8,
    pub(crate) payload: Vec<u8>,
}

/// An initialization packet; what of the data does not fit is left out.
pub(crate) fn first(channel: u32, command: u8, length: u16, data: &[u8]) -> Report {
    let mut report = [0; REPORT_LEN];
    report[..4].copy_from_slice(&channel.to_be_bytes());
    report[4] = command | 0x80;
    report[5..7].copy_from_slice(&length.to_be_bytes());
    let data = &data[..data.len().min(57)];
    report[7..7 + data.len()].copy_from_slice(data);
    report
}

/// A continuation packet.
pub(crate) fn continuation(channel: u32, sequence: u8, data: &[u8]) -> Report {
    let mut report = [0; REPORT_LEN];
    report[..4].copy_from_slice(&channel.to_be_bytes());
    report[4] = sequence & 0x7f;
    let data = &data[..data.len().min(59)];
    report[5..5 + data.len()].copy_from_slice(data);
    report
}

/// A message cut into packets.
pub(crate) fn packets(channel: u32, command: u8, payload: &[u8]) -> Vec<Report> {
    let (head, rest) = payload.split_at(payload.len().min(57));
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut packets = vec![first(channel, command, length, head)];
    for (sequence, data) in (0..128).zip(rest.chunks(59)) {
        packets.push(continuation(channel, sequence, data));
    }
    packets
}

/// A message that has packets left.
struct Partial {
    message: Message,
    length: usize,
    sequence: u8,
}

/// What a host may hear after what it has said.
#[derive(Default)]
pub(crate) struct Ear {
    /// First packets that were sent and not answered, by channel and command: each brings one
    /// answer at most.
    owed: BTreeMap<(u32, u8), u32>,
    /// Channels where a CBOR command may run.
    running: BTreeMap<u32, bool>,
    partial: Option<Partial>,
    /// Channels that INIT gave, the newest last.
    pub(crate) channels: Vec<u32>,
}

impl Ear {
    /// Takes down what a report that is sent now makes possible.
    pub(crate) fn said(&mut self, report: &Report) {
        let channel = u32::from_be_bytes([report[0], report[1], report[2], report[3]]);
        let command = report[4] & 0x7f;
        if report[4] & 0x80 == 0 || command == command::CANCEL {
            return;
        }
        if command == command::INIT && report[5..7] == [0, 8] {
            let cut = |partial: &Partial| partial.message.channel == channel;
            if channel != BROADCAST && self.partial.as_ref().is_some_and(cut) {
                self.partial = None;
            }
            if self.channels.contains(&channel) {
                self.owed.retain(|(owed, _), _| *owed != channel);
                self.running.insert(channel, false);
            }
        }
        for command in [command, ALL] {
            *self.owed.entry((channel, command)).or_default() += 1;
        }
        if command == command::CBOR {
            self.running.insert(channel, true);
        }
    }

    /// Nothing of before is heard after the power went.
    pub(crate) fn power(&mut self) {
        *self = Self::default();
    }

    /// Takes a report from the key; a message, when it is whole.
    pub(crate) fn heard(&mut self, report: &Report) -> Option<Message> {
        let channel = u32::from_be_bytes([report[0], report[1], report[2], report[3]]);
        let (mut partial, data) = if report[4] & 0x80 == 0 {
            let partial = self.partial.take().expect("a continuation of nothing");
            assert_eq!(partial.message.channel, channel, "another channel's packet");
            assert_eq!(partial.sequence, report[4], "packets come in sequence");
            let sequence = partial.sequence.wrapping_add(1);
            (
                Partial {
                    sequence,
                    ..partial
                },
                &report[5..],
            )
        } else {
            assert!(self.partial.is_none(), "a message within another");
            let message = Message {
                channel,
                command: report[4] & 0x7f,
                payload: Vec::new(),
            };
            let length = usize::from(u16::from_be_bytes([report[5], report[6]]));
            let partial = Partial {
                message,
                length,
                sequence: 0,
            };
            (partial, &report[7..])
        };
        let missing = partial.length - partial.message.payload.len();
        let (taken, padding) = data.split_at(missing.min(data.len()));
        assert!(padding.iter().all(|byte| *byte == 0), "padded with zeros");
        partial.message.payload.extend(taken);
        if partial.message.payload.len() < partial.length {
            self.partial = Some(partial);
            return None;
        }
        self.check(&partial.message);
        Some(partial.message)
    }

    /// Fails for what no key may say now.
    fn check(&mut self, message: &Message) {
        let Message {
            channel,
            command,
            payload,
        } = message;
        if *command == command::KEEPALIVE {
            let running = self.running.get(channel).copied().unwrap_or_default();
            assert!(running, "a keepalive on {channel:#x}, where nothing runs");
            assert!(matches!(payload[..], [1 | 2]), "{payload:02x?}");
            return;
        }
        self.pay(*channel, *command);
        match *command {
            command::INIT => {
                assert_eq!(payload.len(), 17);
                let granted = payload[8..12].try_into().expect("four bytes");
                let granted = u32::from_be_bytes(granted);
                if *channel == BROADCAST {
                    let fresh = !self.channels.contains(&granted);
                    assert!(fresh && granted != 0 && granted != BROADCAST);
                    self.channels.push(granted);
                } else {
                    assert_eq!(granted, *channel, "another channel than the one it came on");
                }
            }
            command::CBOR => {
                self.running.insert(*channel, false);
                let status = payload.first().copied().expect("a status");
                let known = Status::from_code(status);
                assert!(known.is_some(), "status {status:#x}");
                assert!(status == 0 || payload.len() == 1, "a body with an error");
            }
            command::MSG => {
                let (body, word) = payload.split_last_chunk::<2>().expect("a status word");
                let word = u16::from_be_bytes(*word);
                let known = [
                    0x9000, 0x6985, 0x6986, 0x6a80, 0x6700, 0x6e00, 0x6d00, 0x6f00,
                ];
                assert!(known.contains(&word), "status word {word:#x}");
                assert!(word == 0x9000 || body.is_empty(), "a body with an error");
            }
            command::ERROR => {
                let known = matches!(payload[..], [0x01..=0x06 | 0x0b]);
                assert!(known, "error {payload:02x?}");
            }
            command::PING => {}
            command::WINK | command::LOCK => assert!(payload.is_empty()),
            other => panic!("a message of command {other:#x}"),
        }
    }

    /// Sets an answer off against what was sent; an error may answer anything there.
    fn pay(&mut self, channel: u32, command: u8) {
        let mut any = |command| {
            let owed = self.owed.get_mut(&(channel, command));
            let paid = owed.is_some_and(|owed| {
                let paid = *owed > 0;
                *owed = owed.saturating_sub(1);
                paid
            });
            assert!(paid, "an answer on {channel:#x} to nothing, or a second");
        };
        any(ALL);
        if command != command::ERROR {
            any(command);
        }
    }
}
