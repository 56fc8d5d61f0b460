//! Passphrases, stretched with Argon2id (RFC 9106) so that guessing one costs as much as checking.
//!
//! The cost is measured where the unlock is made, and stored; what a file says is bounded before
//! any memory is taken for it.

use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::UnlockError;

/// A new passphrase has at least so many characters.
pub(super) const SHORTEST_PASSPHRASE: usize = 8;
/// Length of a salt, in bytes (RFC 9106 §3.1 recommends 16).
pub(super) const SALT_LEN: usize = 16;
/// Length of what a passphrase becomes, in bytes.
const STRETCHED_LEN: usize = 32;

/// Memory for a new unlock. Attackers pay for memory more than for time, so it is a lot and the
/// time is what is fitted to the machine.
const MEMORY_KIB: u32 = 128 * 1024;
/// What unlocking should take where the unlock was made.
const WANTED: Duration = Duration::from_millis(500);
/// RFC 9106 §4 asks for three passes where the memory is not huge.
const LEAST_ITERATIONS: u32 = 3;
/// A slip in measuring must not make a vault that takes minutes.
const MOST_ITERATIONS: u32 = 40;

/// Bounds on what a file may ask for: more than roamkey ever writes, less than would hurt.
const MOST_STORED_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_STORED_ITERATIONS: u32 = 100;
const MOST_STORED_PARALLELISM: u32 = 16;
/// RFC 9106 §3.1: at least 8 KiB for each lane.
const LANE_KIB: u32 = 8;

/// What a person types to open a vault: wiped when dropped, never shown.
///
/// Its UTF-8 bytes count as they were typed, without Unicode normalization: an é from a keyboard
/// that composes it is not the é of one that does not. Two systems that disagree there are rare,
/// and a passphrase that changed under a newer Unicode would be lost.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes it as it is; [`Passphrase::check_new`] judges one that was just made up.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// Whether it may guard a vault from now on.
    ///
    /// # Errors
    /// It is empty, or has less than 8 characters.
    pub fn check_new(&self) -> Result<(), UnlockError> {
        if self.0.is_empty() {
            return Err(UnlockError::EmptyPassphrase);
        }
        if self.0.chars().count() < SHORTEST_PASSPHRASE {
            return Err(UnlockError::ShortPassphrase);
        }
        Ok(())
    }

    /// For age, which stretches it itself.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The 32 bytes that it becomes. Takes its time.
    pub(super) fn stretch(
        &self,
        params: &Argon2Params,
        salt: &[u8; SALT_LEN],
    ) -> Result<Zeroizing<Vec<u8>>, UnlockError> {
        if self.0.is_empty() {
            return Err(UnlockError::EmptyPassphrase);
        }
        params.stretch(self.0.as_bytes(), salt)
    }
}

/// The cost of checking a passphrase (RFC 9106 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argon2Params {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

impl Argon2Params {
    /// What takes half a second on this machine, measured now; more where that would be too
    /// little work. Takes about as long itself.
    pub(super) fn calibrated() -> Result<Self, UnlockError> {
        let once = Self {
            memory_kib: MEMORY_KIB,
            iterations: 1,
            parallelism: 1,
        };
        let mut shortest = Duration::MAX;
        // The shorter of two: what else runs can only make it longer.
        for _ in 0..2 {
            let start = Instant::now();
            once.stretch(b"how long does a pass take", &[0; SALT_LEN])?;
            shortest = shortest.min(start.elapsed());
        }
        Ok(Self {
            iterations: iterations_for(shortest),
            ..once
        })
    }

    /// Whether a vault may ask for this.
    pub(super) fn check(&self) -> Result<(), UnlockError> {
        let bound = |name, value, least, most| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(UnlockError::Parameter {
                name,
                value,
                least,
                most,
            })
        };
        bound("parallelism", self.parallelism, 1, MOST_STORED_PARALLELISM)?;
        bound("iterations", self.iterations, 1, MOST_STORED_ITERATIONS)?;
        let least_kib = LANE_KIB * self.parallelism;
        bound(
            "memory_kib",
            self.memory_kib,
            least_kib,
            MOST_STORED_MEMORY_KIB,
        )
    }

    fn stretch(
        &self,
        secret: &[u8],
        salt: &[u8; SALT_LEN],
    ) -> Result<Zeroizing<Vec<u8>>, UnlockError> {
        self.check()?;
        let out_of_memory = UnlockError::OutOfMemory {
            memory_kib: self.memory_kib,
        };
        let mut stretched = Zeroizing::new(vec![0; STRETCHED_LEN]);
        // Within the bounds above, and with lengths of our own, nothing but memory can lack.
        Params::new(
            self.memory_kib,
            self.iterations,
            self.parallelism,
            Some(STRETCHED_LEN),
        )
        .and_then(|params| {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                secret,
                salt,
                &mut stretched,
            )
        })
        .map_err(|_| out_of_memory)?;
        Ok(stretched)
    }
}

/// How many passes come nearest to the wanted time, when one takes `pass`.
fn iterations_for(pass: Duration) -> u32 {
    let whole = WANTED.as_micros() / pass.as_micros().max(1);
    u32::try_from(whole)
        .unwrap_or(MOST_ITERATIONS)
        .clamp(LEAST_ITERATIONS, MOST_ITERATIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.into()))
    }

    const FAST: Argon2Params = Argon2Params {
        memory_kib: 32,
        iterations: 3,
        parallelism: 4,
    };

    #[test]
    fn new_passphrase_has_eight_characters() {
        assert_eq!(
            passphrase("").check_new(),
            Err(UnlockError::EmptyPassphrase)
        );
        let short = passphrase("sieben7").check_new();
        assert_eq!(short, Err(UnlockError::ShortPassphrase));
        // Characters, not bytes.
        let short = passphrase("ééééééé").check_new();
        assert_eq!(short, Err(UnlockError::ShortPassphrase));
        assert_eq!(passphrase("éééééééé").check_new(), Ok(()));
        assert_eq!(passphrase("12345678").check_new(), Ok(()));
    }

    #[test]
    fn same_inputs_stretch_alike_and_others_do_not() {
        let stretched = |text, params: Argon2Params, salt| {
            passphrase(text)
                .stretch(&params, &[salt; SALT_LEN])
                .expect("bytes")
        };
        let first = stretched("correct horse", FAST, 1);
        assert_eq!(*first, *stretched("correct horse", FAST, 1));
        assert_ne!(*first, *stretched("correct horsf", FAST, 1));
        assert_ne!(*first, *stretched("correct horse", FAST, 2));
        let costs = [
            Argon2Params {
                memory_kib: 64,
                ..FAST
            },
            Argon2Params {
                iterations: 4,
                ..FAST
            },
            Argon2Params {
                parallelism: 2,
                ..FAST
            },
        ];
        for params in costs {
            assert_ne!(*first, *stretched("correct horse", params, 1), "{params:?}");
        }
    }

    /// Argon2id of the reference implementation: `printf %s 'correct horse' | argon2
    /// roamkeyroamkey16 -id -t 3 -k 32 -p 4 -l 32 -r`.
    #[test]
    fn stretching_is_argon2id_of_the_reference_implementation() {
        let stretched = passphrase("correct horse")
            .stretch(&FAST, b"roamkeyroamkey16")
            .expect("bytes");
        assert_eq!(
            base16ct::lower::encode_string(&stretched),
            "9b5d00cb002bc72ec7c98468dd59909718efce1629405e0aeed12c2542f5177a"
        );
    }

    #[test]
    fn stored_cost_out_of_bounds_is_named_before_memory_is_taken() {
        let cases = [
            (u32::MAX, 1, 1, "memory_kib"),
            (1024 * 1024 + 1, 1, 1, "memory_kib"),
            (0, 1, 1, "memory_kib"),
            (31, 1, 4, "memory_kib"),
            (64, 0, 1, "iterations"),
            (64, 101, 1, "iterations"),
            (64, 1, 0, "parallelism"),
            (64, 1, 17, "parallelism"),
            (64, 1, u32::MAX, "parallelism"),
        ];
        for (memory_kib, iterations, parallelism, wrong) in cases {
            let params = Argon2Params {
                memory_kib,
                iterations,
                parallelism,
            };
            let error = passphrase("correct horse").stretch(&params, &[0; SALT_LEN]);
            let Err(UnlockError::Parameter { name, .. }) = error else {
                panic!("{params:?} is accepted");
            };
            assert_eq!(name, wrong, "{params:?}");
        }
    }

    #[test]
    fn passes_fill_half_a_second_within_bounds() {
        assert_eq!(iterations_for(Duration::ZERO), MOST_ITERATIONS);
        assert_eq!(iterations_for(Duration::from_millis(50)), 10);
        assert_eq!(iterations_for(Duration::from_millis(99)), 5);
        assert_eq!(iterations_for(Duration::from_secs(60)), LEAST_ITERATIONS);
    }

    #[test]
    fn measured_cost_is_one_that_a_file_may_have() {
        let params = Argon2Params::calibrated().expect("a cost");
        params.check().expect("within bounds");
        assert_eq!(params.memory_kib, MEMORY_KIB);
        assert!((LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&params.iterations));
    }
}
