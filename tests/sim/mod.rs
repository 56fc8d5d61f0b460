//! Worlds of keys and hosts, each from a seed ([`crate::support::sim`]).
//!
//! `ROAMKEY_SIM_SESSIONS=100000` makes it longer. A failure prints the variables with which its
//! world alone is lived through again.

use std::path::PathBuf;

use crate::support::{
    seed::TestSeed,
    sim::{
        run::{world, worlds},
        vault::Stock,
    },
};

const SESSIONS: u64 = 10_000;

/// How often one world is lived through: a vault on a disk draws its own secrets, on which the order
/// of its records and with it the place of a fault depends.
const VAULTS: usize = 10;

/// A key file of one test's own, removed when dropped.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str) -> Self {
        let name = format!("roamkey-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Its path, where there is none now.
    fn take(&self) -> PathBuf {
        let _ = std::fs::remove_file(&self.0);
        self.0.clone()
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().ok().expect("a number"))
}

#[test]
fn simulation() {
    let seed = TestSeed::new();
    let key_file = KeyFile::new("simulation");
    if let Some(number) = variable("ROAMKEY_SIM_WORLD") {
        for _ in 0..VAULTS {
            match world(seed, number, &Stock::new(key_file.take())) {
                Ok(told) => println!("world {number}: {told:02x?}"),
                Err(why) => panic!("world {number}:\n{why}"),
            }
        }
        return;
    }
    let sessions = variable("ROAMKEY_SIM_SESSIONS").unwrap_or(SESSIONS);
    let figures = worlds(seed, sessions, key_file.take());
    assert!(figures.answered > figures.sessions, "keys answer");
    if sessions >= SESSIONS {
        let harm = [
            figures.hostile,
            figures.cut,
            figures.power_cuts,
            figures.vault_faults,
            figures.replugs,
            figures.touches,
            figures.unlinks,
        ];
        assert!(!harm.contains(&0), "a simulation does harm");
    }
}

#[test]
fn worlds_with_the_same_seed_are_the_same() {
    let seed = TestSeed::new();
    let key_file = KeyFile::new("same-worlds");
    let stock = Stock::new(key_file.take());
    for number in 0..20 {
        let once = world(seed, number, &stock);
        let again = world(seed, number, &stock);
        assert!(once.is_ok(), "world {number}: {}", once.unwrap_err());
        assert_eq!(once, again, "world {number}");
    }
}
