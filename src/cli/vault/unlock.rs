//! `roamkey vault unlock`: the ways to unlock the vault.
//!
//! The documents: of `list` `unlocks`, each with `id`, `kind` (`passphrase`, `keyfile`, `keyring`,
//! `recovery-code`), `created` in seconds since 1970, for a key file `path` and `is_there`, for
//! the keyring `account`, for a passphrase `argon2`; of `add` the new one as `unlock`, `protects`
//! and `does_not_protect`; of `remove` the former one as `removed`, `left_behind` (null, or why
//! its key file or keyring entry is still there), and the rest as `unlocks`.

use std::{fmt, path::PathBuf, str::FromStr};

use clap::{Parser, Subcommand};
use serde_json::json;

use super::{Way, called, protection, slot_json, slot_table};
use crate::{
    cli::{
        Failure,
        access::{key_file_beside, now},
        common::Common,
        confirm::Confirm,
        output::shown,
        secret::{self, Source},
    },
    vault::unlock::{Kind, Slot, Unlock},
};

#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the ways to unlock the vault.
    List(Common),
    /// Add a way to unlock the vault.
    Add(Add),
    /// Remove a way to unlock the vault.
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Which kind.
    #[arg(value_enum)]
    way: Way,
    /// The key file to write [default: the vault's path and .key].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Take the new passphrase from this file; - is stdin [default: it is typed].
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// Its id, or its kind where there is one of that kind.
    #[arg(value_name = "ID|KIND")]
    which: Which,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    common: Common,
}

/// Which slot a person means.
#[derive(Clone, Copy, Debug)]
enum Which {
    Id(u32),
    Kind(Kind),
}

const KINDS: [Kind; 4] = [
    Kind::Passphrase,
    Kind::KeyFile,
    Kind::Keyring,
    Kind::RecoveryCode,
];

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let kind = KINDS.into_iter().find(|kind| kind.to_string() == text);
        kind.map(Self::Kind).ok_or_else(|| {
            let kinds = KINDS.map(|kind| kind.to_string()).join(", ");
            format!("an unlock's id is wanted, or its kind: {kinds}")
        })
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "unlock {id}"),
            Self::Kind(kind) => write!(f, "unlock of the kind {kind}"),
        }
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(common) => list(&common),
        Command::Add(args) => add(&args),
        Command::Remove(args) => remove(&args),
    }
}

/// It takes the vault unlocked, since nobody vouches for what stands in the file before.
fn list(common: &Common) -> Result<(), Failure> {
    let open = common.open()?;
    let slots = open.slots()?;
    open.close();
    let unlocks: Vec<_> = slots.iter().map(slot_json).collect();
    common.say(&slot_table(&slots), &json!({"unlocks": unlocks}))
}

fn add(args: &Add) -> Result<(), Failure> {
    let only_for = |option: &str, way: &str| {
        Failure::Usage(format!(
            "{option} is for `add {way}`: say that, or leave it away"
        ))
    };
    if args.out.is_some() && args.way != Way::Keyfile {
        return Err(only_for("--out", "keyfile"));
    }
    if args.new_passphrase_file.is_some() && args.way != Way::Passphrase {
        return Err(only_for("--new-passphrase-file", "passphrase"));
    }
    let mut open = args.common.open()?;
    let with = match args.way {
        Way::Keyfile => {
            let beside = key_file_beside(&args.common.vault.path()?);
            Unlock::KeyFile(args.out.clone().unwrap_or(beside))
        }
        Way::Keyring => Unlock::Keyring,
        Way::Passphrase => {
            let source = Source {
                option: "--new-passphrase-file",
                file: args.new_passphrase_file.as_deref(),
            };
            Unlock::Passphrase(secret::new_passphrase(
                "New passphrase of the vault: ",
                source,
            )?)
        }
    };
    let slot = open.add_unlock(&with, now())?;
    open.close();
    let protection = protection(slot.kind());
    let text = format!(
        "Added {}, and saw that it opens the vault.\n\nWhat it protects against: {}\nWhat it does \
         not: {}",
        shown(&called(&slot)),
        protection.helps,
        protection.helps_not
    );
    let document = json!({
        "unlock": slot_json(&slot),
        "protects": protection.helps, "does_not_protect": protection.helps_not,
    });
    args.common.say(&text, &document)
}

/// What a person may not know of removing.
const SAME_DATA_KEY: &str = "Removing it does not change the key that everything in the vault is \
    encrypted with: whoever has kept an old copy of the vault's file and what unlocked it still \
    opens that copy, with all that was in it.";

fn remove(args: &Remove) -> Result<(), Failure> {
    let mut open = args.common.open()?;
    let slots = open.slots()?;
    let slot = find(&slots, args.which)?;
    let (rest, _): (Vec<Slot>, Vec<Slot>) =
        slots.iter().cloned().partition(|other| other.id != slot.id);
    // The last one is refused before anybody is asked.
    if !rest.is_empty() {
        let (lost, question) = warning(&slot, &rest);
        args.confirm.ask(&lost, question)?;
    }
    let name = called(&slot);
    let removed = slot_json(&slot);
    let left_behind = open.remove_unlock(slot.id)?;
    open.close();
    let mut text = format!("Removed {}.\n{SAME_DATA_KEY}", shown(&name));
    if let Some(why) = &left_behind {
        text.push_str(&format!("\nWhat it left outside is still there: {why}"));
    }
    let document = json!({
        "removed": removed,
        "left_behind": left_behind.map(|why| why.to_string()),
        "unlocks": rest.iter().map(slot_json).collect::<Vec<_>>(),
    });
    args.common.say(&text, &document)
}

/// What a person must know before `slot` is removed and `rest` is left, and what is asked then.
fn warning(slot: &Slot, rest: &[Slot]) -> (String, &'static str) {
    let removed = shown(&capital(&called(slot)));
    let removed = format!("{removed} will no longer unlock the vault.\n{SAME_DATA_KEY}");
    if rest.iter().all(|slot| slot.kind() == Kind::RecoveryCode) {
        let lost = format!(
            "{removed}\nOnly a recovery code would be left. If the sheet is lost, so is the vault; \
             add another way first with `roamkey vault unlock add`, unless that is what you want."
        );
        return (lost, "Remove it, so that only a recovery code is left?");
    }
    let lost = format!("{removed}\nThese still unlock it:\n{}", slot_table(rest));
    (lost, "Remove it?")
}

fn find(slots: &[Slot], which: Which) -> Result<Slot, Failure> {
    let fits = |slot: &&Slot| match which {
        Which::Id(id) => slot.id == id,
        Which::Kind(kind) => slot.kind() == kind,
    };
    let found: Vec<_> = slots.iter().filter(fits).collect();
    match found.as_slice() {
        [slot] => Ok((*slot).clone()),
        [] => Err(Failure::Failed(format!(
            "the vault has no {which}; it has\n{}",
            slot_table(slots)
        ))),
        _ => Err(Failure::Usage(format!(
            "the vault has several of them: say which by its id\n{}",
            slot_table(slots)
        ))),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
