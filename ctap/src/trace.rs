//! What a key did, for people and tests to read: no secret is in it.
//!
//! Traces are put together only while [`crate::Device::handle_tracing`] asks for them. Deliberately
//! absent: the messages themselves. A trace names what the table in `trace/members.rs` names.

mod decode;
mod members;
#[cfg(test)]
mod tests;
mod tracer;

use std::fmt;

use crate::{
    command::Command,
    event::{Decision, Gesture},
    status::Status,
    u2f::StatusWord,
};
pub(crate) use tracer::Tracer;

/// Something that happened on the wire. Times are the driver's to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A CTAPHID command that the key dealt with below any authenticator (CTAP 2.1 §11.2.9).
    Hid {
        /// The channel; the broadcast one is 0xFFFFFFFF.
        channel: u32,
        /// `init`, `ping`, `wink`, `lock`, `cancel`, `error` or `unknown`. An error is what the
        /// key answered; the others are what it was sent.
        command: &'static str,
        /// Bytes in the message; of `error` the code.
        value: u32,
    },
    /// A command began.
    Started {
        /// Counts the commands of the key since it was made, from 1.
        operation: u64,
        /// The client's channel.
        channel: u32,
        /// What it is.
        command: Command,
        /// What it asks for.
        details: Vec<Detail>,
    },
    /// A command was answered, or given up.
    Finished {
        /// Which one.
        operation: u64,
        /// What it was.
        command: Command,
        /// For which site, where the request named one.
        rp_id: Option<String>,
        /// The CTAP2 status, or U2F's status word. Of a command that was given up it is
        /// CTAP2_ERR_KEEPALIVE_CANCEL or 0x6F00, which nobody was told.
        status: u16,
        /// False where nobody waited for the answer any more.
        answered: bool,
        /// From the last packet of the request to the answer, in milliseconds.
        duration_ms: u64,
        /// Whether a touch was asked for, and given.
        touch: Touched,
        /// What the answer says.
        details: Vec<Detail>,
    },
}

impl Trace {
    /// The name that the standards give the status of [`Self::Finished`]: `CTAP2_OK`,
    /// `SW_NO_ERROR`. `None` of another trace, and of a status that no key should give.
    pub fn status_name(&self) -> Option<&'static str> {
        match self {
            Self::Finished {
                command, status, ..
            } => match u8::try_from(*status) {
                Ok(code) if !command.is_u2f() => Status::from_code(code).map(Status::name),
                Ok(_) | Err(_) => StatusWord::from_code(*status).map(StatusWord::name),
            },
            Self::Hid { .. } | Self::Started { .. } => None,
        }
    }
}

/// What became of the touch of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Touched {
    /// None was needed.
    #[default]
    NotAsked,
    /// Given.
    Approved,
    /// A finger that the key does not know was given.
    NotVerified,
    /// Refused.
    Denied,
    /// Nobody answered before it ended; of U2F, not yet: it asks again.
    Unanswered,
}

impl Touched {
    /// Of what was answered to a prompt; any finger is as good as another where none is verified.
    pub(crate) fn of(decision: Decision, gesture: Gesture) -> Self {
        match (decision, gesture) {
            (Decision::Unverified, Gesture::Finger) => Self::NotVerified,
            (Decision::Approved, _)
            | (Decision::Unverified, Gesture::Touch | Gesture::LongTouch) => Self::Approved,
            (Decision::Denied, _) => Self::Denied,
        }
    }

    /// In lower case with hyphens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAsked => "not-asked",
            Self::Approved => "approved",
            Self::NotVerified => "not-verified",
            Self::Denied => "denied",
            Self::Unanswered => "unanswered",
        }
    }
}

impl fmt::Display for Touched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A member of a message by the name that the standard gives it, such as `rp.id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The member.
    pub name: &'static str,
    /// Its value; what is secret is not shown but named.
    pub value: DetailValue,
}

/// The value of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetailValue {
    /// A text as it came, cut to 64 bytes.
    Text(String),
    /// Hexadecimal of bytes that are no secret, or of their beginning with three dots behind.
    Hex(String),
    /// A number.
    Number(i64),
    /// A truth value.
    Flag(bool),
    /// Several texts: eight, and behind them "12 more" where there are more.
    List(Vec<String>),
    /// There, and secret: its length in bytes.
    Redacted(usize),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.value)
    }
}

impl fmt::Display for DetailValue {
    /// For people, on one line: a text may come from anybody, so what would move a terminal's
    /// cursor is written out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Hex(digits) => f.write_str(digits),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", item.escape_debug())?;
                }
                f.write_str("]")
            }
            Self::Redacted(length) => write!(f, "({length} bytes, not shown)"),
        }
    }
}
