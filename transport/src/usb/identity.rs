//! What tells one key from another on the bus: ids, version, strings and polling interval.
//!
//! Absent: where these come from (the profile) and whether two keys share a serial.

use std::fmt;

/// The longest string that a descriptor holds: bLength is one byte (USB 2.0 §9.6.7).
const STRING_LIMIT: usize = 126;

/// What an [`Identity`] is made of. The default is pid.codes' test id without a serial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFields {
    /// idVendor.
    pub vendor_id: u16,
    /// idProduct.
    pub product_id: u16,
    /// bcdDevice: 0x0100 is 1.00.
    pub device_bcd: u16,
    /// iManufacturer; empty for none.
    pub manufacturer: String,
    /// iProduct; empty for none.
    pub product: String,
    /// iSerialNumber; empty for none. The same at every start, since Windows keeps a device
    /// node for each, and another for every key.
    pub serial: String,
    /// bInterval of both interrupt endpoints. Windows' client asserts that it is not 0.
    pub interval_ms: u8,
}

impl Default for IdentityFields {
    fn default() -> Self {
        Self {
            vendor_id: 0x1209,
            product_id: 0x0001,
            device_bcd: 0x0100,
            manufacturer: "roamkey".to_owned(),
            product: "roamkey security key".to_owned(),
            serial: String::new(),
            interval_ms: 5,
        }
    }
}

/// [`IdentityFields`] that fit into descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(IdentityFields);

impl Identity {
    /// Checks the fields.
    ///
    /// # Errors
    ///
    /// A field does not fit; the error says which.
    pub fn new(fields: IdentityFields) -> Result<Self, IdentityError> {
        let strings = [
            ("manufacturer", &fields.manufacturer),
            ("product", &fields.product),
            ("serial", &fields.serial),
        ];
        for (field, text) in strings {
            if text.encode_utf16().count() > STRING_LIMIT {
                return Err(IdentityError::TooLong { field });
            }
            if text.chars().any(char::is_control) {
                return Err(IdentityError::ControlCharacter { field });
            }
        }
        // Windows ignores a serial with any other character, and then calls the device by its
        // port.
        if !fields
            .serial
            .bytes()
            .all(|byte| (0x20..0x7f).contains(&byte) && byte != b',')
        {
            return Err(IdentityError::SerialCharacter);
        }
        if fields.interval_ms == 0 {
            return Err(IdentityError::ZeroInterval);
        }
        Ok(Self(fields))
    }

    /// The checked fields.
    #[must_use]
    pub fn fields(&self) -> &IdentityFields {
        &self.0
    }
}

/// Why [`IdentityFields`] are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// A string has more than 126 UTF-16 units.
    TooLong {
        /// Which one.
        field: &'static str,
    },
    /// A string has a control character.
    ControlCharacter {
        /// Which one.
        field: &'static str,
    },
    /// The serial has something other than printable ASCII without commas.
    SerialCharacter,
    /// The interval is 0.
    ZeroInterval,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { field } => {
                write!(
                    f,
                    "USB {field}: at most {STRING_LIMIT} UTF-16 units fit a descriptor"
                )
            }
            Self::ControlCharacter { field } => {
                write!(f, "USB {field}: control characters are not allowed")
            }
            Self::SerialCharacter => f.write_str(
                "USB serial: only printable ASCII without commas, or Windows ignores it",
            ),
            Self::ZeroInterval => f.write_str("USB polling interval: 1 to 255 ms, not 0"),
        }
    }
}

impl std::error::Error for IdentityError {}
