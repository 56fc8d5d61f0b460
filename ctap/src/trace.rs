//! What a key did, for people and tests to read: no secret is in it.

use crate::command::Command;

/// Something that happened on the wire. Times are the driver's to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A CTAPHID command that the key dealt with below any authenticator (CTAP 2.1 §11.2.9).
    Hid {
        /// The channel; the broadcast one is 0xFFFFFFFF.
        channel: u32,
        /// `init`, `ping`, `wink`, `lock`, `cancel`, `error` or `unknown`.
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
        /// The CTAP2 status, or U2F's status word.
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

/// What became of the touch of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Touched {
    /// None was needed.
    #[default]
    NotAsked,
    /// Given.
    Approved,
    /// Refused.
    Denied,
    /// Nobody answered before it ended.
    Unanswered,
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
    /// A text, as it came.
    Text(String),
    /// Hexadecimal of bytes that are no secret, or their beginning.
    Hex(String),
    /// A number.
    Number(i64),
    /// A truth value.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
    /// There, and secret: its length in bytes.
    Redacted(usize),
}
