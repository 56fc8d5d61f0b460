//! Responses whose CBOR is wrong on purpose (what is right: CTAP 2.1 §8).
//!
//! Each takes and gives a whole response message, and leaves alone what it cannot change: a status
//! without CBOR has none to damage.

use ciborium::Value;

use super::cbor;
use crate::{hid::MAX_MESSAGE_LEN, status::Status};

/// A member that no response has, behind all that one may have.
const UNKNOWN_MEMBER: u16 = 0xffff;

/// The CBOR ends a byte early.
pub(crate) fn truncated(mut response: Vec<u8>) -> Vec<u8> {
    if response.len() > 1 {
        response.pop();
    }
    response
}

/// A long unknown member makes the message as long as CTAPHID carries; success without CBOR gets
/// a map of that alone.
pub(crate) fn oversized(response: Vec<u8>) -> Vec<u8> {
    let members = match response.as_slice() {
        [] => None,
        [status] if *status == Status::Ok.code() => Some(Vec::new()),
        [_, body @ ..] => map(body),
    };
    let Some(mut members) = members else {
        return response;
    };
    let mut padded = |length| {
        members.push((Value::from(UNKNOWN_MEMBER), Value::Bytes(vec![0; length])));
        let body = cbor::emit(&Value::Map(members.clone()));
        members.pop();
        super::response(Ok(Some(body)))
    };
    let room = MAX_MESSAGE_LEN.saturating_sub(padded(0).len());
    // How many bytes more the length of the member takes than that of an empty one.
    let length_len = match room {
        0..=23 => 0,
        24..=256 => 1,
        _ => 2,
    };
    let padded = padded(room - length_len);
    // Without room for the member the response is as long as it may be already.
    if padded.len() <= MAX_MESSAGE_LEN {
        padded
    } else {
        response
    }
}

/// The same values, with the members backwards, or with a length that is not the shortest where
/// there is one member and room for a byte.
pub(crate) fn non_canonical(response: Vec<u8>) -> Vec<u8> {
    match response.as_slice() {
        // A map of one (RFC 8949 §3.1).
        [status, 0xa1, member @ ..] if response.len() < MAX_MESSAGE_LEN => {
            [&[*status, 0xb8, 1], member].concat()
        }
        [status, body @ ..] => match map(body) {
            Some(mut members) if members.len() > 1 => {
                members.reverse();
                let mut response = vec![*status];
                let written = ciborium::into_writer(&Value::Map(members), &mut response);
                debug_assert!(written.is_ok());
                response
            }
            Some(_) | None => response,
        },
        [] => response,
    }
}

fn map(body: &[u8]) -> Option<Vec<(Value, Value)>> {
    let value: Value = ciborium::from_reader(body).ok()?;
    value.into_map().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::strict, *};

    fn response(members: &[(i64, Value)]) -> Vec<u8> {
        let members = members.iter();
        let members = members.map(|(key, value)| (Value::from(*key), value.clone()));
        super::super::response(Ok(Some(cbor::emit(&Value::Map(members.collect())))))
    }

    fn samples() -> Vec<Vec<u8>> {
        let text = Value::from("FIDO_2_1");
        let nested = cbor::int_map([(1, Value::from(2)), (3, Value::from(-7))]);
        vec![
            response(&[(1, text.clone())]),
            response(&[(1, text.clone()), (2, nested.clone())]),
            response(&[(1, nested), (5, text), (0x14, Value::from(1_000))]),
        ]
    }

    #[test]
    fn truncated_cbor_does_not_decode() {
        for sample in samples() {
            let damaged = truncated(sample.clone());
            assert_eq!(damaged[..], sample[..sample.len() - 1]);
            assert_eq!(map(&damaged[1..]), None);
        }
    }

    #[test]
    fn oversized_cbor_is_canonical_and_as_long_as_ctaphid_carries() {
        for sample in samples() {
            let damaged = oversized(sample.clone());
            assert_eq!(damaged.len(), MAX_MESSAGE_LEN);
            assert_eq!(damaged[0], 0);
            assert_eq!(strict::check(&damaged[1..]), Ok(()));
            let mut members = map(&damaged[1..]).expect("a map");
            members.pop();
            assert_eq!(Some(members), map(&sample[1..]));
        }
        assert_eq!(oversized(vec![0]).len(), MAX_MESSAGE_LEN);
    }

    #[test]
    fn oversized_map_of_one_has_no_room_to_be_non_canonical() {
        let full = oversized(vec![Status::Ok.code()]);
        assert_eq!((full.len(), full[1]), (MAX_MESSAGE_LEN, 0xa1));
        assert_eq!(non_canonical(full.clone()), full);
    }

    #[test]
    fn oversized_never_passes_what_ctaphid_carries() {
        for blob in 7_200..MAX_MESSAGE_LEN - 6 {
            let sample = response(&[(1, Value::Bytes(vec![7; blob]))]);
            let damaged = oversized(sample.clone());
            assert!(damaged.len() >= sample.len());
            assert!(damaged.len() <= MAX_MESSAGE_LEN);
            assert_eq!(strict::check(&damaged[1..]), Ok(()));
        }
    }

    #[test]
    fn non_canonical_cbor_has_the_same_values() {
        for sample in samples() {
            let damaged = non_canonical(sample.clone());
            assert_eq!(strict::check(&damaged[1..]), Err(strict::Malformed));
            let mut members = map(&damaged[1..]).expect("a map");
            members.sort_by_key(|(key, _)| key.as_integer());
            assert_eq!(Some(members), map(&sample[1..]));
        }
    }

    #[test]
    fn status_without_cbor_stays_as_it_is() {
        for damage in [truncated, non_canonical] {
            assert_eq!(damage(vec![0x2e]), [0x2e]);
            assert_eq!(damage(vec![0]), [0]);
            assert_eq!(damage(Vec::new()), []);
        }
        assert_eq!(oversized(vec![0x2e]), [0x2e]);
        assert_eq!(oversized(Vec::new()), []);
    }
}
