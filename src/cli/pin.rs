//! `roamkey pin`: the PIN of a key, under the rules that the key itself keeps (CTAP 2.1 §6.5.5).
//!
//! The document of each: `key` (its name), `offered` (whether its profile has PINs), `is_set`,
//! `retries` (attempts that are left), `blocked`, `min_length` in characters and `must_change`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use roamkey_ctap::{ChangeSet, KeyState, MAX_PIN_RETRIES, PinRefusal, PinStatus};
use serde_json::json;

use super::{
    Failure,
    common::{Common, key_of, profile_of},
    output::shown,
    secret::{self, Source},
    table::facts,
};
use crate::{
    profile::Profile,
    vault::{Identity, KeyNumber, OpenVault},
};

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
    common: Common,
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

/// A key with its PIN.
struct Key {
    open: OpenVault,
    number: KeyNumber,
    identity: Identity,
    profile: Profile,
    state: KeyState,
}

impl Key {
    fn open(which: &Which) -> Result<Self, Failure> {
        let open = which.common.open()?;
        let (number, identity) = key_of(&open, which.key.as_deref())?;
        let profile = profile_of(&identity)?;
        let state = open.store().key_state(number)?;
        Ok(Self {
            open,
            number,
            identity,
            profile,
            state,
        })
    }

    fn pin(&self) -> PinStatus {
        self.state.pin_status(&self.profile.ctap)
    }

    /// Makes a change durable, and sees what is stored then.
    fn apply(&mut self, changes: ChangeSet) -> Result<(), Failure> {
        self.open.store_mut().change_key(self.number, changes)?;
        self.state = self.open.store().key_state(self.number)?;
        Ok(())
    }

    fn refused(&self, why: PinRefusal) -> Failure {
        let name = shown(&self.identity.name);
        let advice = match why {
            PinRefusal::NotSet => " (`roamkey pin set`)",
            PinRefusal::Set => " (`roamkey pin change`)",
            PinRefusal::Blocked => " (`roamkey key wipe`)",
            PinRefusal::NotOffered
            | PinRefusal::TooShort { .. }
            | PinRefusal::TooLong
            | PinRefusal::EndsWithZero
            | PinRefusal::Same => "",
        };
        Failure::failed(format!("key {name}"), format!("{why}{advice}"))
    }

    /// Says how it is now, below `what` was done, and closes the vault.
    fn say(self, which: &Which, what: Option<&str>) -> Result<(), Failure> {
        let pin = self.pin();
        let name = self.identity.name;
        self.open.close();
        let blocked = pin.is_set && pin.retries == 0;
        let is = match (pin.offered, pin.is_set, pin.must_change) {
            (false, ..) => "none: its profile has no PIN",
            (true, false, _) => "none",
            (true, true, _) if blocked => "blocked: only `roamkey key wipe` helps",
            (true, true, true) => "set, and must be changed before it serves",
            (true, true, false) => "set",
        };
        let told = facts(&[
            ("key", name.clone()),
            ("PIN", is.to_owned()),
            (
                "attempts left",
                format!("{} of {MAX_PIN_RETRIES}", pin.retries),
            ),
            ("shortest", format!("{} characters", pin.min_length)),
        ]);
        let text = what.map_or(told, |what| format!("{what} {}.", shown(&name)));
        let document = json!({
            "key": name, "offered": pin.offered, "is_set": pin.is_set, "retries": pin.retries,
            "blocked": blocked, "min_length": pin.min_length, "must_change": pin.must_change,
        });
        which.common.say(&text, &document)
    }
}

fn status(which: &Which) -> Result<(), Failure> {
    Key::open(which)?.say(which, None)
}

fn new_pin(args: &Set, key: &Key) -> Result<zeroize::Zeroizing<String>, Failure> {
    let source = Source {
        option: "--new-pin-file",
        file: args.new_pin_file.as_deref(),
    };
    let name = shown(&key.identity.name);
    let least = key.pin().min_length;
    let prompt = format!("New PIN of the key {name}, {least} characters at least: ");
    secret::new_pin(&prompt, source)
}

fn set(args: &Set) -> Result<(), Failure> {
    let mut key = Key::open(&args.which)?;
    let pin = key.pin();
    // Nobody types one for nothing.
    if !pin.offered {
        return Err(key.refused(PinRefusal::NotOffered));
    }
    if pin.is_set {
        return Err(key.refused(PinRefusal::Set));
    }
    let new = new_pin(args, &key)?;
    let changes = key.state.set_pin(&key.profile.ctap, &new);
    let changes = changes.map_err(|why| key.refused(why))?;
    key.apply(changes)?;
    key.say(&args.which, Some("Set the PIN of the key"))
}

/// In the key's own order: an attempt is lost before the PIN is looked at, and the attempts are
/// back once it was right, whatever is wrong with the new one.
fn change(args: &Change) -> Result<(), Failure> {
    let which = &args.set.which;
    let mut key = Key::open(which)?;
    let spent = key.state.spend_pin_attempt(&key.profile.ctap);
    let spent = spent.map_err(|why| key.refused(why))?;
    let source = Source {
        option: "--pin-file",
        file: args.pin_file.as_deref(),
    };
    let prompt = format!("PIN of the key {}: ", shown(&key.identity.name));
    let old = secret::pin(&prompt, source)?;
    let new = new_pin(&args.set, &key)?;
    key.apply(spent)?;
    if !key.state.pin_is(&old) {
        let why = match key.pin().retries {
            0 => key.refused(PinRefusal::Blocked),
            left => {
                let name = shown(&key.identity.name);
                let left = super::table::count(left.into(), "attempt");
                Failure::Failed(format!(
                    "key {name}: the PIN is wrong, and nothing was changed. Left until it is \
                     blocked: {left}"
                ))
            }
        };
        key.open.close();
        return Err(why);
    }
    let changed = key.state.change_pin(&key.profile.ctap, &new);
    match changed {
        Ok(changes) => key.apply(changes)?,
        Err(why) => {
            let restored = key.state.restore_pin_attempts();
            key.apply(restored)?;
            let why = key.refused(why);
            key.open.close();
            return Err(why);
        }
    }
    key.say(which, Some("Changed the PIN of the key"))
}
