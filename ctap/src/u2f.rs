//! CTAP1/U2F messages: APDUs in, APDUs out (FIDO U2F raw message formats 1.2 §3 to §5).
//!
//! Both the extended and the short length encoding are understood. Deliberately absent: what is
//! decided about a request.

#[cfg(test)]
mod tests;

use crate::credential::RpIdHash;

/// Status words (§3.3, and ISO 7816-4 for the rest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum StatusWord {
    NoError = 0x9000,
    ConditionsNotSatisfied = 0x6985,
    /// SW_COMMAND_NOT_ALLOWED: alwaysUv leaves no U2F (CTAP 2.1 §7.2.4).
    CommandNotAllowed = 0x6986,
    WrongData = 0x6a80,
    WrongLength = 0x6700,
    ClaNotSupported = 0x6e00,
    InsNotSupported = 0x6d00,
    /// SW_UNKNOWN: something went wrong that is not the client's fault.
    Unknown = 0x6f00,
}

impl StatusWord {
    const ALL: [Self; 8] = [
        Self::NoError,
        Self::ConditionsNotSatisfied,
        Self::CommandNotAllowed,
        Self::WrongData,
        Self::WrongLength,
        Self::ClaNotSupported,
        Self::InsNotSupported,
        Self::Unknown,
    ];

    /// The word as it goes on the wire.
    pub(crate) const fn code(self) -> u16 {
        self as u16
    }

    /// The word of a number; `None` for one that no key of ours answers.
    pub(crate) fn from_code(code: u16) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|word| word.code() == code)
    }

    /// Its name in the raw message formats, or its meaning in ISO 7816-4 in the same style.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NoError => "SW_NO_ERROR",
            Self::ConditionsNotSatisfied => "SW_CONDITIONS_NOT_SATISFIED",
            Self::CommandNotAllowed => "SW_COMMAND_NOT_ALLOWED",
            Self::WrongData => "SW_WRONG_DATA",
            Self::WrongLength => "SW_WRONG_LENGTH",
            Self::ClaNotSupported => "SW_CLA_NOT_SUPPORTED",
            Self::InsNotSupported => "SW_INS_NOT_SUPPORTED",
            Self::Unknown => "SW_UNKNOWN",
        }
    }

    /// A response of this word alone.
    pub(crate) fn emit(self) -> Vec<u8> {
        self.code().to_be_bytes().to_vec()
    }
}

/// The control byte of an authentication (§5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// 0x07: whether the handle is one of this key.
    CheckOnly,
    /// 0x03: sign after a touch.
    EnforceUserPresence,
    /// 0x08: sign without one.
    DontEnforceUserPresence,
}

/// U2F_REGISTER (§4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Register {
    pub(crate) challenge: [u8; 32],
    pub(crate) application: RpIdHash,
}

/// U2F_AUTHENTICATE (§5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authenticate {
    pub(crate) control: Control,
    pub(crate) challenge: [u8; 32],
    pub(crate) application: RpIdHash,
    pub(crate) key_handle: Vec<u8>,
}

/// A U2F request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// U2F_VERSION (§6).
    Version,
    Register(Register),
    Authenticate(Authenticate),
}

impl Request {
    /// Parses a CTAPHID_MSG payload; the error is the answer.
    pub(crate) fn parse(apdu: &[u8]) -> Result<Self, StatusWord> {
        let ([cla, ins, p1, _p2], body) = apdu
            .split_first_chunk::<4>()
            .ok_or(StatusWord::WrongLength)?;
        if *cla != 0 {
            return Err(StatusWord::ClaNotSupported);
        }
        let data = command_data(body).ok_or(StatusWord::WrongLength)?;
        match ins {
            0x01 => register(data),
            0x02 => authenticate(*p1, data),
            0x03 if data.is_empty() => Ok(Self::Version),
            0x03 => Err(StatusWord::WrongLength),
            _ => Err(StatusWord::InsNotSupported),
        }
    }
}

/// What stands between the header and Le (ISO 7816-4 §5.1), in either encoding.
fn command_data(body: &[u8]) -> Option<&[u8]> {
    match body {
        // No data; a short or an extended Le may stand alone.
        [] | [_] | [0, _, _] => Some(&[]),
        // Extended: 00 and two bytes of Lc, the data, two bytes of Le or none.
        [0, high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (data, le) = rest.split_at_checked(length)?;
            matches!(le.len(), 0 | 2).then_some(data)
        }
        // Short: one byte of Lc, the data, one byte of Le or none.
        [length, rest @ ..] => {
            let (data, le) = rest.split_at_checked(usize::from(*length))?;
            (le.len() <= 1).then_some(data)
        }
    }
}

fn register(data: &[u8]) -> Result<Request, StatusWord> {
    let (challenge, application) = data
        .split_first_chunk::<32>()
        .ok_or(StatusWord::WrongLength)?;
    Ok(Request::Register(Register {
        challenge: *challenge,
        application: RpIdHash(
            application
                .try_into()
                .map_err(|_| StatusWord::WrongLength)?,
        ),
    }))
}

fn authenticate(p1: u8, data: &[u8]) -> Result<Request, StatusWord> {
    let control = match p1 {
        0x07 => Control::CheckOnly,
        0x03 => Control::EnforceUserPresence,
        0x08 => Control::DontEnforceUserPresence,
        _ => return Err(StatusWord::WrongData),
    };
    let parts = data
        .split_first_chunk::<32>()
        .and_then(|(challenge, rest)| {
            let (application, rest) = rest.split_first_chunk::<32>()?;
            let (length, key_handle) = rest.split_first()?;
            Some((challenge, application, usize::from(*length), key_handle))
        });
    match parts {
        Some((challenge, application, length, key_handle)) if key_handle.len() == length => {
            Ok(Request::Authenticate(Authenticate {
                control,
                challenge: *challenge,
                application: RpIdHash(*application),
                key_handle: key_handle.to_vec(),
            }))
        }
        Some(_) | None => Err(StatusWord::WrongLength),
    }
}

/// U2F_VERSION's answer (§6.1).
pub(crate) fn version_response() -> Vec<u8> {
    success(b"U2F_V2".to_vec())
}

/// U2F_REGISTER's answer (§4.3).
pub(crate) struct Registration<'a> {
    /// Uncompressed point.
    pub(crate) public_key: &'a [u8; 65],
    pub(crate) key_handle: &'a [u8; 64],
    /// X.509, DER.
    pub(crate) certificate: &'a [u8],
    /// DER.
    pub(crate) signature: &'a [u8],
}

impl Registration<'_> {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut response = vec![0x05];
        response.extend(self.public_key);
        response.push(u8::try_from(self.key_handle.len()).unwrap_or(u8::MAX));
        response.extend(self.key_handle);
        response.extend(self.certificate);
        response.extend(self.signature);
        success(response)
    }
}

/// U2F_AUTHENTICATE's answer (§5.4).
pub(crate) struct Authentication<'a> {
    pub(crate) user_present: bool,
    pub(crate) counter: u32,
    /// DER.
    pub(crate) signature: &'a [u8],
}

impl Authentication<'_> {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut response = vec![u8::from(self.user_present)];
        response.extend(self.counter.to_be_bytes());
        response.extend(self.signature);
        success(response)
    }
}

fn success(mut response: Vec<u8>) -> Vec<u8> {
    response.extend(StatusWord::NoError.emit());
    response
}
