//! Work that takes longer than a key's task may be kept from its reports: RSA keys.
//!
//! A piece of work holds all that it needs and nothing of the key, so it runs wherever the driver
//! likes, and twice the same gives twice the same. Deliberately absent: threads, and how many
//! pieces run at a time.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::{
    credential::Algorithm,
    crypto::{PrivateKey, Rng, Secret},
};

/// Names one piece of work; what comes of one that is no longer wanted is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(pub u64);

/// The making of a private key. Its seed is a secret, so it shows nothing.
pub struct Work {
    algorithm: Algorithm,
    seed: Secret,
}

impl Work {
    pub(crate) fn generate(algorithm: Algorithm, rng: &mut Rng) -> Self {
        Self {
            algorithm,
            seed: Secret::random(rng),
        }
    }

    /// Does it. For an RSA key that takes a few hundred milliseconds of one core.
    pub fn run(self) -> WorkDone {
        WorkDone(Some(PrivateKey::of_seed(self.algorithm, &self.seed)))
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Work").field(&self.algorithm).finish()
    }
}

/// What came of it.
pub struct WorkDone(Option<PrivateKey>);

impl WorkDone {
    /// Nothing, because the driver could not run it: the command that waits answers an error.
    pub fn failed() -> Self {
        Self(None)
    }

    pub(crate) fn into_key(self) -> Option<PrivateKey> {
        self.0
    }
}

impl fmt::Debug for WorkDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkDone").finish_non_exhaustive()
    }
}
