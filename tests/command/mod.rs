//! The `roamkey` command: the real binary, as a person or a script runs it.

mod ask;
mod attestation;
// A home of its own is told by the XDG directories, and a person has a pty.
#[cfg(unix)]
mod backup;
mod bench;
#[cfg(unix)]
mod control;
#[cfg(target_os = "linux")]
mod core_dump;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod exec;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod finger;
#[cfg(unix)]
mod home;
mod idle;
#[cfg(unix)]
mod key;
mod metadata;
#[cfg(unix)]
mod passkey;
#[cfg(unix)]
mod pin;
mod process;
#[cfg(target_os = "linux")]
mod residue;
mod run;
#[cfg(unix)]
mod served;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod unlock;
#[cfg(unix)]
mod vault;
