//! The real binary is killed with SIGKILL at random moments and started again: what it has
//! acknowledged is there, no counter is lower or repeated, and no PIN attempt comes back.
//!
//! `ROAMKEY_CRASH_KILLS=1000 cargo test --release --test tests crash -- --nocapture` is the long
//! run. A seed gives the same requests and plans again; what a kill hits is up to the machine.
//! A killed process loses nothing that it has written: what a power cut loses, `support::disk`
//! simulates.

mod blobs;
mod campaign;
mod checker;
mod creation;
mod fingers;
mod loader;
mod model;
mod process;
mod session;
mod tap;
mod unfinished;

use crate::support::seed::TestSeed;

/// How many kills.
const VARIABLE: &str = "ROAMKEY_CRASH_KILLS";
/// As many as a run of all tests has time for.
const KILLS: u64 = 100;

fn kills() -> u64 {
    match std::env::var(VARIABLE) {
        Ok(text) => text.parse().expect("a number of kills"),
        Err(_) => KILLS,
    }
}

#[test]
fn acknowledged_changes_survive_kills() {
    campaign::Campaign::new(TestSeed::new()).run(kills());
}

#[test]
fn first_start_that_is_killed_never_blocks_the_next() {
    creation::run(TestSeed::new(), kills() / 2);
}
