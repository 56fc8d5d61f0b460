//! CTAPHID: packets, channels and transactions (CTAP 2.1 §11.2).
//!
//! One transaction runs at a time: a message is assembled, handed up, and answered. Payloads are
//! opaque here. Waiting is data, so CANCEL, INIT and other channels are served at any moment.
//!
//! Deliberately absent: CTAP2 statuses, CBOR, and who answers.

mod channels;
mod faulty;
mod notes;
mod packet;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::VecDeque;

use crate::{
    limits::{MAX_LOCK_S, MAX_QUEUED},
    time::Instant,
};
use channels::Channels;
pub(crate) use faulty::{
    announces_touch, continuation_beside, is_init_answer, is_keepalive, keepalive_beside,
    last_byte, set_channel, skip_sequence,
};
pub(crate) use notes::Note;
pub use packet::{ChannelId, MAX_MESSAGE_LEN, REPORT_LEN};
use packet::{Outgoing, Packet, command};

/// A message whose next packet does not come within this time is given up (§11.2.5.2).
pub const TRANSACTION_TIMEOUT_MS: u64 = 500;
/// Time between two keepalives while a CBOR command runs (§11.2.9.1.6 allows up to 100 ms).
pub const KEEPALIVE_INTERVAL_MS: u64 = 50;
/// A touch is no longer waited for when nobody has read a keepalive for this long.
pub const READER_GONE_MS: u64 = 2_000;
/// Nor when the host has taken back its last wait for a report, as it does when the last program
/// closes the device, and begins none within this time: a program that is started next must not
/// find the key busy with a touch that nobody wants. A host whose reads have time-outs of their
/// own begins the next within a few milliseconds.
pub const READER_LEFT_MS: u64 = 50;
/// CTAPHID protocol version in the INIT response.
const PROTOCOL_VERSION: u8 = 2;
/// Capability flags of the INIT response (§11.2.9.1.3).
const CAPABILITY_WINK: u8 = 0x01;
const CAPABILITY_CBOR: u8 = 0x04;
const CAPABILITY_NMSG: u8 = 0x08;

/// Error codes of CTAPHID_ERROR (§11.2.9.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum HidError {
    InvalidCommand = 0x01,
    InvalidParameter = 0x02,
    InvalidLength = 0x03,
    InvalidSequence = 0x04,
    MessageTimeout = 0x05,
    ChannelBusy = 0x06,
    InvalidChannel = 0x0b,
}

/// What a key says of itself in the INIT response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Device version: major, minor, build.
    pub(crate) version: [u8; 3],
    /// Whether CTAPHID_MSG, that is U2F, is served.
    pub(crate) msg: bool,
    /// Whether CTAPHID_CBOR, that is CTAP2, is served.
    pub(crate) cbor: bool,
}

/// Why a keepalive is sent (§11.2.9.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum KeepaliveStatus {
    Processing = 1,
    UpNeeded = 2,
}

/// How a message is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// CTAPHID_MSG: a U2F APDU.
    Msg,
    /// CTAPHID_CBOR: a CTAP2 command.
    Cbor,
}

/// What the layer above has to deal with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A whole message; it wants one [`Hid::respond`].
    Message {
        channel: ChannelId,
        kind: MessageKind,
        payload: Vec<u8>,
    },
    /// The client cancels its running CBOR command, which still wants its response.
    Cancel,
    /// The running command's client is gone: no response is wanted.
    Aborted,
    /// The key should be made visible.
    Wink,
}

enum Transaction {
    Idle,
    Receiving {
        channel: ChannelId,
        command: u8,
        length: usize,
        payload: Vec<u8>,
        next_sequence: u8,
        deadline: Instant,
    },
    Processing {
        channel: ChannelId,
        kind: MessageKind,
        status: KeepaliveStatus,
        next_keepalive: Instant,
        /// Since when a keepalive waits for a reader.
        unread_since: Option<Instant>,
        /// Since when the reader is gone, if it said so.
        left_at: Option<Instant>,
        /// The answer is kept back though the command is done: a fault wants it.
        held: bool,
    },
    /// The response has packets left.
    Responding {
        channel: ChannelId,
    },
}

impl Transaction {
    fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Idle => None,
            Self::Receiving { channel, .. }
            | Self::Processing { channel, .. }
            | Self::Responding { channel } => Some(*channel),
        }
    }
}

/// The CTAPHID side of one key.
pub(crate) struct Hid {
    identity: Identity,
    channels: Channels,
    transaction: Transaction,
    /// The channel that holds the lock, and until when.
    lock: Option<(ChannelId, Instant)>,
    out: VecDeque<Outgoing>,
    /// What was dealt with here, if somebody wants to know.
    notes: Option<Vec<Note>>,
}

impl Hid {
    /// `channel_start` is any random number.
    pub(crate) fn new(identity: Identity, channel_start: u32) -> Self {
        Self {
            identity,
            channels: Channels::new(channel_start),
            transaction: Transaction::Idle,
            lock: None,
            out: VecDeque::new(),
            notes: None,
        }
    }

    /// Takes one report from the host.
    pub(crate) fn handle_report(
        &mut self,
        now: Instant,
        report: &[u8; REPORT_LEN],
    ) -> Option<Input> {
        match Packet::parse(report) {
            Packet::Init {
                channel,
                command: command::INIT,
                length,
                data,
            } => self.handle_init(channel, length, data),
            Packet::Init {
                channel,
                command: command::CANCEL,
                ..
            } => self.handle_cancel(channel),
            Packet::Init {
                channel,
                command,
                length,
                data,
            } => self.handle_first(now, channel, command, length, data),
            Packet::Continuation {
                channel,
                sequence,
                data,
            } => self.handle_continuation(now, channel, sequence, data),
        }
    }

    /// Allocates a channel, or gives a client back a channel that lost its step (§11.2.9.1.3).
    fn handle_init(&mut self, channel: ChannelId, length: u16, data: &[u8]) -> Option<Input> {
        self.note(channel, "init", length.into());
        let (8, Some(nonce)) = (length, data.first_chunk::<8>()) else {
            self.error(channel, HidError::InvalidLength);
            return None;
        };
        let (granted, input) = if channel == ChannelId::BROADCAST {
            (self.channels.allocate(), None)
        } else if self.channels.contains(channel) {
            (channel, self.abort(channel))
        } else {
            self.error(channel, HidError::InvalidChannel);
            return None;
        };
        let mut payload = nonce.to_vec();
        payload.extend(granted.0.to_be_bytes());
        payload.push(PROTOCOL_VERSION);
        payload.extend(self.identity.version);
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let cbor = flag(self.identity.cbor, CAPABILITY_CBOR);
        let nmsg = flag(!self.identity.msg, CAPABILITY_NMSG);
        payload.push(CAPABILITY_WINK | cbor | nmsg);
        self.push(Outgoing::new(channel, command::INIT, payload));
        input
    }

    /// A CANCEL has no answer of its own (§11.2.9.1.5).
    fn handle_cancel(&mut self, from: ChannelId) -> Option<Input> {
        self.note(from, "cancel", 0);
        match &self.transaction {
            Transaction::Processing {
                channel,
                kind: MessageKind::Cbor,
                ..
            } if *channel == from => Some(Input::Cancel),
            Transaction::Processing { .. }
            | Transaction::Idle
            | Transaction::Receiving { .. }
            | Transaction::Responding { .. } => None,
        }
    }

    fn handle_first(
        &mut self,
        now: Instant,
        channel: ChannelId,
        command: u8,
        length: u16,
        data: &[u8],
    ) -> Option<Input> {
        if let Err(error) = self.admit(now, channel, command, length) {
            // A new message inside an unfinished one is a lost step, and ends it (§11.2.5.3).
            if error == HidError::InvalidSequence {
                self.transaction = Transaction::Idle;
            }
            if error == HidError::InvalidCommand {
                self.note(channel, "unknown", length.into());
            }
            self.error(channel, error);
            return None;
        }
        let length = usize::from(length);
        let payload = data.get(..length).unwrap_or(data).to_vec();
        if payload.len() < length {
            self.transaction = Transaction::Receiving {
                channel,
                command,
                length,
                payload,
                next_sequence: 0,
                deadline: now.after_ms(TRANSACTION_TIMEOUT_MS),
            };
            return None;
        }
        self.dispatch(now, channel, command, payload)
    }

    /// Whether a message may begin on `channel` now.
    fn admit(
        &self,
        now: Instant,
        channel: ChannelId,
        command: u8,
        length: u16,
    ) -> Result<(), HidError> {
        if channel == ChannelId::BROADCAST || channel == ChannelId::RESERVED {
            return Err(HidError::InvalidChannel);
        }
        match self.transaction {
            Transaction::Receiving { channel: busy, .. } if busy == channel => {
                return Err(HidError::InvalidSequence);
            }
            Transaction::Idle => {}
            Transaction::Receiving { .. }
            | Transaction::Processing { .. }
            | Transaction::Responding { .. } => return Err(HidError::ChannelBusy),
        }
        if !self.channels.contains(channel) {
            return Err(HidError::InvalidChannel);
        }
        if self
            .lock
            .is_some_and(|(owner, until)| owner != channel && now < until)
        {
            return Err(HidError::ChannelBusy);
        }
        match command {
            command::PING | command::LOCK | command::WINK => {}
            command::CBOR if self.identity.cbor => {}
            command::MSG if self.identity.msg => {}
            _ => return Err(HidError::InvalidCommand),
        }
        if usize::from(length) > MAX_MESSAGE_LEN {
            return Err(HidError::InvalidLength);
        }
        Ok(())
    }

    /// Continuation packets that belong to no unfinished message are ignored (§11.2.4).
    fn handle_continuation(
        &mut self,
        now: Instant,
        from: ChannelId,
        sequence: u8,
        data: &[u8],
    ) -> Option<Input> {
        let Transaction::Receiving {
            channel,
            command,
            length,
            payload,
            next_sequence,
            deadline,
        } = &mut self.transaction
        else {
            return None;
        };
        if *channel != from {
            return None;
        }
        if sequence != *next_sequence {
            self.transaction = Transaction::Idle;
            self.error(from, HidError::InvalidSequence);
            return None;
        }
        *next_sequence += 1;
        *deadline = now.after_ms(TRANSACTION_TIMEOUT_MS);
        let missing = length.saturating_sub(payload.len());
        payload.extend(data.get(..missing).unwrap_or(data));
        if payload.len() < *length {
            return None;
        }
        let (command, payload) = (*command, std::mem::take(payload));
        self.dispatch(now, from, command, payload)
    }

    /// A whole message is here.
    fn dispatch(
        &mut self,
        now: Instant,
        channel: ChannelId,
        command: u8,
        payload: Vec<u8>,
    ) -> Option<Input> {
        self.transaction = Transaction::Idle;
        let value = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let kind = match command {
            command::PING => {
                self.note(channel, "ping", value);
                self.push_response(channel, command, payload);
                return None;
            }
            command::WINK => {
                self.note(channel, "wink", value);
                if !payload.is_empty() {
                    self.error(channel, HidError::InvalidLength);
                    return None;
                }
                self.push_response(channel, command, payload);
                return Some(Input::Wink);
            }
            command::LOCK => {
                self.note(channel, "lock", value);
                self.handle_lock(now, channel, &payload);
                return None;
            }
            command::CBOR => MessageKind::Cbor,
            _ => MessageKind::Msg,
        };
        if payload.is_empty() {
            self.error(channel, HidError::InvalidLength);
            return None;
        }
        self.transaction = Transaction::Processing {
            channel,
            kind,
            status: KeepaliveStatus::Processing,
            next_keepalive: now.after_ms(KEEPALIVE_INTERVAL_MS),
            unread_since: None,
            left_at: None,
            held: false,
        };
        Some(Input::Message {
            channel,
            kind,
            payload,
        })
    }

    /// Keeps other clients away for some seconds, or lets them in again (§11.2.9.2.2).
    fn handle_lock(&mut self, now: Instant, channel: ChannelId, payload: &[u8]) {
        match *payload {
            [0] => self.lock = None,
            [seconds] if seconds <= MAX_LOCK_S => {
                self.lock = Some((channel, now.after_ms(u64::from(seconds) * 1_000)));
            }
            [_] => return self.error(channel, HidError::InvalidParameter),
            _ => return self.error(channel, HidError::InvalidLength),
        }
        self.push_response(channel, command::LOCK, Vec::new());
    }

    /// Answers the running message. Without one, because its client went away, nothing happens.
    pub(crate) fn respond(&mut self, payload: Vec<u8>) {
        let Transaction::Processing { channel, kind, .. } = self.transaction else {
            return;
        };
        let command = match kind {
            MessageKind::Msg => command::MSG,
            MessageKind::Cbor => command::CBOR,
        };
        self.push_response(channel, command, payload);
    }

    /// The next report for the host; ask only when the host wants one.
    pub(crate) fn poll_report(&mut self) -> Option<[u8; REPORT_LEN]> {
        self.poll_message(0)
    }

    /// The next report of a queued message.
    fn poll_message(&mut self, at: usize) -> Option<[u8; REPORT_LEN]> {
        let out = self.out.get_mut(at)?;
        let report = out.poll_packet();
        let (done, channel, command) = (out.is_done(), out.channel(), out.command());
        if done {
            self.out.remove(at);
        }
        match &mut self.transaction {
            Transaction::Processing { unread_since, .. } if command == command::KEEPALIVE => {
                *unread_since = None;
            }
            Transaction::Responding { channel: busy } if done && *busy == channel => {
                let more = self.out.iter().any(|out| out.channel() == channel);
                if !more {
                    self.transaction = Transaction::Idle;
                }
            }
            Transaction::Processing { .. }
            | Transaction::Responding { .. }
            | Transaction::Idle
            | Transaction::Receiving { .. } => {}
        }
        Some(report)
    }

    /// Ends the channel's transaction and drops what was queued for it.
    fn abort(&mut self, channel: ChannelId) -> Option<Input> {
        self.out.retain(|out| out.channel() != channel);
        if self.transaction.channel() != Some(channel) {
            return None;
        }
        match std::mem::replace(&mut self.transaction, Transaction::Idle) {
            Transaction::Processing { .. } => Some(Input::Aborted),
            Transaction::Idle | Transaction::Receiving { .. } | Transaction::Responding { .. } => {
                None
            }
        }
    }

    fn push_response(&mut self, channel: ChannelId, command: u8, payload: Vec<u8>) {
        self.transaction = Transaction::Responding { channel };
        self.out.push_back(Outgoing::new(channel, command, payload));
    }

    fn error(&mut self, channel: ChannelId, error: HidError) {
        self.note(channel, "error", (error as u8).into());
        self.push(Outgoing::new(channel, command::ERROR, vec![error as u8]));
    }

    /// Queues what is no response; a host that never reads loses it, and nothing else.
    fn push(&mut self, out: Outgoing) {
        if self.out.len() < MAX_QUEUED {
            self.out.push_back(out);
        }
    }
}
