//! `roamkey passkey`: the passkeys in keys, which are their discoverable credentials; and the RS256
//! keys that are no passkeys and are stored as well.
//!
//! The documents: of `list` `passkeys`; of `show`, `rename`, `inject` and `edit` the passkey as
//! `passkey`; of `delete` the former one as `deleted`; of `export` `private_key`, or the file as
//! `path`. A passkey is a [`PasskeyView`]: `id` (hexadecimal), `key` (the key's name), `rp_id`,
//! `rp_name`, `user_handle` (hexadecimal), `user_name`, `user_display_name`, `algorithm` (its COSE
//! number), `cred_protect` (1 to 3), `cred_blob_len` in bytes, `large_blob_key`, `counter_ceiling`
//! (no signature had a higher counter), `backup_eligible`, `backup_state`, `discoverable` (false
//! where a site must know its id), `sequence` (it rises from one passkey of a key to the next), and outside of lists `public_key` (a COSE_Key in
//! hexadecimal). What a site did not give is null.

mod change;
mod find;

use clap::{ArgGroup, Parser, Subcommand};
use roamkey_ctap::Algorithm;
use serde_json::json;

use super::{
    Failure,
    confirm::Confirm,
    desk::DeskArgs,
    output::shown,
    table::{Fit, Table, facts},
};
use crate::rig::{PasskeyEdit, PasskeyView};
use find::{Which, digits, of_keys};

#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the passkeys.
    List(List),
    /// Show everything of a passkey that is no secret.
    Show(Show),
    /// Give a passkey's account other names, as lists and prompts show them.
    Rename(Rename),
    /// Delete a passkey.
    Delete(Delete),
    /// Put a passkey into a key, with a private key of one's own.
    Inject(Box<change::Inject>),
    /// Change a passkey's account, counter or flags.
    Edit(change::Edit),
    /// Write a passkey's private key out; only of a key whose profile lets it.
    Export(change::Export),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Those of this key, by its name or bus id [default: all].
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Those of this site, such as example.com.
    #[arg(long, value_name = "ID")]
    rp: Option<String>,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("names").args(["name", "display_name"]).required(true).multiple(true)))]
struct Rename {
    #[command(flatten)]
    which: Which,
    /// The account's name, such as an e-mail address; an empty one removes it.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The person's name; an empty one removes it.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    desk: DeskArgs,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(args) => list(&args),
        Command::Show(args) => show(&args),
        Command::Rename(args) => rename(args),
        Command::Delete(args) => delete(&args),
        Command::Inject(args) => change::inject(*args),
        Command::Edit(args) => change::edit(args),
        Command::Export(args) => change::export(&args),
    }
}

/// The account, as a list names it.
pub(super) fn account(passkey: &PasskeyView) -> String {
    let name = passkey.user_name.clone();
    let name = name.or_else(|| passkey.user_display_name.clone());
    name.unwrap_or_else(|| format!("(user handle {})", passkey.user_handle))
}

/// The same, and first whether it is no passkey: the end may be cut.
fn marked(passkey: &PasskeyView) -> String {
    let mark = if passkey.discoverable {
        ""
    } else {
        "(not discoverable) "
    };
    format!("{mark}{}", account(passkey))
}

fn list(args: &List) -> Result<(), Failure> {
    let desk = args.desk.open()?;
    let all = of_keys(&desk, args.key.as_deref())?;
    drop(desk);
    let digits = digits(&all);
    let mut table = Table::new(&[
        ("ID", Fit::Whole),
        ("KEY", Fit::Cut),
        ("SITE", Fit::Cut),
        ("ACCOUNT", Fit::Cut),
    ]);
    let of_site = |passkey: &PasskeyView| args.rp.as_ref().is_none_or(|rp| passkey.rp_id == *rp);
    let passkeys: Vec<_> = all.into_iter().filter(of_site).collect();
    for passkey in &passkeys {
        table.row([
            passkey.id.get(..digits).unwrap_or(&passkey.id).to_owned(),
            passkey.key.clone(),
            passkey.rp_id.clone(),
            marked(passkey),
        ]);
    }
    let text = match (passkeys.is_empty(), &args.rp) {
        (true, None) => "There are no passkeys.".to_owned(),
        (true, Some(rp)) => format!("There are no passkeys of {}.", shown(rp)),
        (false, _) => table.to_string(),
    };
    args.desk.say(&text, &json!({"passkeys": passkeys}))
}

fn show(args: &Show) -> Result<(), Failure> {
    let desk = args.desk.open()?;
    let found = args.which.find(&desk)?;
    let passkey = desk.passkey(&found.key, &found.id)?;
    let key = desk.key(&found.key)?;
    drop(desk);
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "(none)".to_owned());
    let yes = |flag| if flag { "yes" } else { "no" };
    let text = facts(&[
        ("id", passkey.id.clone()),
        ("key", format!("{}, bus id {}", passkey.key, key.bus_id)),
        ("site", passkey.rp_id.clone()),
        ("site's name", or_none(&passkey.rp_name)),
        ("account", or_none(&passkey.user_name)),
        ("person", or_none(&passkey.user_display_name)),
        ("user handle", passkey.user_handle.clone()),
        (
            "algorithm",
            format!(
                "{} (COSE {})",
                name_of(passkey.algorithm),
                passkey.algorithm
            ),
        ),
        (
            "credProtect",
            format!(
                "{}: {}",
                passkey.cred_protect,
                meaning(passkey.cred_protect)
            ),
        ),
        (
            "credBlob",
            match passkey.cred_blob_len {
                Some(length) => format!("{length} bytes"),
                None => "(none)".to_owned(),
            },
        ),
        ("discoverable", yes(passkey.discoverable).to_owned()),
        ("large blobs", yes(passkey.large_blob_key).to_owned()),
        (
            "counter",
            format!("{} at most so far", passkey.counter_ceiling),
        ),
        (
            "backup",
            format!(
                "eligible: {}; backed up: {}",
                yes(passkey.backup_eligible),
                yes(passkey.backup_state)
            ),
        ),
        (
            "number",
            format!("{} of this key, the oldest is 0", passkey.sequence),
        ),
        ("public key", or_none(&passkey.public_key)),
    ]);
    args.desk.say(&text, &json!({"passkey": passkey}))
}

fn name_of(algorithm: i32) -> &'static str {
    Algorithm::from_cose(algorithm.into()).map_or("?", Algorithm::name)
}

fn meaning(cred_protect: u8) -> &'static str {
    match cred_protect {
        2 => "without a PIN only sites that know its id may use it",
        3 => "used with a PIN alone",
        _ => "anybody with the key may use it",
    }
}

/// What the account is called now: what was kept may be shorter than what was typed.
fn names_now(passkey: &PasskeyView) -> String {
    let name = |name: &Option<String>| name.as_deref().map_or("(none)".to_owned(), shown);
    format!(
        "The passkey of {} has the account {} and the person {} now.",
        shown(&passkey.rp_id),
        name(&passkey.user_name),
        name(&passkey.user_display_name)
    )
}

fn rename(args: Rename) -> Result<(), Failure> {
    let desk = args.desk.open()?;
    let found = args.which.find(&desk)?;
    let edit = PasskeyEdit {
        user_name: args.name,
        user_display_name: args.display_name,
        ..PasskeyEdit::default()
    };
    let passkey = desk.edit_passkey(&found.key, &found.id, edit)?;
    drop(desk);
    let document = json!({"passkey": passkey});
    args.desk.say(&names_now(&passkey), &document)
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let desk = args.desk.open()?;
    let found = args.which.find(&desk)?;
    let what = format!(
        "the passkey of {} as {} in the key {}",
        shown(&found.rp_id),
        shown(&account(&found)),
        shown(&found.key)
    );
    let lost = format!(
        "Deleting {what} cannot be undone. The site still has its half, and asks for a passkey \
         that is not there: remove it there, too."
    );
    args.confirm.ask(&lost, "Delete it?")?;
    let deleted = desk.delete_passkey(&found.key, &found.id)?;
    drop(desk);
    let document = json!({"deleted": deleted});
    args.desk.say(&format!("Deleted {what}."), &document)
}
