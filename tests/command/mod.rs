//! The `roamkey` command: the real binary, as a person or a script runs it.

mod ask;
mod backup;
mod home;
mod idle;
mod process;
mod run;
