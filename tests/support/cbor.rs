//! CTAP2 canonical CBOR (CTAP 2.1 §8) as a platform writes and checks it.

use ciborium::Value;

/// A map in canonical order, whatever order it is given in.
pub(crate) fn map<K: Into<Value>>(members: impl IntoIterator<Item = (K, Value)>) -> Value {
    let members = members.into_iter().map(|(key, value)| (key.into(), value));
    let mut members: Vec<(Value, Value)> = members.collect();
    members.sort_by_key(|(key, _)| order(key));
    Value::Map(members)
}

/// By major type, then shorter first, then byte for byte.
fn order(key: &Value) -> (u8, usize, Vec<u8>) {
    let bytes = emit(key);
    (bytes[0] >> 5, bytes.len(), bytes)
}

pub(crate) fn emit(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("memory takes it");
    bytes
}

/// Decodes what the key sent, which must be canonical, with nothing behind it.
pub(crate) fn parse(bytes: &[u8]) -> Value {
    let value: Value = ciborium::from_reader(bytes).expect("CBOR");
    assert_eq!(emit(&sorted(value.clone())), bytes, "canonical CBOR");
    value
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Map(members) => map(members.into_iter().map(|(key, value)| (key, sorted(value)))),
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// The member of a map.
pub(crate) fn member(value: &Value, key: impl Into<Value>) -> Option<Value> {
    let key = key.into();
    let members = value.as_map().expect("a map").iter();
    let mut found = members.filter(|(name, _)| *name == key);
    let (_, value) = found.next()?;
    assert!(found.next().is_none(), "a key twice");
    Some(value.clone())
}

pub(crate) fn bytes(value: Option<Value>) -> Vec<u8> {
    value
        .expect("a member")
        .into_bytes()
        .expect("a byte string")
}

pub(crate) fn unsigned(value: Option<Value>) -> u64 {
    let integer = value.expect("a member").into_integer().expect("an integer");
    integer.try_into().expect("an unsigned integer")
}

pub(crate) fn text(value: Option<Value>) -> String {
    value.expect("a member").into_text().expect("a text string")
}
