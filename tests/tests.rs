//! Scenarios over public surfaces: host models attach keys and use them as platforms do.
//!
//! Each scenario runs with a host that behaves like Linux and one that behaves like Windows, over
//! a real socket and in virtual time; what is about time runs in virtual time only. The same
//! file holds the checks of the `roamkey` command. Guests with real kernels are in `tests/guest`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at what it does not expect, and shows its seed"
)]

mod command;
#[cfg(unix)]
mod crash;
mod fronts;
mod limits;
mod profiles;
mod scenarios;
mod sim;
mod support;
mod vault;
