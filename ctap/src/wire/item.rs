//! Values from CBOR that [`strict`](super::strict) has passed, and CBOR from values made here.
//!
//! ciborium goes through serde: 9,400 instructions for a getAssertion's request and 32,000 for
//! getInfo's answer, of 72,000 and 56,000 in all beside the signature. Its [`Value`] stays the
//! type. Deliberately absent: what CTAP2 messages do not hold (floats, tags), which ciborium reads
//! and writes.

use ciborium::Value;

/// Room for this many items is made at once; more only come when they are there.
const ITEMS_AT_ONCE: usize = 16;

/// The value of an item that was checked; `None` for bytes that could not have been.
pub(super) fn read(bytes: &[u8]) -> Option<Value> {
    let mut reader = Reader { rest: bytes };
    let value = reader.item()?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    fn argument(&mut self, info: u8) -> Option<u64> {
        Some(match info {
            0..=23 => info.into(),
            24 => u8::from_be_bytes(self.take_array()?).into(),
            25 => u16::from_be_bytes(self.take_array()?).into(),
            26 => u32::from_be_bytes(self.take_array()?).into(),
            27 => u64::from_be_bytes(self.take_array()?),
            _ => return None,
        })
    }

    /// The check has bounded how deep items nest.
    fn item(&mut self) -> Option<Value> {
        let start = self.rest;
        let [initial] = self.take_array()?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = self.argument(info)?;
        Some(match major {
            0 => Value::from(argument),
            1 => Value::Integer((-1 - i128::from(argument)).try_into().ok()?),
            2 => Value::Bytes(self.take(argument)?.to_vec()),
            3 => Value::Text(std::str::from_utf8(self.take(argument)?).ok()?.to_owned()),
            4 => {
                let mut items = Vec::with_capacity(room(argument));
                for _ in 0..argument {
                    items.push(self.item()?);
                }
                Value::Array(items)
            }
            5 => {
                let mut members = Vec::with_capacity(room(argument));
                for _ in 0..argument {
                    members.push((self.item()?, self.item()?));
                }
                Value::Map(members)
            }
            _ => match initial {
                0xf4 => Value::Bool(false),
                0xf5 => Value::Bool(true),
                // undefined says no more than null to those who read here.
                0xf6 | 0xf7 => Value::Null,
                _ => ciborium::from_reader(start.get(..start.len() - self.rest.len())?).ok()?,
            },
        })
    }
}

fn room(count: u64) -> usize {
    usize::try_from(count).map_or(ITEMS_AT_ONCE, |count| count.min(ITEMS_AT_ONCE))
}

/// Writes a value behind what is there, its members in the order that they have.
pub(super) fn write(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Integer(integer) => match u64::try_from(*integer) {
            Ok(number) => head(0, number, to),
            Err(_) => {
                // CBOR's negative integers have 64 bits, so do ciborium's.
                let number = -1 - i128::from(*integer);
                head(1, u64::try_from(number).unwrap_or(u64::MAX), to);
            }
        },
        Value::Bytes(bytes) => {
            length(2, bytes.len(), to);
            to.extend_from_slice(bytes);
        }
        Value::Text(text) => {
            length(3, text.len(), to);
            to.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            length(4, items.len(), to);
            for item in items {
                write(item, to);
            }
        }
        Value::Map(members) => {
            length(5, members.len(), to);
            for (key, value) in members {
                write(key, to);
                write(value, to);
            }
        }
        Value::Bool(flag) => to.push(if *flag { 0xf5 } else { 0xf4 }),
        Value::Null => to.push(0xf6),
        Value::Float(_) | Value::Tag(..) | _ => {
            // Writing to memory does not fail.
            let written = ciborium::into_writer(value, to);
            debug_assert!(written.is_ok());
        }
    }
}

fn length(major: u8, length: usize, to: &mut Vec<u8>) {
    head(major, u64::try_from(length).unwrap_or(u64::MAX), to);
}

/// Major type and argument in the shortest form.
fn head(major: u8, argument: u64, to: &mut Vec<u8>) {
    let major = major << 5;
    if let Ok(byte) = u8::try_from(argument) {
        if byte <= 23 {
            to.push(major | byte);
        } else {
            to.extend_from_slice(&[major | 24, byte]);
        }
    } else if let Ok(short) = u16::try_from(argument) {
        to.push(major | 25);
        to.extend_from_slice(&short.to_be_bytes());
    } else if let Ok(long) = u32::try_from(argument) {
        to.push(major | 26);
        to.extend_from_slice(&long.to_be_bytes());
    } else {
        to.push(major | 27);
        to.extend_from_slice(&argument.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{
        ChaCha20Rng,
        rand_core::{Rng as _, SeedableRng},
    };

    use super::{super::strict, *};

    fn by_ciborium(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).unwrap();
        bytes
    }

    /// A value of any kind, with numbers of every length.
    fn any(rng: &mut ChaCha20Rng, depth: u32) -> Value {
        let bits = rng.next_u32() % 65;
        let number = rng.next_u64().checked_shr(bits).unwrap_or(0);
        let count = usize::try_from(number % 40).unwrap();
        match rng.next_u32() % if depth < 4 { 9 } else { 7 } {
            0 => Value::from(number),
            1 => Value::Integer((-1 - i128::from(number)).try_into().unwrap()),
            2 => Value::Bytes(vec![7; count * count]),
            3 => Value::Text("é".repeat(count)),
            4 => Value::Bool(number.is_multiple_of(2)),
            5 => Value::Null,
            6 => Value::Float(f64::from(rng.next_u32()) / 4.0),
            7 => Value::Array((0..count).map(|_| any(rng, depth + 1)).collect()),
            _ => {
                let members = (0_u64..)
                    .take(count)
                    .map(|at| (Value::from(at), any(rng, depth + 1)));
                Value::Map(members.collect())
            }
        }
    }

    #[test]
    fn values_are_written_and_read_as_by_ciborium() {
        let mut rng = ChaCha20Rng::from_seed([5; 32]);
        let mut checked = 0;
        for _ in 0..300 {
            let value = any(&mut rng, 0);
            let bytes = by_ciborium(&value);
            let mut written = Vec::new();
            write(&value, &mut written);
            assert_eq!(written, bytes);
            // ciborium writes floats in their shortest form, which are read as they were.
            assert_eq!(read(&bytes), Some(value));
            checked += usize::from(strict::check(&bytes).is_ok());
        }
        assert!(checked > 100, "most are what CTAP allows: {checked}");
    }

    #[test]
    fn whatever_the_check_passes_is_read_as_by_ciborium() {
        let mut rng = ChaCha20Rng::from_seed([6; 32]);
        let mut passed = 0;
        for round in 0..200_000_u32 {
            let mut bytes = [0; 6];
            rng.fill_bytes(&mut bytes);
            let length = usize::try_from(round % 7).unwrap();
            let bytes = bytes.get(..length).unwrap();
            if strict::check(bytes).is_ok() {
                passed += 1;
                let value = ciborium::from_reader(bytes).expect("ciborium takes it");
                let same = read(bytes).map(|read| by_ciborium(&read));
                // NaN is not equal to itself, its bytes are.
                assert_eq!(same, Some(by_ciborium(&value)), "{bytes:02x?}");
            }
        }
        assert!(passed > 1_000, "{passed}");
    }

    #[test]
    fn bytes_that_were_not_checked_are_no_value_or_one() {
        for bytes in [
            b"".as_slice(),
            b"\x18",
            b"\x1c",
            b"\x42\x00",
            b"\x61\xff",
            b"\x9f\xff",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x00",
            b"\xc0\x60",
            b"\x00\x00",
        ] {
            assert_eq!(read(bytes), None, "{bytes:02x?}");
        }
    }
}
