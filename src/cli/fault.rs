//! `roamkey fault`: lets a running key answer wrongly on purpose, to see what a client makes of it.
//!
//! The documents: of `list` `faults`, each a [`FaultView`]; of a fault that is armed the
//! [`ArmedFault`] as `fault`; of `--armed` and `--clear` those that are armed then as `armed`.

use clap::Parser;
use serde_json::json;

use super::{
    Failure,
    desk::{Running, RunningArgs},
    output::shown,
    table::{Fit, Table, count},
};
use crate::rig::{ArmedFault, FaultView, NewFault, Rig};

#[derive(Debug, Parser)]
#[command(
    override_usage = "roamkey fault list\n       roamkey fault <KEY> <NAME> [PARAMETER] \
    [OPTIONS]\n       roamkey fault <KEY> --armed\n       roamkey fault <KEY> --clear [ID]"
)]
pub(super) struct Args {
    /// The key, by its name or bus id; or `list` for every fault there is.
    key: String,
    /// The fault, such as bad-signature.
    name: Option<String>,
    /// Its parameter, where it has one: a status such as NO_CREDENTIALS or 0x2E, or milliseconds.
    parameter: Option<String>,
    /// So many operations meet it [default: one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    next: Option<u32>,
    /// Every operation meets it until it is disarmed.
    #[arg(long, conflicts_with = "next")]
    always: bool,
    /// Only operations with this command, such as get-assertion.
    #[arg(long, value_name = "COMMAND")]
    operation: Option<String>,
    /// Only operations for this site, such as example.com.
    #[arg(long, value_name = "ID")]
    rp: Option<String>,
    /// Show the faults that are armed.
    #[arg(long, conflicts_with_all = ["name", "clear"])]
    armed: bool,
    /// Disarm this fault, or all.
    #[arg(long, value_name = "ID", num_args = 0..=1, conflicts_with = "name")]
    clear: Option<Option<u64>>,
    #[command(flatten)]
    running: RunningArgs,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let plain = args.name.is_none() && !args.armed && args.clear.is_none();
    if plain && args.key == "list" {
        return list(&args);
    }
    let process = args.running.open()?;
    match (args.armed, args.clear, args.name) {
        (true, ..) => armed(&args.running, &process, &args.key),
        (false, Some(which), _) => {
            match which {
                Some(id) => process.disarm_fault(&args.key, id)?,
                None => process.disarm_all_faults(&args.key)?,
            }
            armed(&args.running, &process, &args.key)
        }
        (false, None, Some(fault)) => {
            let new = NewFault {
                fault,
                parameter: args.parameter,
                next: args.next,
                always: args.always,
                operation: args.operation,
                rp: args.rp,
            };
            let fault = process.arm_fault(&args.key, &new)?;
            let text = format!("Armed [{}] {}", fault.id, sentence(&fault));
            args.running.say(&text, &json!({"fault": fault}))
        }
        (false, None, None) => Err(Failure::Usage(
            "which fault? `roamkey fault list` shows them; --armed those that the key has, and \
             --clear disarms them"
                .to_owned(),
        )),
    }
}

fn list(args: &Args) -> Result<(), Failure> {
    let faults = Rig::fault_catalog();
    let mut table = Table::new(&[
        ("FAULT", Fit::Whole),
        ("PARAMETER", Fit::Whole),
        ("WHAT THE KEY DOES", Fit::Cut),
    ]);
    for FaultView {
        name,
        parameter,
        does,
        ..
    } in &faults
    {
        table.row([
            name.clone(),
            parameter.clone().unwrap_or_default(),
            does.clone(),
        ]);
    }
    args.running
        .say(&table.to_string(), &json!({"faults": faults}))
}

fn armed(args: &RunningArgs, process: &Running, key: &str) -> Result<(), Failure> {
    let faults = process.faults(key)?;
    let lines = faults.iter();
    let lines = lines.map(|fault| format!("[{}] {}", fault.id, sentence(fault)));
    let text = match faults.is_empty() {
        true => format!("No fault is armed in the key {}.", shown(key)),
        false => lines.collect::<Vec<_>>().join("\n"),
    };
    args.say(&text, &json!({"armed": faults}))
}

fn sentence(fault: &ArmedFault) -> String {
    let times = match fault.remaining {
        Some(1) => "for the next operation".to_owned(),
        Some(many) => format!(
            "for the next {}",
            count(usize::try_from(many).unwrap_or(usize::MAX), "operation")
        ),
        None => "for every operation".to_owned(),
    };
    let command = match &fault.operation {
        Some(command) => format!(" with {command}"),
        None => String::new(),
    };
    let site = match &fault.rp {
        Some(rp) => format!(" for {}", shown(rp)),
        None => String::new(),
    };
    format!("{} {times}{command}{site}", fault.fault)
}
