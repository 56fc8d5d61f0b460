//! The command line: one file per subcommand.

mod access;
mod attach;
mod attestation;
mod backup;
mod bench;
mod clone;
mod common;
mod confirm;
mod core_dump;
mod descriptors;
mod desk;
mod detach;
mod doctor;
mod exec;
mod expect;
mod fault;
mod key;
mod output;
mod passkey;
mod pin;
mod prompt;
mod run;
mod secret;
mod snapshot;
mod stored;
mod table;
mod touch;
mod vault;
mod watch;

use std::{fmt, io::IsTerminal, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use crate::vault::{VaultError, guarded};

/// A FIDO2 security key in software, attached over USB/IP as a real USB device.
#[derive(Debug, Parser)]
#[command(name = "roamkey", version, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// Log more on stderr: -v what happens, -vv each step. RUST_LOG overrides it.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export keys over USB/IP until Ctrl-C.
    Run(Box<run::Args>),
    /// The vault in which keys are kept.
    Vault(vault::Args),
    /// The keys, in the vault or running.
    Key(key::Args),
    /// The passkeys in the keys.
    #[command(alias = "credential")]
    Passkey(passkey::Args),
    /// The PIN of a key.
    Pin(pin::Args),
    /// The touches that running keys wait for.
    Touch(touch::Args),
    /// What a site under test is given to trust the keys' attestation.
    Attestation(attestation::Args),
    /// Let a running key answer wrongly on purpose.
    Fault(Box<fault::Args>),
    /// Check what a running key was asked.
    Expect(Box<expect::Args>),
    /// Show what happens to running keys.
    Watch(watch::Args),
    /// Attach a running key to this machine.
    Attach(attach::Args),
    /// End the session of a running key's host, or of all.
    Detach(detach::Args),
    /// Run a command that has keys of its own on this machine.
    Exec(Box<exec::Args>),
    /// Be the WebDriver of a driver, with keys for virtual authenticators, until Ctrl-C.
    #[command(name = "webdriver")]
    WebDriver(exec::alone::WebDriver),
    /// Be the DevTools of a browser, with keys for virtual authenticators, until Ctrl-C.
    Cdp(exec::alone::Cdp),
    /// What `exec` starts instead of the command, and becomes it.
    #[command(hide = true)]
    ExecInside(exec::inside::Args),
    /// What ends the command of an `exec` that was killed.
    #[command(hide = true)]
    ExecGuard(exec::guard::Args),
    /// Say whether this machine can use roamkey's keys, and what mends it.
    Doctor(doctor::Args),
    /// Measure what keys cost on this machine, beside what nothing can be faster than.
    Bench(bench::Args),
}

/// How stdout speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a command ended badly.
#[derive(Debug)]
enum Failure {
    /// The arguments do not fit together; the text says what to type instead.
    Usage(String),
    /// It could not be done; the text says why and what helps.
    Failed(String),
}

impl Failure {
    fn failed(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }
}

/// Parses the process's arguments; what it does not understand ends the process with code 2, or
/// with that of `exec`'s own failures.
pub fn parse() -> Args {
    let mut words = std::env::args_os().skip(1);
    let name = words.find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    let exec = name.is_some_and(|name| name == "exec");
    Args::try_parse().unwrap_or_else(|why| match exec && why.use_stderr() {
        true => {
            // Nothing is left to do where stderr is gone.
            let _ = why.print();
            std::process::exit(i32::from(exec::FAILED))
        }
        false => why.exit(),
    })
}

/// Does what the arguments say. Code 0 is success, 1 a failure, 2 arguments that do not fit;
/// `exec` ends as its command did.
pub fn run(args: Args) -> ExitCode {
    log_to_stderr(args.verbose);
    if let Some(limit) = dump_limit(&args.command) {
        core_dump::forbid(limit);
    }
    match args.command {
        Command::Exec(args) => exec::run(&args),
        Command::WebDriver(args) => exec::alone::webdriver(args),
        Command::Cdp(args) => exec::alone::cdp(args),
        Command::ExecInside(args) => exec::inside::run(&args),
        Command::ExecGuard(args) => exec::guard::run(&args),
        command @ (Command::Run(_)
        | Command::Vault(_)
        | Command::Key(_)
        | Command::Passkey(_)
        | Command::Pin(_)
        | Command::Touch(_)
        | Command::Fault(_)
        | Command::Expect(_)
        | Command::Watch(_)
        | Command::Attach(_)
        | Command::Detach(_)
        | Command::Doctor(_)
        | Command::Bench(_)
        | Command::Attestation(_)) => run_guarded(command, args.verbose),
    }
}

/// What becomes of RLIMIT_CORE; nothing where a process has no secrets and only makes way for a
/// command, or waits for one.
fn dump_limit(command: &Command) -> Option<core_dump::Limit> {
    match command {
        Command::ExecInside(_) | Command::ExecGuard(_) | Command::Bench(_) => None,
        Command::Exec(_) => Some(core_dump::Limit::Keep),
        Command::WebDriver(_)
        | Command::Cdp(_)
        | Command::Run(_)
        | Command::Vault(_)
        | Command::Key(_)
        | Command::Passkey(_)
        | Command::Pin(_)
        | Command::Touch(_)
        | Command::Fault(_)
        | Command::Expect(_)
        | Command::Watch(_)
        | Command::Attach(_)
        | Command::Detach(_)
        | Command::Doctor(_)
        | Command::Attestation(_) => Some(core_dump::Limit::Lower),
    }
}

fn run_guarded(command: Command, verbose: u8) -> ExitCode {
    let result = match guarded(|| dispatch(command, verbose)) {
        Ok(result) => result,
        Err(damage) => Err(VaultError::from(damage).into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            let error = Args::command().error(ErrorKind::ArgumentConflict, text);
            // Nothing is left to do where stderr is gone.
            let _ = error.print();
            ExitCode::from(2)
        }
        Err(Failure::Failed(text)) => {
            let error = clap::Error::raw(ErrorKind::Io, format!("{text}\n"));
            let _ = error.print();
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, verbose: u8) -> Result<(), Failure> {
    match command {
        Command::Run(args) => run::run(*args),
        Command::Vault(args) => vault::run(args),
        Command::Key(args) => key::run(args),
        Command::Passkey(args) => passkey::run(args),
        Command::Pin(args) => pin::run(args),
        Command::Touch(args) => touch::run(&args),
        Command::Attestation(args) => attestation::run(&args),
        Command::Fault(args) => fault::run(*args),
        Command::Expect(args) => expect::run(*args),
        Command::Watch(args) => watch::run(&args, verbose),
        Command::Attach(args) => attach::attach(&args),
        Command::Detach(args) => detach::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        // Their ends are another's, not of these codes.
        Command::Exec(_)
        | Command::WebDriver(_)
        | Command::Cdp(_)
        | Command::ExecInside(_)
        | Command::ExecGuard(_) => Ok(()),
    }
}

fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
