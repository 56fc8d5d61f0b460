//! `roamkey expect`: whether what a test expects of a running key did happen; code 1 where not.
//!
//! The document is a [`Held`](crate::rig::Held), also where it does not hold.

use clap::Parser;
use serde_json::json;

use super::{Failure, Format, common::word, desk::RunningArgs};
use crate::{journal::TouchState, rig::Expectation};

#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The key, by its name or bus id.
    key: String,
    /// What is counted: a kind of event, such as touch, attach, hid, finished or fault.
    event: String,
    /// Count what came after the event with this number.
    #[arg(long, value_name = "N", default_value_t = 0)]
    since: u64,
    /// Touches in this state: asked, approved, denied or withdrawn.
    #[arg(long, value_name = "STATE", value_parser = word::<TouchState>)]
    state: Option<TouchState>,
    /// Operations with this command, such as make-credential; of hid such as init.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Those for this site.
    #[arg(long, value_name = "ID")]
    rp: Option<String>,
    /// Operations that ended with this status, such as CTAP2_OK.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// As many.
    #[arg(long, value_name = "N", conflicts_with_all = ["at_least", "at_most"])]
    exactly: Option<u64>,
    /// As many or more [default: 1].
    #[arg(long, value_name = "N")]
    at_least: Option<u64>,
    /// As many or fewer.
    #[arg(long, value_name = "N")]
    at_most: Option<u64>,
    #[command(flatten)]
    running: RunningArgs,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let held = args.running.open()?.expect(&Expectation {
        since: args.since,
        key: Some(args.key),
        event: args.event,
        state: args.state,
        command: args.command,
        rp: args.rp,
        status: args.status,
        exactly: args.exactly,
        at_least: args.at_least,
        at_most: args.at_most,
    })?;
    if held.holds || args.running.format == Format::Json {
        args.running.say(&held.text, &json!(held))?;
    }
    match held.holds {
        true => Ok(()),
        false => Err(Failure::Failed(held.text)),
    }
}
