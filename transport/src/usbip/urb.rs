//! The 48-byte headers that follow an import: USBIP_CMD_SUBMIT, USBIP_CMD_UNLINK and their
//! answers. Big-endian, but for the setup packet.
//!
//! Absent: isochronous packet descriptors, which are only counted, to be skipped.

use std::fmt;

use crate::usb::{Direction, SETUP_LEN};

/// Bytes in every header.
pub const HEADER_LEN: usize = 48;
/// Bytes in an isochronous packet descriptor.
pub const ISO_DESCRIPTOR_LEN: u32 = 16;
/// number_of_packets of a transfer that is not isochronous, as Windows' client sends it; Linux's
/// sends 0.
pub const NOT_ISO: u32 = 0xffff_ffff;

/// seqnum: the client's name for a command. Opaque: Windows' client keeps the direction in bit
/// 0 and does not count consecutively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqNum(pub u32);

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// devid: busnum << 16 | devnum of the imported device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevId(pub u32);

impl DevId {
    /// The device at a bus and a port of it.
    #[must_use]
    pub fn new(busnum: u16, devnum: u16) -> Self {
        Self(u32::from(busnum) << 16 | u32::from(devnum))
    }

    /// The bus.
    #[must_use]
    pub fn busnum(self) -> u32 {
        self.0 >> 16
    }

    /// The device on its bus.
    #[must_use]
    pub fn devnum(self) -> u32 {
        self.0 & 0xffff
    }
}

impl fmt::Display for DevId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// status of an answer: 0 or a negated errno of Linux, on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub i32);

impl Status {
    /// Done.
    pub const OK: Self = Self(0);
    /// -ENOMEM: more IN transfers wait than the session holds.
    pub const NO_MEMORY: Self = Self(-12);
    /// -EPIPE: stalled.
    pub const STALL: Self = Self(-32);
    /// -EOVERFLOW: the host asked for less than a report.
    pub const OVERFLOW: Self = Self(-75);
    /// -ECONNRESET: unlinked before it was answered.
    pub const UNLINKED: Self = Self(-104);
    /// -ESHUTDOWN: the endpoint went away under the transfer.
    pub const SHUTDOWN: Self = Self(-108);
}

/// The number that USB/IP gives a direction.
fn direction_code(direction: Direction) -> u32 {
    match direction {
        Direction::Out => 0,
        Direction::In => 1,
    }
}

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;

/// What a header has besides its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basic {
    /// Names the command.
    pub seqnum: SeqNum,
    /// Names the device.
    pub devid: DevId,
    /// Which way the data goes.
    pub direction: Direction,
    /// The endpoint's number, without its direction.
    pub ep: u32,
}

/// USBIP_CMD_SUBMIT: a transfer. For OUT its payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Common to all.
    pub basic: Basic,
    /// URB flags of Linux; nothing here depends on them.
    pub transfer_flags: u32,
    /// Bytes that follow (OUT) or that the host has room for (IN).
    pub transfer_buffer_length: u32,
    /// For isochronous transfers.
    pub start_frame: u32,
    /// For isochronous transfers; else 0 or [`NOT_ISO`].
    pub number_of_packets: u32,
    /// The host's idea of the polling interval.
    pub interval: u32,
    /// The setup packet, if the endpoint is 0.
    pub setup: [u8; SETUP_LEN],
}

impl Submit {
    /// How many packet descriptors follow, if the endpoint is isochronous.
    #[must_use]
    pub fn iso_packets(&self) -> u32 {
        if self.number_of_packets == NOT_ISO {
            0
        } else {
            self.number_of_packets
        }
    }
}

/// USBIP_CMD_UNLINK: the host wants a transfer back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlink {
    /// Common to all; the direction and the endpoint mean nothing.
    pub basic: Basic,
    /// Which transfer.
    pub unlink_seqnum: SeqNum,
}

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A transfer.
    Submit(Submit),
    /// Takes one back.
    Unlink(Unlink),
}

/// Why a header is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrbError {
    /// The command's number is neither 1 nor 2.
    Command(u32),
    /// The direction is neither 0 nor 1.
    Direction(u32),
}

impl fmt::Display for UrbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(code) => write!(f, "unknown command {code:#x}"),
            Self::Direction(code) => write!(f, "unknown direction {code:#x}"),
        }
    }
}

impl std::error::Error for UrbError {}

/// A header as its twelve words: the setup packet takes the last two.
type Words = [u32; HEADER_LEN / 4];

fn words(header: &[u8; HEADER_LEN]) -> Words {
    let (chunks, _) = header.as_chunks::<4>();
    let mut words = Words::default();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

fn header(words: Words) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let (chunks, _) = header.as_chunks_mut::<4>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_be_bytes();
    }
    header
}

fn setup(low: u32, high: u32) -> [u8; SETUP_LEN] {
    (u64::from(low) << 32 | u64::from(high)).to_be_bytes()
}

impl Command {
    /// Reads a client's header.
    ///
    /// # Errors
    ///
    /// It has an unknown command, or one that has no meaning for its direction.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, UrbError> {
        let [command, seqnum, devid, direction, ep, a, b, c, d, e, f, g] = words(bytes);
        if command != CMD_SUBMIT && command != CMD_UNLINK {
            return Err(UrbError::Command(command));
        }
        let direction = match direction {
            0 => Direction::Out,
            1 => Direction::In,
            other => return Err(UrbError::Direction(other)),
        };
        let basic = Basic {
            seqnum: SeqNum(seqnum),
            devid: DevId(devid),
            direction,
            ep,
        };
        if command == CMD_UNLINK {
            return Ok(Self::Unlink(Unlink {
                basic,
                unlink_seqnum: SeqNum(a),
            }));
        }
        Ok(Self::Submit(Submit {
            basic,
            transfer_flags: a,
            transfer_buffer_length: b,
            start_frame: c,
            number_of_packets: d,
            interval: e,
            setup: setup(f, g),
        }))
    }

    /// The header, for a host.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let words = |command, basic: &Basic, rest: [u32; 7]| {
            let [a, b, c, d, e, f, g] = rest;
            let direction = direction_code(basic.direction);
            [
                command,
                basic.seqnum.0,
                basic.devid.0,
                direction,
                basic.ep,
                a,
                b,
                c,
                d,
                e,
                f,
                g,
            ]
        };
        header(match self {
            Self::Submit(submit) => {
                let [s0, s1, s2, s3, s4, s5, s6, s7] = submit.setup;
                let rest = [
                    submit.transfer_flags,
                    submit.transfer_buffer_length,
                    submit.start_frame,
                    submit.number_of_packets,
                    submit.interval,
                    u32::from_be_bytes([s0, s1, s2, s3]),
                    u32::from_be_bytes([s4, s5, s6, s7]),
                ];
                words(CMD_SUBMIT, &submit.basic, rest)
            }
            Self::Unlink(unlink) => words(
                CMD_UNLINK,
                &unlink.basic,
                [unlink.unlink_seqnum.0, 0, 0, 0, 0, 0, 0],
            ),
        })
    }
}

/// What a server answers. devid, direction, ep, start_frame and number_of_packets are 0, as
/// Linux's server sends them; so an IN answer's payload cannot be told from the header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// USBIP_RET_SUBMIT. For IN, `actual_length` bytes follow.
    Submit {
        /// The transfer that it answers.
        seqnum: SeqNum,
        /// How it went.
        status: Status,
        /// Bytes that follow (IN) or that were accepted (OUT).
        actual_length: u32,
    },
    /// USBIP_RET_UNLINK.
    Unlink {
        /// The unlink command that it answers.
        seqnum: SeqNum,
        /// [`Status::UNLINKED`], or [`Status::OK`] if the transfer had been answered.
        status: Status,
    },
}

impl Reply {
    /// The header.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        header(match *self {
            Self::Submit {
                seqnum,
                status,
                actual_length,
            } => {
                let status = status.0.cast_unsigned();
                [
                    RET_SUBMIT,
                    seqnum.0,
                    0,
                    0,
                    0,
                    status,
                    actual_length,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]
            }
            Self::Unlink { seqnum, status } => {
                let status = status.0.cast_unsigned();
                [RET_UNLINK, seqnum.0, 0, 0, 0, status, 0, 0, 0, 0, 0, 0]
            }
        })
    }

    /// Reads a server's header, for a host.
    ///
    /// # Errors
    ///
    /// It is no answer.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, UrbError> {
        let [command, seqnum, _, _, _, status, actual_length, ..] = words(bytes);
        let seqnum = SeqNum(seqnum);
        let status = Status(status.cast_signed());
        match command {
            RET_SUBMIT => Ok(Self::Submit {
                seqnum,
                status,
                actual_length,
            }),
            RET_UNLINK => Ok(Self::Unlink { seqnum, status }),
            other => Err(UrbError::Command(other)),
        }
    }
}

#[cfg(test)]
mod tests;
