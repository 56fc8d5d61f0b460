//! Where a test's randomness comes from: another at each run, shown when the test fails, and
//! given back with an environment variable.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};

const VARIABLE: &str = "ROAMKEY_TEST_SEED";

/// The seed of one test. Everything random in it must come from here.
///
/// It prints itself, which `cargo test` shows for a test that fails:
/// `ROAMKEY_TEST_SEED=6f… cargo test --test tests NAME` runs that test with the same numbers.
#[derive(Clone, Copy)]
pub(crate) struct TestSeed([u8; 32]);

impl TestSeed {
    /// From the environment, or else from the operating system.
    pub(crate) fn new() -> Self {
        let mut bytes = [0; 32];
        if let Ok(hex) = std::env::var(VARIABLE) {
            let decoded = base16ct::mixed::decode(hex, &mut bytes).map(<[u8]>::len);
            assert_eq!(decoded, Ok(32), "{VARIABLE} has 64 hexadecimal digits");
        } else {
            getrandom::fill(&mut bytes).expect("the system's randomness");
        }
        let hex = base16ct::lower::encode_string(&bytes);
        println!("{VARIABLE}={hex}");
        Self(bytes)
    }

    /// Always the same one, for what is compared with itself.
    pub(crate) const fn fixed(byte: u8) -> Self {
        Self([byte; 32])
    }

    /// One that another gives.
    pub(crate) const fn derived(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What the environment has to hold for one world of a simulation with this seed.
    pub(crate) fn variables(self, world: usize) -> String {
        let hex = base16ct::lower::encode_string(&self.0);
        format!("{VARIABLE}={hex} ROAMKEY_SIM_WORLD={world}")
    }

    /// Bytes for one purpose.
    pub(crate) fn bytes(self, purpose: &str, number: usize) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(purpose);
        hasher.update(number.to_be_bytes());
        hasher.finalize().into()
    }

    /// A generator for one purpose.
    pub(crate) fn rng(self, purpose: &str, number: usize) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(self.bytes(purpose, number))
    }
}
