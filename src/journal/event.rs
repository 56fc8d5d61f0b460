//! Entries, as they are kept and as every reader gets them: one JSON object each.

use std::collections::BTreeMap;

use roamkey_ctap::{Detail, DetailValue, Gesture, Operation, Prompt, Touched, Trace};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::limits::JOURNAL_NAME_LEN;

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Counts the entries of the process, from 1.
    pub sequence: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The key's bus id, such as `1-1`.
    pub key: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The key is there from now on.
    Added {
        /// What its owner calls it.
        name: Option<String>,
        /// What it is made after.
        profile: String,
    },
    /// The key is gone.
    Removed,
    /// A host can see the key.
    Plugged,
    /// No host can see it.
    Unplugged,
    /// It lost power for a moment and forgot what no key keeps without.
    PowerCycled,
    /// A host has the key.
    Attach {
        /// Who.
        peer: String,
    },
    /// The host is gone.
    Detach {
        /// Who.
        peer: String,
        /// Why.
        reason: String,
    },
    /// A touch was needed, or one is over.
    Touch {
        /// Where it has come to.
        state: TouchState,
        /// Names the request.
        id: u64,
        /// `register`, `register-excluded`, `authenticate`, `select`, `reset`, `verify` or
        /// `enroll`.
        operation: String,
        /// What somebody does to answer: `touch`, `long-touch` or `finger`.
        #[serde(default = "plain_touch")]
        gesture: String,
        /// For which site; U2F does not tell.
        rp: Option<String>,
        /// SHA-256 of the site's id, hexadecimal.
        rp_id_hash: Option<String>,
        /// Which account.
        account: Option<String>,
        /// Why it was refused or withdrawn.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    /// The key was asked to show itself (CTAPHID_WINK).
    Wink,
    /// A CTAPHID command below CTAP2 and U2F.
    Hid {
        /// The client's channel, hexadecimal.
        channel: String,
        /// `init`, `ping`, `wink`, `lock`, `cancel`, `error` or `unknown`.
        command: String,
        /// Bytes in the message; of `error` the code.
        value: u32,
    },
    /// A CTAP2 or U2F command began.
    Started {
        /// Counts the commands of the key.
        operation: u64,
        /// The client's channel, hexadecimal.
        channel: String,
        /// Such as `make-credential`.
        command: String,
        /// What it asks for, by the standards' names; nothing secret.
        #[schema(value_type = BTreeMap<String, Value>)]
        details: BTreeMap<String, Value>,
    },
    /// A CTAP2 or U2F command is over.
    Finished {
        /// Which one.
        operation: u64,
        /// What it was.
        command: String,
        /// For which site, where it named one.
        rp_id: Option<String>,
        /// The status by its name in the standard.
        status: String,
        /// The CTAP2 status, or U2F's status word.
        status_code: u16,
        /// False where nobody waited for the answer any more.
        answered: bool,
        /// From the whole request to the answer.
        duration_ms: u64,
        /// `none`, `approved`, `not-verified`, `denied` or `unanswered`.
        touch: String,
        /// What the answer says; nothing secret.
        #[schema(value_type = BTreeMap<String, Value>)]
        details: BTreeMap<String, Value>,
    },
    /// An operation met an armed fault.
    Fault {
        /// Which armed fault.
        id: u64,
        /// Its name and parameter.
        fault: String,
        /// The operation.
        operation: Option<u64>,
    },
    /// The key's owner changed it.
    Changed {
        /// In words.
        what: String,
    },
}

/// Where a touch has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TouchState {
    /// Somebody has to answer.
    Asked,
    /// It was given.
    Approved,
    /// A finger was shown that the key does not know.
    NotVerified,
    /// It was refused.
    Denied,
    /// It is no longer needed.
    Withdrawn,
}

impl Entry {
    /// One JSON object, its members in the order of their names.
    pub fn to_json(&self) -> Value {
        // Numbers, texts and maps with text keys can all be written.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The kinds of events, as in JSON.
pub(crate) const KINDS: [&str; 14] = [
    "added",
    "removed",
    "plugged",
    "unplugged",
    "power-cycled",
    "attach",
    "detach",
    "touch",
    "wink",
    "hid",
    "started",
    "finished",
    "fault",
    "changed",
];

impl Event {
    /// Whether there are events of this kind.
    pub(crate) fn check_kind(kind: &str) -> Result<(), String> {
        match KINDS.contains(&kind) {
            true => Ok(()),
            false => Err(format!(
                "no event is called {kind:?}: there is {}",
                KINDS.join(", ")
            )),
        }
    }

    /// Its kind, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Added { .. } => "added",
            Self::Removed => "removed",
            Self::Plugged => "plugged",
            Self::Unplugged => "unplugged",
            Self::PowerCycled => "power-cycled",
            Self::Attach { .. } => "attach",
            Self::Detach { .. } => "detach",
            Self::Touch { .. } => "touch",
            Self::Wink => "wink",
            Self::Hid { .. } => "hid",
            Self::Started { .. } => "started",
            Self::Finished { .. } => "finished",
            Self::Fault { .. } => "fault",
            Self::Changed { .. } => "changed",
        }
    }
}

impl Event {
    /// Cuts off what is too long of the names that a host sends whole.
    pub(super) fn cut_names(&mut self) {
        let names = match self {
            Self::Touch { rp, account, .. } => [rp.as_mut(), account.as_mut()],
            Self::Finished { rp_id, .. } => [rp_id.as_mut(), None],
            Self::Added { .. }
            | Self::Removed
            | Self::Plugged
            | Self::Unplugged
            | Self::PowerCycled
            | Self::Attach { .. }
            | Self::Detach { .. }
            | Self::Wink
            | Self::Hid { .. }
            | Self::Started { .. }
            | Self::Fault { .. }
            | Self::Changed { .. } => return,
        };
        for name in names.into_iter().flatten() {
            name.truncate(name.floor_char_boundary(JOURNAL_NAME_LEN));
        }
    }
}

/// A touch, as an entry.
pub fn prompt_event(id: u64, prompt: &Prompt, state: TouchState, reason: Option<&str>) -> Event {
    let hash = prompt.rp_id_hash;
    Event::Touch {
        state,
        id,
        operation: operation_name(prompt.operation).to_owned(),
        gesture: gesture_name(prompt.gesture).to_owned(),
        rp: prompt.rp_id.clone(),
        rp_id_hash: hash.map(|hash| base16ct::lower::encode_string(&hash.0)),
        account: prompt.account.clone(),
        reason: reason.map(str::to_owned),
    }
}

/// The name of what a touch is for.
pub(crate) fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Register => "register",
        Operation::RegisterExcluded => "register-excluded",
        Operation::Authenticate => "authenticate",
        Operation::Select => "select",
        Operation::Reset => "reset",
        Operation::Verify => "verify",
        Operation::Enroll => "enroll",
    }
}

/// The name of what somebody does to answer.
pub(crate) fn gesture_name(gesture: Gesture) -> &'static str {
    match gesture {
        Gesture::Touch => "touch",
        Gesture::LongTouch => "long-touch",
        Gesture::Finger => "finger",
    }
}

/// What entries of earlier versions tell of.
fn plain_touch() -> String {
    gesture_name(Gesture::Touch).to_owned()
}

impl From<Trace> for Event {
    fn from(trace: Trace) -> Self {
        match trace {
            Trace::Hid {
                channel,
                command,
                value,
            } => Self::Hid {
                channel: channel_name(channel),
                command: command.to_owned(),
                value,
            },
            Trace::Started {
                operation,
                channel,
                command,
                details,
            } => Self::Started {
                operation,
                channel: channel_name(channel),
                command: command.name().to_owned(),
                details: details_of(details),
            },
            Trace::Finished {
                operation,
                command,
                rp_id,
                status,
                answered,
                duration_ms,
                touch,
                details,
            } => Self::Finished {
                operation,
                command: command.name().to_owned(),
                rp_id,
                status: status_name(status),
                status_code: status,
                answered,
                duration_ms,
                touch: touch_name(touch).to_owned(),
                details: details_of(details),
            },
        }
    }
}

fn channel_name(channel: u32) -> String {
    format!("{channel:08x}")
}

fn status_name(status: u16) -> String {
    // A status word of U2F has two bytes, a CTAP2 status one.
    match u8::try_from(status) {
        Ok(code) => roamkey_ctap::Status::name_of(code).to_owned(),
        Err(_) => format!("SW_{status:04X}"),
    }
}

fn touch_name(touch: Touched) -> &'static str {
    match touch {
        Touched::NotAsked => "none",
        Touched::Approved => "approved",
        Touched::NotVerified => "not-verified",
        Touched::Denied => "denied",
        Touched::Unanswered => "unanswered",
    }
}

fn details_of(details: Vec<Detail>) -> BTreeMap<String, Value> {
    let value = |value| match value {
        DetailValue::Text(text) | DetailValue::Hex(text) => Value::from(text),
        DetailValue::Number(number) => Value::from(number),
        DetailValue::Flag(flag) => Value::from(flag),
        DetailValue::List(texts) => Value::from(texts),
        DetailValue::Redacted(length) => Value::from(format!("({length} bytes, not shown)")),
    };
    let details = details.into_iter();
    let named = details.map(|detail| (detail.name.to_owned(), value(detail.value)));
    named.collect()
}
