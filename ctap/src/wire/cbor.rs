//! Reading and writing CTAP2 maps, with the status that the standard gives each kind of mistake:
//! not canonical 0x12, another type 0x11, a missing member 0x14.

use ciborium::Value;

use super::{item, strict};
use crate::status::Status;

/// Most answers are no longer, in bytes.
const EMIT_LEN: usize = 512;

/// A map key: an integer beside a parameter, a name inside an entity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Int(i64),
    Name(&'static str),
}

impl From<i64> for Key {
    fn from(key: i64) -> Self {
        Self::Int(key)
    }
}

impl From<&'static str> for Key {
    fn from(key: &'static str) -> Self {
        Self::Name(key)
    }
}

impl Key {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Int(key) => value.as_integer() == Some(key.into()),
            Self::Name(key) => value.as_text() == Some(key),
        }
    }
}

/// The members of a map; unknown ones are left alone.
pub(super) struct Members(Vec<(Value, Value)>);

impl Members {
    /// Checks and decodes a command's parameters.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Status> {
        strict::check(bytes).map_err(|strict::Malformed| Status::InvalidCbor)?;
        Self::from_value(item::read(bytes).ok_or(Status::InvalidCbor)?)
    }

    pub(super) fn from_value(value: Value) -> Result<Self, Status> {
        match value.into_map() {
            Ok(members) => Ok(Self(members)),
            Err(_) => Err(Status::CborUnexpectedType),
        }
    }

    /// The member converted by `convert`, or `None` where it is absent.
    pub(super) fn optional<T>(
        &mut self,
        key: impl Into<Key>,
        convert: fn(Value) -> Result<T, Status>,
    ) -> Result<Option<T>, Status> {
        let key = key.into();
        let Some(at) = self.0.iter().position(|(name, _)| key.is(name)) else {
            return Ok(None);
        };
        convert(self.0.swap_remove(at).1).map(Some)
    }

    /// The same, where absence is a mistake.
    pub(super) fn required<T>(
        &mut self,
        key: impl Into<Key>,
        convert: fn(Value) -> Result<T, Status>,
    ) -> Result<T, Status> {
        self.optional(key, convert)?.ok_or(Status::MissingParameter)
    }
}

/// A whole message's value, for those who only look: `None` for one that no command takes.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    strict::check(bytes).ok()?;
    item::read(bytes)
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, Status> {
    value.into_bytes().map_err(|_| Status::CborUnexpectedType)
}

pub(super) fn text(value: Value) -> Result<String, Status> {
    value.into_text().map_err(|_| Status::CborUnexpectedType)
}

pub(super) fn boolean(value: Value) -> Result<bool, Status> {
    value.into_bool().map_err(|_| Status::CborUnexpectedType)
}

pub(super) fn array(value: Value) -> Result<Vec<Value>, Status> {
    value.into_array().map_err(|_| Status::CborUnexpectedType)
}

/// An integer; one beyond 64 bits is no value that CTAP uses.
pub(super) fn integer(value: Value) -> Result<i64, Status> {
    let integer = value
        .into_integer()
        .map_err(|_| Status::CborUnexpectedType)?;
    i64::try_from(integer).map_err(|_| Status::InvalidParameter)
}

/// An unsigned integer.
pub(super) fn unsigned(value: Value) -> Result<u64, Status> {
    u64::try_from(integer(value)?).map_err(|_| Status::CborUnexpectedType)
}

/// An array converted item by item.
pub(super) fn list<T>(
    value: Value,
    convert: fn(Value) -> Result<T, Status>,
) -> Result<Vec<T>, Status> {
    array(value)?.into_iter().map(convert).collect()
}

/// A map with integer keys, which the caller gives in canonical order: 0 up, then -1 down.
pub(super) fn int_map<const N: usize>(members: [(i64, Value); N]) -> Value {
    Value::Map(
        members
            .into_iter()
            .map(|(key, value)| (Value::from(key), value))
            .collect(),
    )
}

/// A map with text keys, which the caller gives in canonical order: shorter first.
pub(super) fn text_map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Map(
        members
            .into_iter()
            .map(|(key, value)| (Value::from(key), value))
            .collect(),
    )
}

/// A map with text keys in whatever order: the canonical one is made here.
pub(super) fn sorted_text_map(mut members: Vec<(&str, Value)>) -> Value {
    members.sort_by_key(|(key, _)| (key.len(), *key));
    Value::Map(
        members
            .into_iter()
            .map(|(key, value)| (Value::from(key), value))
            .collect(),
    )
}

/// Encodes a value made here.
pub(super) fn emit(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(EMIT_LEN);
    item::write(value, &mut bytes);
    debug_assert!(strict::check(&bytes).is_ok(), "not canonical: {bytes:02x?}");
    bytes
}
