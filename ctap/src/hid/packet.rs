//! CTAPHID packets in 64-byte reports (CTAP 2.1 §11.2.4).

use std::collections::VecDeque;

/// Length of every report, both ways, in bytes.
pub const REPORT_LEN: usize = 64;
/// Data bytes in an initialization packet.
pub(super) const INIT_DATA_LEN: usize = REPORT_LEN - 7;
/// Data bytes in a continuation packet.
pub(super) const CONTINUATION_DATA_LEN: usize = REPORT_LEN - 5;
/// The longest message: one initialization packet and 128 continuation packets.
pub const MAX_MESSAGE_LEN: usize = INIT_DATA_LEN + 128 * CONTINUATION_DATA_LEN;

/// Bit 7 of the fifth byte marks an initialization packet.
const INIT_BIT: u8 = 0x80;

/// A logical channel between one client and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelId(pub(crate) u32);

impl ChannelId {
    /// The channel on which a client asks for one of its own.
    pub const BROADCAST: Self = Self(0xffff_ffff);
    /// Reserved: never allocated, never valid.
    pub const RESERVED: Self = Self(0);
}

/// A command byte with [`INIT_BIT`] removed (CTAP 2.1 §11.2.9).
pub(super) mod command {
    pub(in crate::hid) const PING: u8 = 0x01;
    pub(in crate::hid) const MSG: u8 = 0x03;
    pub(in crate::hid) const LOCK: u8 = 0x04;
    pub(in crate::hid) const INIT: u8 = 0x06;
    pub(in crate::hid) const WINK: u8 = 0x08;
    pub(in crate::hid) const CBOR: u8 = 0x10;
    pub(in crate::hid) const CANCEL: u8 = 0x11;
    pub(in crate::hid) const KEEPALIVE: u8 = 0x3b;
    pub(in crate::hid) const ERROR: u8 = 0x3f;
}

/// What a report from the host holds.
pub(super) enum Packet<'a> {
    Init {
        channel: ChannelId,
        command: u8,
        /// Length of the whole message (BCNT).
        length: u16,
        data: &'a [u8; INIT_DATA_LEN],
    },
    Continuation {
        channel: ChannelId,
        sequence: u8,
        data: &'a [u8; CONTINUATION_DATA_LEN],
    },
}

impl<'a> Packet<'a> {
    /// Every report is a packet of one kind or the other, so this cannot fail.
    pub(super) fn parse(report: &'a [u8; REPORT_LEN]) -> Self {
        let [c0, c1, c2, c3, kind, ..] = *report;
        let channel = ChannelId(u32::from_be_bytes([c0, c1, c2, c3]));
        if kind & INIT_BIT == 0 {
            let data = report.last_chunk().unwrap_or(&[0; CONTINUATION_DATA_LEN]);
            return Self::Continuation {
                channel,
                sequence: kind,
                data,
            };
        }
        let [_, _, _, _, _, length_high, length_low, ..] = *report;
        Self::Init {
            channel,
            command: kind & !INIT_BIT,
            length: u16::from_be_bytes([length_high, length_low]),
            data: report.last_chunk().unwrap_or(&[0; INIT_DATA_LEN]),
        }
    }
}

/// A message on its way to the host, cut into packets only as they are asked for.
pub(super) struct Outgoing {
    channel: ChannelId,
    command: u8,
    payload: Vec<u8>,
    /// Bytes of the payload that have left.
    sent: usize,
    /// Number of the next continuation packet; `None` before the initialization packet.
    next_sequence: Option<u8>,
    /// What leaves in place of the payload's packets.
    altered: Option<VecDeque<[u8; REPORT_LEN]>>,
}

impl Outgoing {
    /// The payload holds at most [`MAX_MESSAGE_LEN`] bytes; what is longer would be cut.
    pub(super) fn new(channel: ChannelId, command: u8, payload: Vec<u8>) -> Self {
        debug_assert!(payload.len() <= MAX_MESSAGE_LEN);
        Self {
            channel,
            command,
            payload,
            sent: 0,
            next_sequence: None,
            altered: None,
        }
    }

    /// Has `alter` make other reports of what is left; there may be none then.
    pub(super) fn alter(&mut self, alter: impl FnOnce(&mut Vec<[u8; REPORT_LEN]>)) {
        let mut reports = Vec::new();
        while !self.is_done() {
            reports.push(self.poll_packet());
        }
        alter(&mut reports);
        self.altered = Some(reports.into());
    }

    pub(super) fn channel(&self) -> ChannelId {
        self.channel
    }

    pub(super) fn command(&self) -> u8 {
        self.command
    }

    /// True until the initialization packet has left.
    pub(super) fn is_untouched(&self) -> bool {
        self.next_sequence.is_none()
    }

    /// True when the last packet has left.
    pub(super) fn is_done(&self) -> bool {
        if let Some(altered) = &self.altered {
            return altered.is_empty();
        }
        !self.is_untouched() && self.sent >= self.payload.len()
    }

    /// The next packet, padded with zeros to a full report.
    pub(super) fn poll_packet(&mut self) -> [u8; REPORT_LEN] {
        if let Some(altered) = self.altered.as_mut().and_then(VecDeque::pop_front) {
            return altered;
        }
        let mut report = [0; REPORT_LEN];
        let [c0, c1, c2, c3] = self.channel.0.to_be_bytes();
        let (header, header_len) = match self.next_sequence {
            None => {
                let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
                let [high, low] = length.to_be_bytes();
                self.next_sequence = Some(0);
                ([c0, c1, c2, c3, self.command | INIT_BIT, high, low], 7)
            }
            Some(sequence) => {
                self.next_sequence = Some(sequence.wrapping_add(1));
                ([c0, c1, c2, c3, sequence & !INIT_BIT, 0, 0], 5)
            }
        };
        if let Some(to) = report.first_chunk_mut() {
            *to = header;
        }
        let rest = self.payload.get(self.sent..).unwrap_or_default();
        let data = rest.get(..REPORT_LEN - header_len).unwrap_or(rest);
        if let Some(to) = report.get_mut(header_len..header_len + data.len()) {
            to.copy_from_slice(data);
        }
        self.sent += data.len();
        report
    }
}
