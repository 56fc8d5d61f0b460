//! A host's CTAPHID in a world: messages put together, and watched.
//!
//! A channel gets packets in sequence, one answer for each request and nothing after it; a
//! keepalive comes only while a CBOR command runs.

use std::collections::{BTreeMap, VecDeque};

use crate::support::ctaphid::{MAX_MESSAGE_LEN, Message, command};

/// What goes on in a channel.
#[derive(Default)]
pub(crate) struct Channel {
    /// The request that runs, if one does.
    running: Option<u8>,
    /// INITs without an answer.
    pub(crate) inits: usize,
    assembling: Option<Assembling>,
    /// Nobody read for a while: the rest of a message may be lost.
    cut: bool,
    pub(crate) messages: VecDeque<Message>,
    pub(crate) keepalives: u64,
}

struct Assembling {
    command: u8,
    length: usize,
    payload: Vec<u8>,
    sequence: u8,
}

/// The channels of a host.
#[derive(Default)]
pub(crate) struct Channels {
    known: BTreeMap<u32, Channel>,
    /// When the last packet came, on whichever of them: a host reads one after the other.
    pub(crate) last_ms: u64,
}

pub(crate) const BROADCAST: u32 = 0xffff_ffff;

impl Channels {
    pub(crate) fn channel(&mut self, id: u32) -> &mut Channel {
        self.known.entry(id).or_default()
    }

    /// A request is about to be sent.
    pub(crate) fn begin(&mut self, id: u32, command: u8) {
        let channel = self.channel(id);
        if command == command::INIT {
            channel.inits += 1;
        } else {
            channel.messages.clear();
            channel.running = Some(command);
        }
    }

    /// The last program has closed the device.
    pub(crate) fn reader_left(&mut self) {
        for channel in self.known.values_mut() {
            channel.cut = true;
        }
    }

    /// Takes a report; whether it ends an answer.
    pub(crate) fn handle(&mut self, report: &[u8; 64], now_ms: u64) -> Result<bool, String> {
        let id = u32::from_be_bytes([report[0], report[1], report[2], report[3]]);
        let Some(channel) = self.known.get_mut(&id) else {
            return Err(format!("a packet on channel {id:#x}, which nobody has"));
        };
        self.last_ms = now_ms;
        let message = channel.packet(report)?;
        message.map_or(Ok(false), |message| {
            let said = format!("{:#04x} on channel {id:#x}", message.command);
            channel
                .message(message)
                .map_err(|why| format!("{why}: {said}"))
        })
    }
}

impl Channel {
    /// The message that a packet ends.
    fn packet(&mut self, report: &[u8; 64]) -> Result<Option<Message>, String> {
        let mut assembling = if report[4] & 0x80 != 0 {
            if self.assembling.take().is_some() && !self.cut && self.inits == 0 {
                return Err("a message begins within another".to_owned());
            }
            let length = usize::from(u16::from_be_bytes([report[5], report[6]]));
            if length > MAX_MESSAGE_LEN {
                return Err(format!("a message of {length} bytes"));
            }
            Assembling {
                command: report[4] & 0x7f,
                length,
                payload: report[7..].to_vec(),
                sequence: 0,
            }
        } else {
            let Some(mut assembling) = self.assembling.take() else {
                return match self.cut {
                    true => Ok(None),
                    false => Err("the rest of no message".to_owned()),
                };
            };
            if assembling.sequence != report[4] {
                return Err(format!("packet {} is missing", assembling.sequence));
            }
            assembling.payload.extend(&report[5..]);
            assembling.sequence += 1;
            assembling
        };
        if assembling.payload.len() < assembling.length {
            self.assembling = Some(assembling);
            return Ok(None);
        }
        assembling.payload.truncate(assembling.length);
        Ok(Some(Message {
            command: assembling.command,
            payload: assembling.payload,
        }))
    }

    fn message(&mut self, message: Message) -> Result<bool, String> {
        match message.command {
            command::KEEPALIVE => {
                if self.running != Some(command::CBOR) {
                    return Err("a keepalive while no command runs".to_owned());
                }
                if !matches!(message.payload.as_slice(), [1 | 2]) {
                    return Err("a keepalive that says nothing".to_owned());
                }
                self.keepalives += 1;
                return Ok(false);
            }
            command::INIT => {
                self.inits = self.inits.checked_sub(1).ok_or("INIT unasked for")?;
                self.running = None;
            }
            command::ERROR if self.running.is_none() && self.inits > 0 => self.inits -= 1,
            command::ERROR => {
                self.running.take().ok_or("an error unasked for")?;
            }
            answer => {
                let asked = self.running.take().ok_or("an answer unasked for")?;
                if asked != answer {
                    return Err(format!("an answer to {asked:#04x} of another kind"));
                }
            }
        }
        self.cut = false;
        self.messages.push_back(message);
        Ok(true)
    }
}
