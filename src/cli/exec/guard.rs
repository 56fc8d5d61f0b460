//! Ends the processes of a command whose `roamkey exec` was killed: the command dies by itself
//! (inside.rs), what it started would not.
//!
//! It knows by its stdin, which ends with `exec`. Where `exec` ends by itself it ends this first,
//! and what the command left running goes on, without keys.

use std::process::ExitCode;

use clap::Parser;

/// Not for people.
#[derive(Debug, Parser)]
#[cfg_attr(not(unix), allow(dead_code, reason = "there are no process groups"))]
pub(in crate::cli) struct Args {
    /// The process group.
    group: i32,
}

#[cfg(unix)]
pub(in crate::cli) fn run(args: &Args) -> ExitCode {
    use rustix::process::{Pid, Signal, kill_process_group};

    // A failed read is an end as well.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    if let Some(group) = Pid::from_raw(args.group).filter(|_| args.group > 1) {
        // It may have ended with the command.
        let _ = kill_process_group(group, Signal::KILL);
    }
    ExitCode::SUCCESS
}

/// There are no process groups.
#[cfg(not(unix))]
pub(in crate::cli) fn run(_args: &Args) -> ExitCode {
    ExitCode::SUCCESS
}
