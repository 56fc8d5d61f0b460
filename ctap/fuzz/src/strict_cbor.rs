//! The strict check (CTAP 2.1 §8) against ciborium and a judge of its own: what is accepted is
//! decoded and encoded again to the same bytes, what is refused has a reason, and what is made
//! canonical is accepted until it is spoilt.
//!
//! Input: a byte, even for bytes as they are and odd for a value to make, then these. Not judged:
//! a refused item with floats, whose form a decoded value no longer has, or with `undefined`, which
//! ciborium takes for null.

use arbitrary::{Arbitrary, Unstructured};
use ciborium::Value;
use roamkey_ctap::fuzz::is_canonical;

/// Maps and arrays may be nested this deep (§8).
const MAX_DEPTH: usize = 4;

/// Runs one input.
pub fn run(data: &[u8]) {
    match data.split_first() {
        Some((mode, rest)) if mode & 1 == 0 => judge(rest),
        Some((_, rest)) => drop(make(&mut Unstructured::new(rest))),
        None => {}
    }
}

/// What speaks against bytes.
enum Verdict {
    Canonical,
    Reason(&'static str),
    Unknown,
}

fn judge(bytes: &[u8]) {
    match verdict(bytes) {
        Verdict::Canonical => assert!(is_canonical(bytes), "refused without a reason"),
        Verdict::Reason(reason) => assert!(!is_canonical(bytes), "accepted: {reason}"),
        Verdict::Unknown => {}
    }
}

fn verdict(bytes: &[u8]) -> Verdict {
    let mut rest = bytes;
    let Ok(value) = ciborium::from_reader::<Value, _>(&mut rest) else {
        return Verdict::Reason("ciborium does not read it");
    };
    if !rest.is_empty() {
        return Verdict::Reason("bytes behind it");
    }
    if let Some(reason) = against(&value, 0) {
        return Verdict::Reason(reason);
    }
    if emit(&value) == bytes {
        Verdict::Canonical
    } else if bytes.contains(&0xf7) || has_float(&value) {
        Verdict::Unknown
    } else {
        Verdict::Reason("not its shortest form")
    }
}

fn emit(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("memory takes it");
    bytes
}

fn has_float(value: &Value) -> bool {
    if let Value::Array(items) = value {
        items.iter().any(has_float)
    } else if let Value::Map(members) = value {
        members.iter().any(|(_, value)| has_float(value))
    } else {
        value.is_float()
    }
}

/// A reason against a value, whatever its bytes; `depth` counts what is around it.
fn against(value: &Value, depth: usize) -> Option<&'static str> {
    if value.is_tag() {
        Some("a tag")
    } else if let Some(integer) = value.as_integer() {
        let bound = 1_i128 << 64;
        let fits = (-bound..bound).contains(&i128::from(integer));
        (!fits).then_some("a bignum")
    } else if (value.is_array() || value.is_map()) && depth >= MAX_DEPTH {
        Some("too deep")
    } else if let Some(items) = value.as_array() {
        items.iter().find_map(|item| against(item, depth + 1))
    } else {
        let members = value.as_map()?;
        let inner = || {
            members
                .iter()
                .find_map(|(_, value)| against(value, depth + 1))
        };
        against_keys(members, depth).or_else(inner)
    }
}

/// §8's order, but for Firefox's options: inside another item, `up` may end a map behind `uv`.
fn against_keys(members: &[(Value, Value)], depth: usize) -> Option<&'static str> {
    let keys: Vec<_> = members.iter().map(|(key, _)| key).collect();
    let fits = |key: &&Value| {
        let right = key.is_integer() || key.is_bytes() || key.is_text();
        right && against(key, depth).is_none()
    };
    if !keys.iter().all(fits) {
        return Some("a key of another type");
    }
    let (uv, up) = (Value::from("uv"), Value::from("up"));
    let head = match &keys[..] {
        [head @ .., last_but_one, last]
            if depth > 0 && **last_but_one == uv && **last == up && !head.contains(&&up) =>
        {
            &keys[..keys.len() - 1]
        }
        all => all,
    };
    let place = |key: &Value| {
        let bytes = emit(key);
        (bytes[0] >> 5, bytes.len(), bytes)
    };
    let sorted = head.windows(2).all(|pair| place(pair[0]) < place(pair[1]));
    (!sorted).then_some("keys out of order, or twice")
}

/// Makes a value, has it accepted, spoils it, and has it refused.
fn make(input: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let spoil = input.int_in_range(0..=6)?;
    let value = item(input, 0)?;
    let bytes = emit(&value);
    assert!(is_canonical(&bytes), "{value:?}");
    let (initial, behind) = bytes.split_first().expect("an initial byte");
    let spoilt = match spoil {
        0 => [&bytes, &[0][..]].concat(),
        1 => bytes[..bytes.len() - 1].to_vec(),
        2 => [&[0x81; MAX_DEPTH][..], &[0x81], &bytes].concat(),
        3 => [&[0xc0], &bytes[..]].concat(),
        4 => [&[0x9f], &bytes[..], &[0xff]].concat(),
        // A longer form of the first head.
        5 if initial & 0x1f < 24 && initial >> 5 < 6 => {
            [&[initial & 0xe0 | 24, initial & 0x1f], behind].concat()
        }
        // Keys that come twice.
        _ => [&[0xa2, 0x01][..], &bytes, &[0x01], &bytes].concat(),
    };
    assert!(!is_canonical(&spoilt), "{spoilt:02x?} of {value:?}");
    Ok(())
}

fn item(input: &mut Unstructured<'_>, depth: usize) -> arbitrary::Result<Value> {
    let kinds = if depth < MAX_DEPTH { 6 } else { 4 };
    Ok(match input.int_in_range(0..=kinds)? {
        0 => Value::from(u64::arbitrary(input)?),
        1 => Value::from(i64::arbitrary(input)?),
        2 => Value::from(<&[u8]>::arbitrary(input)?),
        3 => Value::from(<&str>::arbitrary(input)?),
        4 => Value::from(bool::arbitrary(input)?),
        5 => {
            let count = input.int_in_range(0..=4)?;
            let items = (0..count).map(|_| item(input, depth + 1));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        _ => {
            let mut members = Vec::new();
            for _ in 0..input.int_in_range(0..=4)? {
                members.push((key(input)?, item(input, depth + 1)?));
            }
            members.sort_by_key(|(key, _)| {
                let bytes = emit(key);
                (bytes[0] >> 5, bytes.len(), bytes)
            });
            members.dedup_by(|one, other| one.0 == other.0);
            Value::Map(members)
        }
    })
}

fn key(input: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    Ok(match input.int_in_range(0..=2)? {
        0 => Value::from(i64::arbitrary(input)?),
        1 => Value::from(<&[u8]>::arbitrary(input)?),
        _ => Value::from(<&str>::arbitrary(input)?),
    })
}
