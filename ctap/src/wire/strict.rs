//! CTAP2 canonical CBOR (CTAP 2.1 §8): checked before anything is decoded, so that what follows
//! meets only well-formed, bounded input.
//!
//! Deliberately absent: values. This reads shapes only and allocates nothing.

/// Maps and arrays may be nested this deep (§8).
const MAX_DEPTH: u8 = 4;

/// Deviation: Firefox (its crate `authenticator`, 0.5) ends a request's options with `uv`, `up`,
/// which §8 has the other way round. Keys that are sold take it, so this pair alone may stand so,
/// inside another map; else no Firefox verifies anybody with a CTAP 2.0 key.
const UV: &[u8] = b"\x62uv";
const UP: &[u8] = b"\x62up";

/// The bytes are not one item of CTAP2 canonical CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Checks that `bytes` are exactly one item: integers and lengths in their shortest form, map keys
/// sorted and different, text in UTF-8, nothing of indefinite length, no tags.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader { rest: bytes };
    reader.item(0)?;
    if reader.rest.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Major type and argument, which must be in its shortest form.
    fn head(&mut self) -> Result<(u8, u8, u64), Malformed> {
        let [initial] = self.take_array()?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        let (argument, least) = match info {
            0..=23 => (u64::from(info), 0),
            24 => (u64::from(u8::from_be_bytes(self.take_array()?)), 24),
            25 => (
                u64::from(u16::from_be_bytes(self.take_array()?)),
                u64::from(u8::MAX) + 1,
            ),
            26 => (
                u64::from(u32::from_be_bytes(self.take_array()?)),
                u64::from(u16::MAX) + 1,
            ),
            27 => (
                u64::from_be_bytes(self.take_array()?),
                u64::from(u32::MAX) + 1,
            ),
            _ => return Err(Malformed),
        };
        // The argument of major type 7 is a float, whose form says its precision.
        if argument < least && major != 7 {
            return Err(Malformed);
        }
        Ok((major, info, argument))
    }

    /// `depth` is the number of maps and arrays around the item.
    fn item(&mut self, depth: u8) -> Result<(), Malformed> {
        let (major, info, argument) = self.head()?;
        match major {
            0 | 1 => Ok(()),
            2 => self.take(argument).map(drop),
            3 => {
                let text = self.take(argument)?;
                std::str::from_utf8(text).map(drop).map_err(|_| Malformed)
            }
            4 | 5 if depth >= MAX_DEPTH => Err(Malformed),
            4 => {
                for _ in 0..self.count(argument)? {
                    self.item(depth + 1)?;
                }
                Ok(())
            }
            5 => self.map(self.count(argument)?, depth + 1),
            // false, true, null, undefined, and floats; tags (major type 6) are not allowed.
            7 if matches!(info, 20..=23 | 25..=27) => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// Every item takes a byte at least, so a count beyond the rest is refused before any work.
    fn count(&self, argument: u64) -> Result<usize, Malformed> {
        usize::try_from(argument)
            .ok()
            .filter(|count| *count <= self.rest.len())
            .ok_or(Malformed)
    }

    fn map(&mut self, count: usize, depth: u8) -> Result<(), Malformed> {
        let mut previous: Option<&[u8]> = None;
        let mut has_up = false;
        for left in (0..count).rev() {
            let start = self.rest;
            self.item(depth)?;
            let length = start.len() - self.rest.len();
            let key = start.get(..length).ok_or(Malformed)?;
            let ordered = previous.is_none_or(|previous| order(previous) < order(key));
            let ends_with_up = left == 0 && !has_up && (previous, key) == (Some(UV), UP);
            if !is_key(key) || !(ordered || ends_with_up && depth > 1) {
                return Err(Malformed);
            }
            has_up |= key == UP;
            previous = Some(key);
            self.item(depth)?;
        }
        Ok(())
    }
}

/// Map keys are integers or strings: CTAP uses no other, and §8 gives no order for them.
fn is_key(key: &[u8]) -> bool {
    key.first().is_some_and(|initial| initial >> 5 <= 3)
}

/// §8: by major type, then shorter first, then byte for byte.
fn order(key: &[u8]) -> (u8, usize, &[u8]) {
    (
        key.first().copied().unwrap_or_default() >> 5,
        key.len(),
        key,
    )
}
