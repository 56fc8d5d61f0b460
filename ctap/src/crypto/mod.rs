//! The algorithms behind the key, each behind one small type.
//!
//! Deliberately absent: OS randomness. Whoever needs random bytes passes the injected CSPRNG.

mod key;
mod secret;
#[cfg(test)]
mod tests;

pub(crate) use key::{NoKey, PrivateKey, PublicKey};
pub(crate) use secret::{Expander, Sealer, ratchet};
pub use secret::{KeyBytes, Rng, Secret};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 (FIPS 180-4) over `parts` one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// HMAC-SHA-256 (RFC 2104) over `parts` one after the other.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
