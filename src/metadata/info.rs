//! authenticatorGetInfo as a metadata statement has it: JSON with the names of the standard
//! (FIDO Metadata Statement 3.1 §3.12, CTAP 2.3 §6.4), bytes in hexadecimal.
//!
//! Deliberately absent: encIdentifier and encCredStoreState, which are one device's and change.

use ciborium::Value as Cbor;
use serde_json::{Map, Value};

/// The keys of getInfo's answer, and their names.
const MEMBERS: [(i128, &str); 29] = [
    (0x01, "versions"),
    (0x02, "extensions"),
    (0x03, "aaguid"),
    (0x04, "options"),
    (0x05, "maxMsgSize"),
    (0x06, "pinUvAuthProtocols"),
    (0x07, "maxCredentialCountInList"),
    (0x08, "maxCredentialIdLength"),
    (0x09, "transports"),
    (0x0a, "algorithms"),
    (0x0b, "maxSerializedLargeBlobArray"),
    (0x0c, "forcePINChange"),
    (0x0d, "minPINLength"),
    (0x0e, "firmwareVersion"),
    (0x0f, "maxCredBlobLength"),
    (0x10, "maxRPIDsForSetMinPINLength"),
    (0x11, "preferredPlatformUvAttempts"),
    (0x12, "uvModality"),
    (0x13, "certifications"),
    (0x14, "remainingDiscoverableCredentials"),
    (0x15, "vendorPrototypeConfigCommands"),
    (0x16, "attestationFormats"),
    (0x17, "uvCountSinceLastPinEntry"),
    (0x18, "longTouchForReset"),
    (0x1a, "transportsForReset"),
    (0x1b, "pinComplexityPolicy"),
    (0x1c, "pinComplexityPolicyURL"),
    (0x1d, "maxPINLength"),
    (0x1f, "authenticatorConfigCommands"),
];

/// The members of an answer in CBOR; none of what is no answer.
pub(super) fn members(info: &[u8]) -> Map<String, Value> {
    let Ok(Cbor::Map(answer)) = ciborium::from_reader(info) else {
        return Map::new();
    };
    let named = answer.into_iter().filter_map(|(key, value)| {
        let key: i128 = key.into_integer().ok()?.into();
        let (_, name) = MEMBERS.into_iter().find(|(number, _)| *number == key)?;
        Some((name.to_owned(), to_json(value)?))
    });
    named.collect()
}

/// `None` for what getInfo has none of.
fn to_json(value: Cbor) -> Option<Value> {
    if let Some(flag) = value.as_bool() {
        return Some(flag.into());
    }
    if let Some(number) = value.as_integer() {
        return i64::try_from(number).ok().map(Value::from);
    }
    if let Some(text) = value.as_text() {
        return Some(text.into());
    }
    if let Some(bytes) = value.as_bytes() {
        return Some(base16ct::lower::encode_string(bytes).into());
    }
    if let Some(values) = value.as_array() {
        let values = values.iter().cloned().map(to_json);
        return values.collect::<Option<Vec<_>>>().map(Value::from);
    }
    let members = value.into_map().ok()?.into_iter();
    let members = members.map(|(name, value)| Some((name.into_text().ok()?, to_json(value)?)));
    members.collect::<Option<Map<_, _>>>().map(Value::from)
}
