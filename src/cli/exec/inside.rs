//! What `roamkey exec` starts: it makes the command's surroundings, and becomes the command.
//!
//! The command is to die with `exec` (PR_SET_PDEATHSIG of prctl(2)), to be another user, or to
//! have a /dev of its own, and only the process itself can ask for those.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

/// Not for people.
#[derive(Debug, Parser)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux needs it")
)]
pub(in crate::cli) struct Args {
    /// The process that it dies with.
    #[arg(long)]
    parent: u32,
    /// Who it is from then on.
    #[arg(long)]
    user: Option<String>,
    /// Where to put a /dev together that has only these nodes of keys.
    #[arg(long)]
    private: Option<std::path::PathBuf>,
    #[arg(long)]
    node: Vec<String>,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Returns only where the command cannot be run.
#[cfg(target_os = "linux")]
pub(in crate::cli) fn run(args: &Args) -> ExitCode {
    use std::{io::ErrorKind, os::unix::process::CommandExt as _, process::Command};

    use super::{CANNOT_RUN, FAILED, NOT_FOUND, say};

    if let Err(why) = prepare(args) {
        say(&why);
        return ExitCode::from(FAILED);
    }
    let Some((program, rest)) = args.command.split_first() else {
        return ExitCode::from(FAILED);
    };
    let why = Command::new(program).args(rest).exec();
    say(&format!("{}: {why}", program.display()));
    ExitCode::from(match why.kind() == ErrorKind::NotFound {
        true => NOT_FOUND,
        false => CANNOT_RUN,
    })
}

#[cfg(target_os = "linux")]
fn prepare(args: &Args) -> Result<(), String> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    if let Some(staging) = &args.private {
        super::private::enter(staging, &args.node)?;
    }
    if let Some(user) = &args.user {
        super::user::User::find(user)?.become_it()?;
    }
    // Last: becoming another user takes it back.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|why| format!("cannot die with roamkey: {why}"))?;
    // It may be dead already, and then no signal comes.
    let parent = getppid().map(Pid::as_raw_nonzero);
    match parent.is_some_and(|parent| u32::try_from(parent.get()) == Ok(args.parent)) {
        true => Ok(()),
        false => Err("roamkey exec was killed before its command began".to_owned()),
    }
}

/// Only Linux needs it.
#[cfg(not(target_os = "linux"))]
pub(in crate::cli) fn run(_args: &Args) -> ExitCode {
    ExitCode::from(super::FAILED)
}
