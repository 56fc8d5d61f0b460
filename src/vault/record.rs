//! What is stored of a key, and what its bytes are before they are sealed.
//!
//! A record is CBOR (RFC 8949) with named members, so that a later version adds members without
//! rewriting older records. In front stands its length, behind it zeros: the length of what is
//! sealed tells nothing of the names in it.

use std::fmt;

use roamkey_ctap::{Place, Record};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Records are padded to a multiple of this many bytes.
const SMALL_STEP: usize = 128;
/// And longer ones to a multiple of this many.
const LARGE_STEP: usize = 512;
/// Bytes of the length in front.
const LENGTH_LEN: usize = 4;

/// Tells one key from another in all vaults; drawn at random, and no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(pub(crate) [u8; 16]);

impl fmt::Display for KeyId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a key is made after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredProfile {
    /// A built-in profile's name, or the path of the file it was read from.
    pub name: String,
    /// The file's text. A built-in one comes with the program and changes with it, as a firmware
    /// does.
    pub text: Option<String>,
}

/// What a key is called and seen as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub id: KeyId,
    /// What its owner calls it; no two keys of a vault share a name.
    pub name: String,
    /// The serial number of the USB device.
    pub serial: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// What it is made after.
    pub profile: StoredProfile,
}

/// One record of a key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stored {
    /// The vault's own.
    Identity(Identity),
    /// What the key remembers.
    Record(Record),
}

/// Where a record is: at most one record of a key has a given address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Identity,
    Record(Place),
}

impl Address {
    /// Every address that is not a credential's.
    pub(crate) const FIXED: [Self; 13] = [
        Self::Identity,
        Self::Record(Place::Master),
        Self::Record(Place::Counter),
        Self::Record(Place::Attestation),
        Self::Record(Place::Pin),
        Self::Record(Place::PinRetries),
        Self::Record(Place::Config),
        Self::Record(Place::LargeBlobs),
        Self::Record(Place::Fingerprints),
        Self::Record(Place::Uv),
        Self::Record(Place::PersistentToken),
        Self::Record(Place::BatchAttestation),
        Self::Record(Place::EnterpriseAttestation),
    ];

    /// A byte for the kind, and the credential's id where there is one. What a file was written
    /// with: never changed.
    pub(crate) fn to_bytes(self) -> ([u8; 1], Option<[u8; 64]>) {
        match self {
            Self::Identity => ([0], None),
            Self::Record(Place::Master) => ([1], None),
            Self::Record(Place::Counter) => ([2], None),
            Self::Record(Place::Attestation) => ([3], None),
            Self::Record(Place::Credential(id)) => ([4], Some(*id.as_bytes())),
            Self::Record(Place::CredentialCounter(id)) => ([5], Some(*id.as_bytes())),
            Self::Record(Place::Pin) => ([6], None),
            Self::Record(Place::PinRetries) => ([7], None),
            Self::Record(Place::Config) => ([8], None),
            Self::Record(Place::LargeBlobs) => ([9], None),
            Self::Record(Place::Fingerprints) => ([10], None),
            Self::Record(Place::Uv) => ([11], None),
            Self::Record(Place::PersistentToken) => ([12], None),
            Self::Record(Place::BatchAttestation) => ([13], None),
            Self::Record(Place::EnterpriseAttestation) => ([14], None),
        }
    }
}

impl fmt::Display for Address {
    /// For a person, after "the key's".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Identity => "name and profile",
            Self::Record(Place::Master) => "master secret",
            Self::Record(Place::Counter) => "signature counter",
            Self::Record(Place::Attestation) => "attestation key",
            Self::Record(Place::Pin) => "PIN",
            Self::Record(Place::PinRetries) => "PIN retries",
            Self::Record(Place::Config) => "configuration",
            Self::Record(Place::LargeBlobs) => "large blobs",
            Self::Record(Place::Fingerprints) => "fingerprints",
            Self::Record(Place::Uv) => "verification retries",
            Self::Record(Place::PersistentToken) => "persistent token",
            Self::Record(Place::BatchAttestation) => "batch attestation key",
            Self::Record(Place::EnterpriseAttestation) => "enterprise attestation key",
            Self::Record(Place::Credential(id)) => return write!(f, "passkey {}", Short(id)),
            Self::Record(Place::CredentialCounter(id)) => {
                return write!(f, "signature counter of passkey {}", Short(id));
            }
        };
        f.write_str(name)
    }
}

/// The head of a credential's id, as lists show it.
pub(crate) struct Short<'a>(pub(crate) &'a roamkey_ctap::CredentialId);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.0.as_bytes().iter().take(4);
        head.into_iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Stored {
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Identity(_) => Address::Identity,
            Self::Record(record) => Address::Record(record.place()),
        }
    }

    /// The bytes to seal; `None` for what CBOR cannot hold, which no record is.
    pub(crate) fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        to_padded_bytes(self)
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        from_padded_bytes(bytes)
    }
}

/// CBOR with its length in front and zeros behind.
pub(crate) fn to_padded_bytes(value: &impl Serialize) -> Option<Zeroizing<Vec<u8>>> {
    // Large enough for all but large blobs, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
    bytes.extend_from_slice(&[0; LENGTH_LEN]);
    ciborium::into_writer(value, &mut *bytes).ok()?;
    let length = bytes.len().checked_sub(LENGTH_LEN)?;
    let length = u32::try_from(length).ok()?.to_le_bytes();
    bytes.first_chunk_mut().map(|head| *head = length)?;
    let step = if bytes.len() <= 2 * SMALL_STEP {
        SMALL_STEP
    } else {
        LARGE_STEP
    };
    let padded = bytes.len().next_multiple_of(step);
    bytes.resize(padded, 0);
    Some(bytes)
}

/// Reads what [`to_padded_bytes`] wrote.
pub(crate) fn from_padded_bytes<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_LEN>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    cbor4ii::serde::from_slice(rest.get(..length)?).ok()
}
