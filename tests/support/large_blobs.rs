//! A platform's side of authenticatorLargeBlobs (CTAP 2.1 §6.10).

use ciborium::Value;

use super::{
    cbor,
    ctap2::{LARGE_BLOBS, Outcome, sha256},
    ctaphid::{Channel, Platform},
    pin::Token,
};

/// The array of a new key, as the standard writes it out.
pub(crate) const INITIAL: [u8; 17] = [
    0x80, 0x76, 0xbe, 0x8b, 0x52, 0x8d, 0x00, 0x75, 0xf7, 0xaa, 0xe9, 0x8d, 0x6f, 0xa5, 0x7a, 0x6d,
    0x3c,
];

/// An array of `length` bytes, the hash at its end among them, that no other seed gives.
pub(crate) fn array(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![seed; length - 16];
    bytes.extend(&sha256(&bytes)[..16]);
    bytes
}

fn number(number: usize) -> Value {
    Value::from(u64::try_from(number).expect("64 bits"))
}

/// The parameters of a write.
pub(crate) fn set(
    bytes: &[u8],
    offset: usize,
    length: Option<usize>,
    token: Option<&Token>,
) -> Vec<(i64, Value)> {
    let mut members = vec![(2, Value::from(bytes)), (3, number(offset))];
    members.extend(length.map(|length| (4, number(length))));
    if let Some(token) = token {
        let offset = u32::try_from(offset).expect("an offset of four bytes");
        let mut message = vec![0xff; 32];
        message.extend([LARGE_BLOBS, 0]);
        message.extend(offset.to_le_bytes());
        message.extend(sha256(bytes));
        members.push((5, Value::from(token.param(&message))));
        members.push((6, Value::from(token.protocol.number())));
    }
    members
}

impl Platform {
    /// authenticatorLargeBlobs with parameters as they are.
    pub(crate) fn large_blobs(
        &mut self,
        channel: Channel,
        members: Vec<(i64, Value)>,
    ) -> Outcome<Value> {
        self.ctap2(channel, LARGE_BLOBS, Some(&cbor::map(members)))
    }

    /// Reads a part of the array.
    pub(crate) fn read_blobs(
        &mut self,
        channel: Channel,
        offset: usize,
        count: usize,
    ) -> Outcome<Vec<u8>> {
        let members = vec![(1, number(count)), (3, number(offset))];
        let value = self.large_blobs(channel, members)?;
        assert_eq!(value.as_map().map(Vec::len), Some(1), "config alone");
        Ok(cbor::bytes(cbor::member(&value, 1)))
    }

    /// Reads the whole array in parts of `fragment` bytes at most.
    pub(crate) fn read_all_blobs(&mut self, channel: Channel, fragment: usize) -> Vec<u8> {
        let mut array = Vec::new();
        loop {
            let part = self.read_blobs(channel, array.len(), fragment);
            let part = part.expect("a part");
            array.extend(&part);
            if part.len() < fragment {
                return array;
            }
        }
    }

    /// Writes a part of an array; the first one tells the array's length.
    pub(crate) fn write_blobs(
        &mut self,
        channel: Channel,
        part: &[u8],
        offset: usize,
        length: Option<usize>,
        token: Option<&Token>,
    ) -> Outcome<()> {
        let value = self.large_blobs(channel, set(part, offset, length, token))?;
        assert_eq!(value, Value::Null, "a write answers nothing");
        Ok(())
    }

    /// Writes a whole array in parts of `fragment` bytes at most.
    pub(crate) fn write_all_blobs(
        &mut self,
        channel: Channel,
        array: &[u8],
        fragment: usize,
        token: Option<&Token>,
    ) -> Outcome<()> {
        for (number, part) in array.chunks(fragment).enumerate() {
            let length = (number == 0).then_some(array.len());
            self.write_blobs(channel, part, number * fragment, length, token)?;
        }
        Ok(())
    }
}
