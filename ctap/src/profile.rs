//! What a key is: versions, limits, algorithms and names. getInfo is computed from it.
//!
//! Deliberately absent: USB ids and strings, which belong to the transport's side.

use crate::credential::Algorithm;

/// A version string of getInfo (CTAP 2.1 §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// CTAP1/U2F with raw messages.
    U2fV2,
    /// CTAP 2.0.
    Fido20,
}

impl Version {
    /// As getInfo spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::U2fV2 => "U2F_V2",
            Self::Fido20 => "FIDO_2_0",
        }
    }
}

/// What a key is and how much it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The versions it serves.
    pub versions: Vec<Version>,
    /// The model's id (WebAuthn §6.5.1), 16 bytes.
    pub aaguid: [u8; 16],
    /// Device version for CTAPHID_INIT: major, minor, build; getInfo's firmwareVersion too.
    pub firmware_version: [u8; 3],
    /// The longest CTAP2 request taken, in bytes; at most [`crate::MAX_MESSAGE_LEN`].
    pub max_msg_size: u16,
    /// How many credentials an allow or exclude list may name.
    pub max_credential_count_in_list: u16,
    /// How many discoverable credentials fit.
    pub max_discoverable_credentials: u32,
    /// What it signs with, in its order of preference.
    pub algorithms: Vec<Algorithm>,
}

impl Profile {
    /// Whether CTAPHID_MSG is served.
    pub fn u2f(&self) -> bool {
        self.versions.contains(&Version::U2fV2)
    }
}

impl Default for Profile {
    /// What the default key offers so far: U2F and CTAP 2.0 with resident keys, no PIN.
    fn default() -> Self {
        Self {
            versions: vec![Version::U2fV2, Version::Fido20],
            // Drawn at random for roamkey: 33c78076-c6cc-406c-95a6-44d084208762.
            aaguid: [
                0x33, 0xc7, 0x80, 0x76, 0xc6, 0xcc, 0x40, 0x6c, 0x95, 0xa6, 0x44, 0xd0, 0x84, 0x20,
                0x87, 0x62,
            ],
            firmware_version: [0, 1, 0],
            max_msg_size: 7609,
            max_credential_count_in_list: 64,
            max_discoverable_credentials: 1_000,
            algorithms: vec![Algorithm::Es256],
        }
    }
}
