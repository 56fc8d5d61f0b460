//! What a key's randomness grows from.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A key's generator before the key exists.
pub struct Seed(ChaCha20Rng);

impl Seed {
    /// From the operating system.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self::from_bytes(*bytes))
    }

    /// The same bytes make the same key: for tests.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(bytes))
    }

    /// The seed of the `index`-th of several keys that come from one.
    pub fn of_key(bytes: &[u8], index: u32) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"roamkey key seed v1");
        hasher.update(bytes);
        hasher.update(index.to_be_bytes());
        Self::from_bytes(hasher.finalize().into())
    }

    /// For what is drawn before the key exists, such as its first records.
    pub(crate) fn rng(&mut self) -> &mut ChaCha20Rng {
        &mut self.0
    }

    pub(crate) fn into_rng(self) -> ChaCha20Rng {
        self.0
    }
}
