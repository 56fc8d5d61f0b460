//! The algorithms behind the key, each behind one small type.
//!
//! Deliberately absent: OS randomness. Whoever needs random bytes passes the injected CSPRNG.

mod es256;
mod secret;
#[cfg(test)]
mod tests;

pub(crate) use es256::{PrivateKey, PublicKey};
pub(crate) use secret::{Expander, Sealer};
pub use secret::{Rng, Secret};

use sha2::{Digest, Sha256};

/// SHA-256 (FIPS 180-4) over `parts` one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
