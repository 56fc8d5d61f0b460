//! `roamkey touch`: answers touches of running keys from another terminal.
//!
//! The documents: of `list` `touches`, each a [`TouchView`]; of `approve`, `not-verified` and
//! `deny` the touch as `touch` and the `answer`.

use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::json;

use super::{
    Failure,
    desk::{Running, RunningArgs},
    output::shown,
};
use crate::rig::{TouchAnswer, TouchView};

/// Nobody waits longer for a touch to be asked for. In seconds.
const LONGEST_WAIT: u64 = 86_400;

#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the touches that somebody has to give.
    List(List),
    /// Give a touch.
    Approve(Answer),
    /// Put a finger on the sensor that the key does not know.
    NotVerified(Answer),
    /// Refuse a touch.
    Deny(Answer),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Those of this key, by its name or bus id.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Wait so long for the first.
    #[arg(long, value_name = "SECONDS", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=LONGEST_WAIT))]
    wait: u64,
    #[command(flatten)]
    running: RunningArgs,
}

#[derive(Debug, clap::Args)]
struct Answer {
    /// Which, by its number in the list [default: the only one].
    id: Option<u64>,
    #[command(flatten)]
    list: List,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Approve(args) => answer(args, TouchAnswer::Approve),
        Command::NotVerified(args) => answer(args, TouchAnswer::NotVerified),
        Command::Deny(args) => answer(args, TouchAnswer::Deny),
    }
}

impl List {
    fn touches(&self, process: &Running) -> Result<Vec<TouchView>, Failure> {
        process.wait_for_touch(self.key.as_deref(), Duration::from_secs(self.wait))
    }
}

fn list(args: &List) -> Result<(), Failure> {
    let touches = args.touches(&args.running.open()?)?;
    let text = match touches.as_slice() {
        [] => "No touch is waited for.".to_owned(),
        some => lines(some).join("\n"),
    };
    args.running.say(&text, &json!({"touches": touches}))
}

fn lines(touches: &[TouchView]) -> Vec<String> {
    let line = |touch: &TouchView| {
        let seconds = touch.waited_ms / 1_000;
        format!("[{}] {}, asked {seconds} s ago", touch.id, sentence(touch))
    };
    touches.iter().map(line).collect()
}

/// What would be done, for a person.
fn sentence(touch: &TouchView) -> String {
    let site = touch.rp.as_deref().map(shown);
    let site = site.unwrap_or_else(|| "a site that it does not name".to_owned());
    let account = match &touch.account {
        Some(account) => format!(" as {}", shown(account)),
        None => String::new(),
    };
    let what = match touch.operation.as_str() {
        "register" => format!("register with {site}{account}"),
        "register-excluded" => format!("tell {site} that this key is registered there already"),
        "authenticate" => format!("sign in to {site}{account}"),
        "reset" => "ERASE every credential of this key".to_owned(),
        "verify" => format!("be verified{}", for_site(touch)),
        "enroll" => "enroll a finger".to_owned(),
        _ => "use this key".to_owned(),
    };
    let how = match touch.gesture.as_str() {
        "finger" => ", with a finger",
        "long-touch" => ", with a touch of 10 s",
        _ => "",
    };
    format!("{}: {what}{how}", touch.key)
}

fn for_site(touch: &TouchView) -> String {
    let site = touch.rp.as_deref().map(shown);
    site.map_or_else(String::new, |site| format!(" for {site}"))
}

fn answer(args: &Answer, answer: TouchAnswer) -> Result<(), Failure> {
    let process = args.list.running.open()?;
    let touches = args.list.touches(&process)?;
    let touch = match (args.id, touches.as_slice()) {
        (Some(id), touches) => touches.iter().find(|touch| touch.id == id),
        (None, [only]) => Some(only),
        (None, []) => {
            return Err(Failure::Failed(
                "no touch is waited for (--wait SECONDS waits for one)".to_owned(),
            ));
        }
        (None, several) => {
            return Err(Failure::Usage(format!(
                "several touches are waited for: say which one, by its number\n{}",
                lines(several).join("\n")
            )));
        }
    };
    // One that is over is refused there, in words.
    let id = touch.map(|touch| touch.id).or(args.id).unwrap_or(0);
    process.answer_touch(id, answer)?;
    let word = match answer {
        TouchAnswer::Approve => "Approved",
        TouchAnswer::NotVerified => "Not verified",
        TouchAnswer::Deny => "Refused",
    };
    let what = touch.map_or_else(|| format!("touch {id}"), sentence);
    let document = json!({"touch": touch, "answer": answer});
    args.list.running.say(&format!("{word}: {what}"), &document)
}
