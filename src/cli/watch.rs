//! `roamkey watch`: what happens to running keys, as it happens.
//!
//! With `--format json` one object a line, as the control plane's events are
//! ([`Entry`](crate::journal::Entry)); what was missed is `{"event": "missed", "missed": N}`.

mod line;

use std::io::{self, IsTerminal as _, Write as _};

use clap::Parser;
use serde_json::json;

use super::{
    Failure, Format,
    desk::{RunningArgs, Watched},
};
use line::Lines;

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Watch this key alone, by its name or bus id.
    key: Option<String>,
    /// Show also what is below operations: CTAPHID commands, and that an operation began.
    #[arg(long)]
    all: bool,
    /// Show what was asked and answered, too, as -v does.
    #[arg(long)]
    details: bool,
    /// Begin behind the event with this number [default: with what happens from now on].
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    #[command(flatten)]
    running: RunningArgs,
}

pub(super) fn run(args: &Args, verbose: u8) -> Result<(), Failure> {
    let process = args.running.open()?;
    let names = process.keys()?.into_iter();
    let names = names.filter_map(|key| Some((key.bus_id, key.name?)));
    let mut lines = Lines {
        names: names.collect(),
        accounts: Default::default(),
        all: args.all,
        details: args.details || verbose > 0,
        color: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    process.watch(args.key.as_deref(), args.since, |watched| {
        let text = match (args.running.format, watched) {
            (Format::Text, watched) => lines.of(&watched),
            (Format::Json, Watched::Entry(entry)) => Some(entry.to_json().to_string()),
            (Format::Json, Watched::Missed(missed)) => {
                Some(json!({"event": "missed", "missed": missed}).to_string())
            }
            (Format::Json, Watched::Again) => None,
        };
        let Some(text) = text else {
            return Ok(());
        };
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        written.map_err(|why| Failure::failed("stdout cannot be written", why))
    })
}
