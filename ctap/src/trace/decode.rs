//! What a trace shows of a message: decoded from its bytes, apart from what the key makes of it.
//!
//! A message that is not what its command wants has fewer members, or none. Deliberately absent:
//! which members there are, which is `members`.

use ciborium::Value;

use super::{
    Detail, DetailValue,
    members::{self, Key, Member, Show},
};
use crate::{
    command::Command,
    credential::{Algorithm, truncated},
    hid::MessageKind,
    u2f, wire,
};

/// Items of a list that are shown.
const MAX_ITEMS: usize = 8;
/// Bytes of a beginning.
const START_LEN: usize = 8;
/// Bytes that are shown in full: user handles and AAGUIDs are no longer.
const MAX_HEX_LEN: usize = 64;

/// What a request is.
pub(super) struct Asked {
    pub(super) command: Command,
    pub(super) rp_id: Option<String>,
    pub(super) details: Vec<Detail>,
}

/// What an answer is.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) details: Vec<Detail>,
}

/// Reads a message that the key was given.
pub(super) fn request(kind: MessageKind, payload: &[u8]) -> Asked {
    match kind {
        MessageKind::Cbor => ctap2_request(payload),
        MessageKind::Msg => u2f_request(payload),
    }
}

/// Reads the answer to `command`.
pub(super) fn response(kind: MessageKind, command: Command, payload: &[u8]) -> Answered {
    match kind {
        MessageKind::Cbor => {
            let (status, body) = payload.split_first().unwrap_or((&0, &[]));
            let (_, members) = members::of(command);
            // Decoding costs more than all else here.
            let answer = match members.is_empty() {
                true => None,
                false => wire::decode(body),
            };
            Answered {
                status: u16::from(*status),
                details: details(members, answer.as_ref()),
            }
        }
        MessageKind::Msg => {
            let (body, status) = payload.split_last_chunk::<2>().unwrap_or((&[], &[0; 2]));
            Answered {
                status: u16::from_be_bytes(*status),
                details: u2f_response(command, body),
            }
        }
    }
}

fn ctap2_request(payload: &[u8]) -> Asked {
    let (number, parameters) = payload.split_first().unwrap_or((&0, &[]));
    let command = Command::of_ctap2(*number);
    let value = wire::decode(parameters);
    let (members, _) = members::of(command);
    Asked {
        command,
        rp_id: value.as_ref().and_then(|value| rp_id(command, value)),
        details: details(members, value.as_ref()),
    }
}

/// The RP id of a request, whole.
fn rp_id(command: Command, request: &Value) -> Option<String> {
    let named = match command {
        Command::MakeCredential => member(member(request, Key::Int(0x02))?, Key::Text("id")),
        Command::GetAssertion => member(request, Key::Int(0x01)),
        Command::ClientPin => member(request, Key::Int(0x0a)),
        Command::GetNextAssertion
        | Command::GetInfo
        | Command::Reset
        | Command::BioEnrollment
        | Command::CredentialManagement
        | Command::Selection
        | Command::LargeBlobs
        | Command::Config
        | Command::U2fRegister
        | Command::U2fAuthenticate
        | Command::U2fVersion
        | Command::Unknown => None,
    };
    Some(named?.as_text()?.to_owned())
}

fn u2f_request(apdu: &[u8]) -> Asked {
    let command = match apdu {
        [0, 0x01, ..] => Command::U2fRegister,
        [0, 0x02, ..] => Command::U2fAuthenticate,
        [0, 0x03, ..] => Command::U2fVersion,
        _ => Command::Unknown,
    };
    let mut details = Vec::new();
    let mut add = |name, value| details.push(Detail { name, value });
    match u2f::Request::parse(apdu) {
        Ok(u2f::Request::Register(request)) => {
            add("challenge", start(&request.challenge));
            add("application", hex(&request.application.0));
        }
        Ok(u2f::Request::Authenticate(request)) => {
            let control = match request.control {
                u2f::Control::CheckOnly => "check-only",
                u2f::Control::EnforceUserPresence => "enforce-user-presence-and-sign",
                u2f::Control::DontEnforceUserPresence => "dont-enforce-user-presence-and-sign",
            };
            add("control", DetailValue::Text(control.to_owned()));
            add("challenge", start(&request.challenge));
            add("application", hex(&request.application.0));
            add("keyHandle", start(&request.key_handle));
        }
        Ok(u2f::Request::Version) | Err(_) => {}
    }
    Asked {
        command,
        rp_id: None,
        details,
    }
}

fn u2f_response(command: Command, body: &[u8]) -> Vec<Detail> {
    let mut details = Vec::new();
    let mut add = |name, value| details.push(Detail { name, value });
    match (command, body) {
        (Command::U2fRegister, [0x05, rest @ ..]) => {
            let handle = rest.split_at_checked(65).and_then(|(_, rest)| {
                let (length, rest) = rest.split_first()?;
                rest.get(..usize::from(*length))
            });
            if let Some(handle) = handle {
                add("keyHandle", start(handle));
            }
        }
        (Command::U2fAuthenticate, [present, c0, c1, c2, c3, signature @ ..]) => {
            add("userPresence", DetailValue::Flag(present & 1 == 1));
            let counter = u32::from_be_bytes([*c0, *c1, *c2, *c3]);
            add("counter", DetailValue::Number(counter.into()));
            add("signature", DetailValue::Redacted(signature.len()));
        }
        _ => {}
    }
    details
}

fn details(members: &[Member], value: Option<&Value>) -> Vec<Detail> {
    let mut details = Vec::new();
    if let Some(value) = value {
        for wanted in members {
            if let Some(value) = member(value, wanted.key) {
                show(&mut details, wanted, value);
            }
        }
    }
    details
}

fn member(map: &Value, key: Key) -> Option<&Value> {
    let is = |name: &Value| match key {
        Key::Int(key) => name.as_integer() == Some(key.into()),
        Key::Text(key) => name.as_text() == Some(key),
    };
    let found = map.as_map()?.iter().find(|(name, _)| is(name));
    found.map(|(_, value)| value)
}

fn show(details: &mut Vec<Detail>, wanted: &Member, value: &Value) {
    if let Show::Map(members) = wanted.show {
        for inner in members {
            if let Some(value) = member(value, inner.key) {
                show(details, inner, value);
            }
        }
    } else if let Show::Descriptors(ids) = wanted.show {
        descriptors(details, wanted.name, ids, value);
    } else if matches!(wanted.show, Show::AuthData) {
        auth_data(details, value.as_bytes().map_or(&[], Vec::as_slice));
    } else if let Some(value) = shown(wanted.show, value) {
        let name = wanted.name;
        details.push(Detail { name, value });
    }
}

/// A value that is one detail.
fn shown(show: Show, value: &Value) -> Option<DetailValue> {
    Some(match show {
        Show::Text => DetailValue::Text(cut(value.as_text()?)),
        Show::Number => DetailValue::Number(number(value)?),
        Show::Flag => DetailValue::Flag(value.as_bool()?),
        Show::Hex => hex(value.as_bytes()?),
        Show::HexStart => start(value.as_bytes()?),
        Show::Length => DetailValue::Redacted(value.as_bytes()?.len()),
        Show::Texts => list(value.as_array()?, |item| item.as_text().map(cut)),
        Show::Algorithms => list(value.as_array()?, algorithm),
        Show::Names => list(value.as_map()?, |(name, _)| name.as_text().map(cut)),
        Show::Named(names) => match name(names, number(value)?) {
            Some(name) => DetailValue::Text(name.to_owned()),
            None => DetailValue::Number(number(value)?),
        },
        Show::Bits(names) => {
            let bits = number(value)?;
            let is_set = |bit: u64| i64::try_from(bit).is_ok_and(|bit| bits & bit != 0);
            let set = names.iter().filter(|(bit, _)| is_set(*bit));
            DetailValue::List(set.map(|(_, name)| (*name).to_owned()).collect())
        }
        // These are more than one detail.
        Show::Map(_) | Show::AuthData | Show::Descriptors(_) => return None,
    })
}

fn number(value: &Value) -> Option<i64> {
    i64::try_from(value.as_integer()?).ok()
}

fn name(names: &[(u64, &'static str)], number: i64) -> Option<&'static str> {
    let number = u64::try_from(number).ok()?;
    let mut names = names.iter();
    names.find_map(|(known, name)| (*known == number).then_some(*name))
}

fn cut(text: &str) -> String {
    truncated(text.to_owned())
}

/// The first items, and how many there are more.
fn list<T>(items: &[T], shown: impl Fn(&T) -> Option<String>) -> DetailValue {
    let mut list: Vec<_> = items.iter().take(MAX_ITEMS).filter_map(shown).collect();
    let more = items.len().saturating_sub(MAX_ITEMS);
    if more > 0 {
        list.push(format!("{more} more"));
    }
    DetailValue::List(list)
}

/// An algorithm by its name, or by its number where it is none of ours.
fn algorithm(parameters: &Value) -> Option<String> {
    let number = number(member(parameters, Key::Text("alg"))?)?;
    Some(match Algorithm::from_cose(number) {
        Some(algorithm) => algorithm.name().to_owned(),
        None => number.to_string(),
    })
}

fn descriptors(details: &mut Vec<Detail>, name: &'static str, ids: &'static str, value: &Value) {
    let Some(list) = value.as_array() else {
        return;
    };
    let count = i64::try_from(list.len()).unwrap_or(i64::MAX);
    details.push(Detail {
        name,
        value: DetailValue::Number(count),
    });
    let id = |item: &Value| {
        let id = member(item, Key::Text("id"))?.as_bytes()?;
        Some(beginning(id))
    };
    let beginnings: Vec<_> = list.iter().take(MAX_ITEMS).filter_map(id).collect();
    if !beginnings.is_empty() {
        details.push(Detail {
            name: ids,
            value: DetailValue::List(beginnings),
        });
    }
}

/// Flags, the counter and the id in authenticator data; extension outputs are not looked at.
fn auth_data(details: &mut Vec<Detail>, bytes: &[u8]) {
    let [flags, c0, c1, c2, c3, attested @ ..] = bytes.get(32..).unwrap_or_default() else {
        return;
    };
    let mut add = |name, value| details.push(Detail { name, value });
    let set = wire::Flags::NAMES.iter();
    let set = set.filter(|(flag, _)| flags & flag != 0);
    let set = set.map(|(_, name)| (*name).to_owned()).collect();
    add("flags", DetailValue::List(set));
    let count = u32::from_be_bytes([*c0, *c1, *c2, *c3]);
    add("signCount", DetailValue::Number(count.into()));
    // AAGUID, length, id (§6.5.1).
    if let Some((_, [high, low, rest @ ..])) = attested.split_at_checked(16) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if let Some(id) = rest.get(..length) {
            add("credential.id", start(id));
        }
    }
}

fn hex(bytes: &[u8]) -> DetailValue {
    if bytes.len() > MAX_HEX_LEN {
        return start(bytes);
    }
    DetailValue::Hex(digits(bytes))
}

fn start(bytes: &[u8]) -> DetailValue {
    DetailValue::Hex(beginning(bytes))
}

/// The first bytes, with dots where there are more.
fn beginning(bytes: &[u8]) -> String {
    match bytes.split_at_checked(START_LEN) {
        Some((start, [_, ..])) => digits(start) + "...",
        Some((_, [])) | None => digits(bytes),
    }
}

fn digits(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A tenth of what formatting costs, and half of a trace is digits.
        let both = [byte >> 4, byte & 0x0f].map(u32::from);
        digits.extend(
            both.into_iter()
                .filter_map(|half| char::from_digit(half, 16)),
        );
    }
    digits
}
