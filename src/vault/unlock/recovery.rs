//! Recovery codes: 128 random bits for a sheet of paper, as 28 characters of Crockford's base32
//! (<https://www.crockford.com/base32.html>) in groups of 4.
//!
//! The last 12 bits are a checksum, so that a slip of the pen is told from a code that was
//! replaced. Deliberately absent: Crockford's own check symbol, which has characters that are not
//! letters and digits and covers 5 bits only.

use std::{error, fmt};

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::UnlockError;

/// Crockford's digits: no I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Length of the secret, in bytes.
const SECRET_LEN: usize = 16;
/// Characters of a code without the hyphens: 140 bits.
const CHARACTERS: usize = 28;
/// Characters of a group.
const GROUP: usize = 4;
/// Secret and checksum as bytes; the last 4 bits are none of a code's and zero.
const PACKED_LEN: usize = 18;

/// A code that opens a vault, for a sheet of paper in a drawer: wiped when dropped; only its
/// `Display` shows it.
#[derive(Clone)]
pub struct RecoveryCode(Zeroizing<[u8; SECRET_LEN]>);

/// Why a text is no recovery code. It never repeats what was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeError {
    /// It has so many characters, hyphens and spaces apart, and not 28.
    Length(usize),
    /// The character at this position, hyphens and spaces apart, is in no code. Counted from 1.
    Character(usize),
    /// The checksum does not fit: at least one character is wrong.
    Checksum,
}

impl RecoveryCode {
    /// A new one, from the operating system's randomness.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn random() -> Result<Self, UnlockError> {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        getrandom::fill(secret.as_mut_slice())?;
        Ok(Self(secret))
    }

    /// Reads what a person typed: in either case, with or without hyphens and spaces, with O for
    /// 0 and I or L for 1.
    ///
    /// # Errors
    /// What is wrong with the text; 1 of 4096 texts with a slip passes for another code.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let mut packed = Zeroizing::new([0; PACKED_LEN]);
        let mut unpacked = Bits::default();
        let mut bytes = packed.iter_mut();
        let mut count = 0;
        for typed in text.chars().filter(|typed| !is_separator(*typed)) {
            count += 1;
            let digit = digit(typed).ok_or(CodeError::Character(count))?;
            unpacked.push(digit, 5);
            if let Some(byte) = unpacked.take(8) {
                // Past the end there is nothing to keep: the length is wrong.
                if let Some(place) = bytes.next() {
                    *place = byte;
                }
            }
        }
        if count != CHARACTERS {
            return Err(CodeError::Length(count));
        }
        // 28 characters are 17 bytes and a half.
        unpacked.push(0, 4);
        if let (Some(byte), Some(place)) = (unpacked.take(8), bytes.next()) {
            *place = byte;
        }
        let (secret, checksum) = packed
            .split_first_chunk::<SECRET_LEN>()
            .ok_or(CodeError::Length(count))?;
        let code = Self(Zeroizing::new(*secret));
        if checksum == code.checksum() {
            Ok(code)
        } else {
            Err(CodeError::Checksum)
        }
    }

    pub(super) fn secret(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }

    /// The first 12 bits of a hash, and 4 zeros.
    fn checksum(&self) -> [u8; 2] {
        let mut hasher = Sha256::new();
        hasher.update(b"roamkey recovery code v1");
        hasher.update(self.0.as_slice());
        let [first, second, ..] = <[u8; 32]>::from(hasher.finalize());
        [first, second & 0xf0]
    }
}

impl fmt::Display for RecoveryCode {
    /// 7 groups of 4 characters with hyphens between, such as `0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV`.
    /// For the person who asked for it, and nobody and nothing else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;

        let mut bits = Bits::default();
        let mut count = 0;
        for byte in self.0.iter().copied().chain(self.checksum()) {
            bits.push(byte, 8);
            while let Some(digit) = bits.take(5) {
                if count > 0 && count % GROUP == 0 {
                    f.write_char('-')?;
                }
                let character = DIGITS.get(usize::from(digit)).ok_or(fmt::Error)?;
                f.write_char(char::from(*character))?;
                count += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(0) => f.write_str("the recovery code is empty: type it"),
            Self::Length(count) => write!(
                f,
                "a recovery code has {CHARACTERS} letters and digits, and {count} were typed: \
                 compare them with the sheet"
            ),
            Self::Character(position) => write!(
                f,
                "character {position} of the recovery code, in group {}, is neither a digit nor a \
                 letter that codes have: compare it with the sheet",
                position.saturating_sub(1) / GROUP + 1
            ),
            Self::Checksum => f.write_str(
                "the recovery code has a typing error: a character is wrong or two are swapped; \
                 compare it with the sheet",
            ),
        }
    }
}

impl error::Error for CodeError {}

/// Bits on their way between bytes and digits, the first one uppermost.
#[derive(Default, Zeroize)]
#[zeroize(drop)]
struct Bits {
    waiting: u32,
    count: u32,
}

impl Bits {
    /// At most 7 bits wait when the next `count <= 8` come.
    fn push(&mut self, bits: u8, count: u32) {
        self.waiting = self.waiting << count | u32::from(bits);
        self.count += count;
    }

    /// The first `count <= 8` bits; `None` if there are fewer.
    fn take(&mut self, count: u32) -> Option<u8> {
        self.count = self.count.checked_sub(count)?;
        let taken = self.waiting >> self.count & ((1 << count) - 1);
        self.waiting &= (1 << self.count) - 1;
        u8::try_from(taken).ok()
    }
}

/// What people and word processors put between the groups.
fn is_separator(typed: char) -> bool {
    typed.is_whitespace() || matches!(typed, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

fn digit(typed: char) -> Option<u8> {
    let upper = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let index = DIGITS
        .iter()
        .position(|digit| char::from(*digit) == upper)?;
    u8::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use rand_chacha::{
        ChaCha20Rng,
        rand_core::{Rng, SeedableRng},
    };

    use super::*;

    fn code(secret: [u8; SECRET_LEN]) -> RecoveryCode {
        RecoveryCode(Zeroizing::new(secret))
    }

    fn error(text: &str) -> Option<CodeError> {
        RecoveryCode::parse(text).err()
    }

    #[test]
    fn code_is_seven_groups_of_its_bits() {
        // Worked out by hand but for the checksum: 16 bytes 00 01 02 .. are 25 digits and 3 bits.
        let mut counter = 0..;
        let counted = [(); SECRET_LEN].map(|()| counter.next().expect("a byte"));
        let text = code(counted).to_string();
        assert_eq!(text.len(), 34);
        assert!(
            text.starts_with("000G-40R4-0M30-E209-185G-R38E-1"),
            "{text}"
        );
        let text = code([0xff; SECRET_LEN]).to_string();
        assert!(
            text.starts_with("ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-Z"),
            "{text}"
        );
    }

    #[test]
    fn typed_code_is_read_back_however_it_is_spelled() {
        let wanted = RecoveryCode::random().expect("randomness");
        let text = wanted.to_string();
        let spellings = [
            text.clone(),
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            text.replace('-', "\u{2013}"),
            format!("  {text}\r\n"),
            text.replace('0', "O").replace('1', "I"),
            text.replace('0', "o").replace('1', "l"),
        ];
        for spelling in spellings {
            let read = RecoveryCode::parse(&spelling).expect("a code");
            assert_eq!(read.secret(), wanted.secret(), "{spelling}");
        }
    }

    #[test]
    fn what_is_no_code_is_told_without_repeating_it() {
        let text = code([7; SECRET_LEN]).to_string();
        assert_eq!(error(""), Some(CodeError::Length(0)));
        assert_eq!(error(text.split_at(1).1), Some(CodeError::Length(27)));
        assert_eq!(error(&format!("{text}0")), Some(CodeError::Length(29)));
        assert_eq!(
            error(&"0".repeat(100_000)),
            Some(CodeError::Length(100_000))
        );
        for bad in ["U", "!", "é", "\u{0}"] {
            let (front, back) = text.split_at(5);
            let text = format!("{front}{bad}{}", back.split_at(1).1);
            assert_eq!(error(&text), Some(CodeError::Character(5)), "{bad:?}");
        }
        let said = CodeError::Character(5).to_string();
        assert!(
            said.contains("character 5") && said.contains("group 2"),
            "{said}"
        );
    }

    /// The checksum has 12 bits, so that 1 of 4096 slips goes unseen; here is counted how many do.
    #[test]
    fn slips_of_the_pen_are_seen() {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("randomness");
        let shown = base16ct::lower::encode_string(&seed);
        let mut rng = ChaCha20Rng::from_seed(seed);
        let (mut slips, mut unseen) = (0_u32, 0_u32);
        for _ in 0..40 {
            let mut secret = [0; SECRET_LEN];
            rng.fill_bytes(&mut secret);
            let text: Vec<u8> = code(secret).to_string().replace('-', "").into();
            let mut judge = |slipped: &[u8]| {
                slips += 1;
                match error(std::str::from_utf8(slipped).expect("ASCII")) {
                    Some(CodeError::Checksum) => {}
                    None => unseen += 1,
                    other => panic!("{other:?}, seed {shown}"),
                }
            };
            for at in 0..CHARACTERS {
                for digit in DIGITS.iter().filter(|digit| **digit != text[at]) {
                    let mut slipped = text.clone();
                    slipped[at] = *digit;
                    judge(&slipped);
                }
                if at > 0 && text[at] != text[at - 1] {
                    let mut slipped = text.clone();
                    slipped.swap(at, at - 1);
                    judge(&slipped);
                }
            }
        }
        // About 35,000 slips: 9 unseen are expected, and 40 are hopeless.
        assert!(slips > 30_000, "{slips}");
        assert!(
            unseen < 40,
            "{unseen} of {slips} slips pass for another code, seed {shown}"
        );
    }

    #[test]
    fn slips_in_the_checksum_alone_are_always_seen() {
        let text = code([9; SECRET_LEN]).to_string();
        for at in [text.len() - 1, text.len() - 2] {
            for digit in DIGITS {
                let mut slipped = text.clone().into_bytes();
                if slipped[at] != *digit {
                    slipped[at] = *digit;
                    let slipped = String::from_utf8(slipped).expect("ASCII");
                    assert_eq!(error(&slipped), Some(CodeError::Checksum), "{slipped}");
                }
            }
        }
    }
}
