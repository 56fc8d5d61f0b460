//! `roamkey pin`: the PIN of a key, under the rules that the key itself keeps (CTAP 2.1 §6.5.5).
//!
//! The document of each: `key` (its name), `offered` (whether its profile has PINs), `is_set`,
//! `retries` (attempts that are left), `blocked`, `min_length` in characters and `must_change`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use roamkey_ctap::{MAX_PIN_RETRIES, PinRefusal};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Failure,
    desk::{Desk, DeskArgs, called},
    output::shown,
    secret::{self, Source},
    table::facts,
};
use crate::rig::{NewPin, PinView};

#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell whether a PIN is set, and how many attempts are left.
    Status(Which),
    /// Set the first PIN.
    Set(Set),
    /// Change the PIN.
    Change(Change),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Which key, by its name or bus id [default: the only one].
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// Take the new PIN from this file; - is stdin [default: it is typed].
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Change {
    /// Take the PIN from this file; - is a line of stdin [default: it is typed].
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    #[command(flatten)]
    set: Set,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Status(which) => status(&which),
        Command::Set(args) => set(&args),
        Command::Change(args) => change(&args),
    }
}

/// A key whose PIN is looked at.
struct Key {
    desk: Desk,
    bus_id: String,
    /// For a person.
    name: String,
}

impl Key {
    fn open(which: &Which) -> Result<Self, Failure> {
        let desk = which.desk.open()?;
        let key = desk.key_or_only(which.key.as_deref())?;
        Ok(Self {
            desk,
            name: called(&key),
            bus_id: key.bus_id,
        })
    }

    fn pin(&self) -> Result<PinView, Failure> {
        self.desk.pin(&self.bus_id)
    }

    fn refused(&self, why: impl std::fmt::Display, advice: &str) -> Failure {
        Failure::failed(format!("key {}", self.name), format!("{why}{advice}"))
    }

    fn blocked(&self) -> Failure {
        self.refused(PinRefusal::Blocked, " (`roamkey key wipe`)")
    }

    fn new_pin(&self, args: &Set, pin: &PinView) -> Result<Zeroizing<String>, Failure> {
        let source = Source {
            option: "--new-pin-file",
            file: args.new_pin_file.as_deref(),
        };
        let least = pin.min_length;
        let prompt = format!(
            "New PIN of the key {}, {least} characters at least: ",
            self.name
        );
        secret::new_pin(&prompt, source)
    }

    /// Sets the PIN; `pin` is the one before.
    fn set(
        &self,
        pin: Option<&Zeroizing<String>>,
        new_pin: &Zeroizing<String>,
    ) -> Result<PinView, Failure> {
        let new = NewPin {
            pin: pin.map(|pin| pin.as_str().to_owned()),
            new_pin: new_pin.as_str().to_owned(),
        };
        self.desk.set_pin(&self.bus_id, new).map_err(|why| {
            if self.pin().is_ok_and(|pin| pin.blocked) {
                return self.blocked();
            }
            let (Failure::Usage(why) | Failure::Failed(why)) = why;
            self.refused(why, "")
        })
    }
}

/// Says how a PIN is, below `what` was done.
fn say(which: &Which, pin: &PinView, what: Option<&str>) -> Result<(), Failure> {
    let is = match (pin.offered, pin.is_set, pin.must_change) {
        (false, ..) => "none: its profile has no PIN",
        (true, false, _) => "none",
        (true, true, _) if pin.blocked => "blocked: only `roamkey key wipe` helps",
        (true, true, true) => "set, and must be changed before it serves",
        (true, true, false) => "set",
    };
    let told = facts(&[
        ("key", pin.key.clone()),
        ("PIN", is.to_owned()),
        (
            "attempts left",
            format!("{} of {MAX_PIN_RETRIES}", pin.retries),
        ),
        ("shortest", format!("{} characters", pin.min_length)),
    ]);
    let text = what.map_or(told, |what| format!("{what} {}.", shown(&pin.key)));
    which.desk.say(&text, &json!(pin))
}

fn status(which: &Which) -> Result<(), Failure> {
    let pin = Key::open(which)?.pin()?;
    say(which, &pin, None)
}

fn set(args: &Set) -> Result<(), Failure> {
    let key = Key::open(&args.which)?;
    let pin = key.pin()?;
    // Nobody types one for nothing.
    if !pin.offered {
        return Err(key.refused(PinRefusal::NotOffered, ""));
    }
    if pin.is_set {
        return Err(key.refused(PinRefusal::Set, " (`roamkey pin change`)"));
    }
    let pin = key.set(None, &key.new_pin(args, &pin)?)?;
    drop(key);
    say(&args.which, &pin, Some("Set the PIN of the key"))
}

/// The key loses an attempt before it looks at the PIN, and has it back where the PIN was right,
/// whatever is wrong with the new one.
fn change(args: &Change) -> Result<(), Failure> {
    let which = &args.set.which;
    let key = Key::open(which)?;
    let pin = key.pin()?;
    if !pin.offered {
        return Err(key.refused(PinRefusal::NotOffered, ""));
    }
    if !pin.is_set {
        return Err(key.refused(PinRefusal::NotSet, " (`roamkey pin set`)"));
    }
    if pin.blocked {
        return Err(key.blocked());
    }
    let source = Source {
        option: "--pin-file",
        file: args.pin_file.as_deref(),
    };
    let old = secret::pin(&format!("PIN of the key {}: ", key.name), source)?;
    let new = key.new_pin(&args.set, &pin)?;
    let pin = key.set(Some(&old), &new)?;
    drop(key);
    say(which, &pin, Some("Changed the PIN of the key"))
}
