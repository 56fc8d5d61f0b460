//! Records as JSON: what CBOR calls a byte string is `{"hex": "…"}`, the rest is what it is called
//! in both (RFC 8949 §6.1).

use std::fmt;

use ciborium::Value;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor},
    ser,
};
use zeroize::{Zeroize, Zeroizing};

const HEX: &str = "hex";

/// A value with a secret in it: wiped when dropped, never shown.
pub(super) struct Plain(Value);

impl Plain {
    /// `None` for what CBOR cannot hold.
    pub(super) fn of(value: &impl Serialize) -> Option<Self> {
        Value::serialized(value).ok().map(Self)
    }

    /// `None` unless it is one of those.
    pub(super) fn to<T: DeserializeOwned>(&self) -> Option<T> {
        self.0.deserialized().ok()
    }

    fn take(mut self) -> Value {
        std::mem::replace(&mut self.0, Value::Null)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    if let Value::Bytes(bytes) = value {
        bytes.zeroize();
    } else if let Value::Text(text) = value {
        text.zeroize();
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(wipe);
    } else if let Value::Map(members) = value {
        members.iter_mut().for_each(|(_, value)| wipe(value));
    }
}

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown(&self.0).serialize(serializer)
    }
}

struct Shown<'v>(&'v Value);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Integer(number) => {
                let number = i128::from(*number);
                if let Ok(number) = u64::try_from(number) {
                    return serializer.serialize_u64(number);
                }
                let number = i64::try_from(number);
                serializer.serialize_i64(number.map_err(|_| ser::Error::custom("a number"))?)
            }
            Value::Bytes(bytes) => {
                let digits = Zeroizing::new(base16ct::lower::encode_string(bytes));
                serializer.collect_map([(HEX, &*digits)])
            }
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bool(bool) => serializer.serialize_bool(*bool),
            Value::Null => serializer.serialize_unit(),
            Value::Array(items) => serializer.collect_seq(items.iter().map(Shown)),
            Value::Map(members) => {
                // It would be read back as bytes; no record has such a member.
                if let [(Value::Text(name), _)] = members.as_slice()
                    && name == HEX
                {
                    return Err(ser::Error::custom("a map that is taken for bytes"));
                }
                let members = members.iter().map(|(name, value)| {
                    let name = name.as_text();
                    let name = name.ok_or_else(|| ser::Error::custom("a name that is no text"));
                    Ok((name?, Shown(value)))
                });
                let members: Vec<_> = members.collect::<Result<_, _>>()?;
                serializer.collect_map(members)
            }
            Value::Float(_) | Value::Tag(..) | _ => {
                Err(ser::Error::custom("no kind of value that records have"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a record")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain(Value::Bool(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Plain, E> {
        Ok(Plain(Value::Integer(value.into())))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain(Value::Integer(value.into())))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Plain, E> {
        Ok(Plain(Value::Text(value.to_owned())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Plain, E> {
        Ok(Plain(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Plain, A::Error> {
        let mut values = Plain(Value::Array(Vec::new()));
        while let Some(item) = items.next_element::<Plain>()? {
            if let Value::Array(values) = &mut values.0 {
                values.push(item.take());
            }
        }
        Ok(values)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Plain, A::Error> {
        let mut values = Plain(Value::Map(Vec::new()));
        while let Some((name, value)) = members.next_entry::<String, Plain>()? {
            if let Value::Map(values) = &mut values.0 {
                values.push((Value::Text(name), value.take()));
            }
        }
        if let Value::Map(members) = &values.0
            && let [(Value::Text(name), Value::Text(digits))] = members.as_slice()
            && name == HEX
        {
            let bytes = base16ct::mixed::decode_vec(digits);
            let bytes = bytes.map_err(|_| de::Error::custom("digits are wanted"))?;
            return Ok(Plain(Value::Bytes(bytes)));
        }
        Ok(values)
    }
}
