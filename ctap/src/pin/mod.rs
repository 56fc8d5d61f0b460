//! What authenticatorClientPIN keeps between power-on and power-off (CTAP 2.1 §6.5).
//!
//! Deliberately absent: the PIN itself and its retries, which outlive power (`state`), and the
//! order of checks (`authenticator/client_pin.rs`).

mod protocol;
#[cfg(test)]
mod tests;
mod token;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    crypto::{Rng, sha256},
    time::Instant,
};
pub use protocol::PinProtocol;
pub(crate) use protocol::{KeyAgreement, Point, SharedSecret};
pub(crate) use token::{Permissions, Token};
pub use token::{TOKEN_INITIAL_USAGE_MS, TOKEN_MAX_USAGE_MS};

/// Attempts before a PIN is blocked for good; clients expect exactly this many.
pub const MAX_PIN_RETRIES: u8 = 8;
/// Wrong PINs in a row before a power cycle is needed.
const MAX_CONSECUTIVE_MISMATCHES: u8 = 3;
/// A PIN arrives padded with zeros to this many bytes, one of which at least is a zero.
pub(crate) const PADDED_PIN_LEN: usize = 64;
/// The longest PIN, in bytes of UTF-8.
pub const MAX_PIN_LEN: usize = PADDED_PIN_LEN - 1;
/// Length of what is stored of a PIN.
pub(crate) const PIN_HASH_LEN: usize = 16;

/// LEFT(SHA-256(PIN), 16), all that is kept of a PIN: wiped, compared in constant time, never
/// shown. `Serialize` hands it out, for a vault that seals it.
/// It stays in one place, as a [`Secret`](crate::crypto::Secret) does.
pub struct PinHash(Box<Zeroizing<[u8; PIN_HASH_LEN]>>);

impl PinHash {
    pub(crate) fn of(pin: &[u8]) -> Self {
        let digest = Zeroizing::new(sha256(&[pin]));
        Self::from_bytes(digest.first_chunk().unwrap_or(&[0; PIN_HASH_LEN]))
    }

    fn from_bytes(bytes: &[u8; PIN_HASH_LEN]) -> Self {
        let mut hash = Self(Box::default());
        hash.0.copy_from_slice(bytes);
        hash
    }

    /// Compares with what a platform sent.
    pub(crate) fn matches(&self, sent: &[u8]) -> bool {
        self.0.as_slice().ct_eq(sent).into()
    }
}

impl Clone for PinHash {
    fn clone(&self) -> Self {
        Self::from_bytes(&self.0)
    }
}

impl PartialEq for PinHash {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_slice())
    }
}

impl Eq for PinHash {}

impl Serialize for PinHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_slice())
    }
}

impl<'de> Deserialize<'de> for PinHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteArray::<PIN_HASH_LEN>::deserialize(deserializer)
            .map_err(|_| de::Error::custom("a PIN hash is 16 bytes"))?;
        let bytes = Zeroizing::new(bytes.into_array());
        Ok(Self::from_bytes(&bytes))
    }
}

/// A PIN that is set.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPin {
    /// To compare with.
    pub hash: PinHash,
    /// Its length in code points, to compare with a minimum that rises.
    pub code_points: u8,
}

/// The volatile side: keys, the token, and wrong PINs in a row.
pub(crate) struct PinState {
    one: KeyAgreement,
    two: KeyAgreement,
    token: Option<Token>,
    consecutive_mismatches: u8,
}

impl PinState {
    /// As after power-on.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            one: KeyAgreement::generate(rng),
            two: KeyAgreement::generate(rng),
            token: None,
            consecutive_mismatches: 0,
        }
    }

    pub(crate) fn key_agreement(&self, protocol: PinProtocol) -> &KeyAgreement {
        match protocol {
            PinProtocol::One => &self.one,
            PinProtocol::Two => &self.two,
        }
    }

    /// §6.5.6 regenerate: a wrong PIN makes the platform agree on a key again.
    fn regenerate(&mut self, rng: &mut Rng, protocol: PinProtocol) {
        let key = KeyAgreement::generate(rng);
        match protocol {
            PinProtocol::One => self.one = key,
            PinProtocol::Two => self.two = key,
        }
    }

    /// A wrong PIN was sent.
    pub(crate) fn mismatched(&mut self, rng: &mut Rng, protocol: PinProtocol) {
        self.regenerate(rng, protocol);
        self.consecutive_mismatches = self.consecutive_mismatches.saturating_add(1);
    }

    /// The right PIN was sent.
    pub(crate) fn matched(&mut self) {
        self.consecutive_mismatches = 0;
    }

    /// powerCycleState: no PIN is taken until the next power-on.
    pub(crate) fn needs_power_cycle(&self) -> bool {
        self.consecutive_mismatches >= MAX_CONSECUTIVE_MISMATCHES
    }

    /// A token takes the place of every token before it.
    pub(crate) fn begin_using(&mut self, token: Token) {
        self.token = Some(token);
    }

    /// §6.5.6 resetPinUvAuthToken, for all protocols.
    pub(crate) fn end_token(&mut self) {
        self.token = None;
    }

    /// The token, if it still serves.
    pub(crate) fn token(&mut self, now: Instant) -> Option<&mut Token> {
        self.token.take_if(|token| token.is_over(now));
        self.token.as_mut()
    }
}
