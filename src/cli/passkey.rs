//! `roamkey passkey`: the passkeys in the vault's keys, which are their discoverable credentials.
//!
//! The documents: of `list` `passkeys`; of `show` and `rename` the passkey as `passkey`; of
//! `delete` the former one as `deleted`. A passkey has `id` (hexadecimal), `key` (the key's name),
//! `rp_id`, `rp_name`, `user_handle` (hexadecimal), `user_name`, `user_display_name`, `algorithm`
//! (its COSE number), `cred_protect` (1 to 3), `cred_blob_len` in bytes, `counter_ceiling` (no
//! signature had a higher counter) and `sequence` (it rises from one passkey of a key to the
//! next); from `show` also `public_key` (a COSE_Key in hexadecimal). What a site did not give is
//! null.
//!
//! Deliberately absent: everything secret.

use clap::{ArgGroup, Parser, Subcommand};
use roamkey_ctap::{Algorithm, CredProtect, CredentialId, KeyState, Passkey};
use serde_json::{Value, json};

use super::{
    Failure,
    common::{Common, hex},
    confirm::Confirm,
    output::shown,
    table::{Fit, Table, facts},
};
use crate::vault::{Identity, KeyNumber, OpenVault};

/// An id is shown with this many hexadecimal digits, or as many as tell it from the others.
const SHORT: usize = 8;
/// As many passkeys are named where an id fits several.
const MOST_CANDIDATES: usize = 10;

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
    common: Common,
}

/// Which passkey.
#[derive(Debug, clap::Args)]
struct Which {
    /// The beginning of its id, as far as it is no other's.
    id: String,
    /// Look in this key alone, by its name or bus id.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
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
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(args) => list(&args),
        Command::Show(args) => show(&args),
        Command::Rename(args) => rename(args),
        Command::Delete(args) => delete(&args),
    }
}

/// The account, as a list names it.
pub(super) fn account(passkey: &Passkey<'_>) -> String {
    let user = passkey.user();
    let name = user.name.clone().or_else(|| user.display_name.clone());
    name.unwrap_or_else(|| format!("(user handle {})", hex(&user.id)))
}

/// A passkey in a document.
pub(super) fn json_of(key: &str, passkey: &Passkey<'_>) -> Value {
    let user = passkey.user();
    json!({
        "id": hex(passkey.id().as_bytes()), "key": key,
        "rp_id": passkey.rp_id(), "rp_name": passkey.rp_name(),
        "user_handle": hex(&user.id), "user_name": user.name,
        "user_display_name": user.display_name,
        "algorithm": passkey.algorithm().cose(), "cred_protect": passkey.cred_protect().level(),
        "cred_blob_len": passkey.cred_blob_len(),
        "counter_ceiling": passkey.counter_ceiling(), "sequence": passkey.sequence(),
    })
}

/// A key with what it remembers.
struct Loaded {
    number: KeyNumber,
    identity: Identity,
    state: KeyState,
}

fn load(open: &OpenVault, key: Option<&str>) -> Result<Vec<Loaded>, Failure> {
    let keys = match key {
        Some(name) => vec![open.store().find_key(name)?],
        None => open.store().keys()?,
    };
    let loaded = keys.into_iter().map(|(number, identity)| {
        let state = open.store().key_state(number)?;
        Ok(Loaded {
            number,
            identity,
            state,
        })
    });
    loaded.collect()
}

fn list(args: &List) -> Result<(), Failure> {
    let open = args.common.open()?;
    let keys = load(&open, args.key.as_deref())?;
    open.close();
    let all = all_of(&keys);
    let digits = digits(&all);
    let mut table = Table::new(&[
        ("ID", Fit::Whole),
        ("KEY", Fit::Cut),
        ("SITE", Fit::Cut),
        ("ACCOUNT", Fit::Cut),
    ]);
    let mut documents = Vec::new();
    let wanted = |passkey: &Passkey<'_>| match &args.rp {
        Some(rp) => passkey.rp_id() == rp,
        None => true,
    };
    for (key, passkey) in all.iter().filter(|(_, passkey)| wanted(passkey)) {
        let id = hex(passkey.id().as_bytes());
        table.row([
            id.get(..digits).unwrap_or(&id).to_owned(),
            key.identity.name.clone(),
            passkey.rp_id().to_owned(),
            account(passkey),
        ]);
        documents.push(json_of(&key.identity.name, passkey));
    }
    let text = match (documents.is_empty(), &args.rp) {
        (true, None) => "There are no passkeys.".to_owned(),
        (true, Some(rp)) => format!("There are no passkeys of {}.", shown(rp)),
        (false, _) => table.to_string(),
    };
    args.common.say(&text, &json!({"passkeys": documents}))
}

fn all_of(keys: &[Loaded]) -> Vec<(&Loaded, Passkey<'_>)> {
    let all = keys.iter().flat_map(|key| {
        let passkeys = key.state.passkeys().into_iter();
        passkeys.map(move |passkey| (key, passkey))
    });
    all.collect()
}

/// How many hexadecimal digits tell every id from the others.
fn digits(all: &[(&Loaded, Passkey<'_>)]) -> usize {
    let mut ids: Vec<_> = all.iter().map(|(_, passkey)| passkey.id()).collect();
    ids.sort();
    let common = ids.windows(2).filter_map(|pair| match pair {
        [one, other] => {
            let (one, other) = (hex(one.as_bytes()), hex(other.as_bytes()));
            let same = one.bytes().zip(other.bytes());
            Some(same.take_while(|(one, other)| one == other).count())
        }
        _ => None,
    });
    common.max().map_or(SHORT, |most| SHORT.max(most + 1))
}

/// The passkey whose id begins so.
fn find<'a>(keys: &'a [Loaded], which: &Which) -> Result<(&'a Loaded, Passkey<'a>), Failure> {
    let wanted = which.id.to_ascii_lowercase();
    if wanted.is_empty() || !wanted.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Failure::Usage(format!(
            "{:?} is no beginning of an id: those are hexadecimal digits, as `roamkey passkey \
             list` shows them",
            which.id
        )));
    }
    let all = all_of(keys);
    let digits = digits(&all).max(wanted.len());
    let mut found = all
        .into_iter()
        .filter(|(_, passkey)| hex(passkey.id().as_bytes()).starts_with(&wanted))
        .collect::<Vec<_>>();
    if found.len() > 1 {
        let named = found.iter().take(MOST_CANDIDATES).map(|(key, passkey)| {
            let id = hex(passkey.id().as_bytes());
            let id = id.get(..digits).unwrap_or(&id);
            let (site, key) = (shown(passkey.rp_id()), shown(&key.identity.name));
            format!("  {id}  {site} as {}, key {key}", shown(&account(passkey)))
        });
        let named: Vec<_> = named.collect();
        let more = match found.len().saturating_sub(named.len()) {
            0 => String::new(),
            more => format!("\n  … and {more} more"),
        };
        return Err(Failure::Failed(format!(
            "the ids of {} passkeys begin with {wanted}: type more of the one you mean\n{}{more}",
            found.len(),
            named.join("\n")
        )));
    }
    found.pop().ok_or_else(|| {
        Failure::Failed(format!(
            "no passkey's id begins with {wanted}: `roamkey passkey list` shows them"
        ))
    })
}

fn show(args: &Show) -> Result<(), Failure> {
    let open = args.common.open()?;
    let keys = load(&open, args.which.key.as_deref())?;
    open.close();
    let (key, passkey) = find(&keys, &args.which)?;
    let public_key = passkey.public_key().map(|cose| hex(&cose));
    let user = passkey.user();
    let not_given = || "(none)".to_owned();
    let algorithm = passkey.algorithm();
    let protect = passkey.cred_protect();
    let text = facts(&[
        ("id", hex(passkey.id().as_bytes())),
        (
            "key",
            format!("{}, bus id {}", key.identity.name, key.number),
        ),
        ("site", passkey.rp_id().to_owned()),
        (
            "site's name",
            passkey.rp_name().map_or_else(not_given, str::to_owned),
        ),
        ("account", user.name.clone().unwrap_or_else(not_given)),
        (
            "person",
            user.display_name.clone().unwrap_or_else(not_given),
        ),
        ("user handle", hex(&user.id)),
        (
            "algorithm",
            format!("{} (COSE {})", name_of(algorithm), algorithm.cose()),
        ),
        (
            "credProtect",
            format!("{}: {}", protect.level(), meaning(protect)),
        ),
        (
            "credBlob",
            match passkey.cred_blob_len() {
                Some(length) => format!("{length} bytes"),
                None => not_given(),
            },
        ),
        (
            "counter",
            format!("{} at most so far", passkey.counter_ceiling()),
        ),
        (
            "number",
            format!("{} of this key, the oldest is 0", passkey.sequence()),
        ),
        ("public key", public_key.clone().unwrap_or_else(not_given)),
    ]);
    let mut document = json_of(&key.identity.name, &passkey);
    if let Some(members) = document.as_object_mut() {
        members.insert("public_key".to_owned(), json!(public_key));
    }
    args.common.say(&text, &json!({"passkey": document}))
}

fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "ES256",
        Algorithm::EdDsa => "EdDSA",
        Algorithm::Es384 => "ES384",
        Algorithm::Es256k => "ES256K",
    }
}

fn meaning(protect: CredProtect) -> &'static str {
    match protect {
        CredProtect::Optional => "anybody with the key may use it",
        CredProtect::OptionalWithList => "without a PIN only sites that know its id may use it",
        CredProtect::Required => "used with a PIN alone",
    }
}

fn rename(args: Rename) -> Result<(), Failure> {
    let mut open = args.common.open()?;
    let keys = load(&open, args.which.key.as_deref())?;
    let (key, passkey) = find(&keys, &args.which)?;
    let (number, id) = (key.number, *passkey.id());
    let user = passkey.user();
    let name = args.name.or_else(|| user.name.clone());
    let display_name = args.display_name.or_else(|| user.display_name.clone());
    let changes = key.state.rename_passkey(&id, name, display_name);
    let changes = changes.ok_or_else(|| Failure::Failed("the passkey is gone".to_owned()))?;
    open.store_mut().change_key(number, changes)?;
    // What was kept may be shorter than what was typed.
    let state = open.store().key_state(number)?;
    open.close();
    let passkey = of_id(&state, &id)?;
    let user = passkey.user();
    let name = |name: &Option<String>| match name {
        Some(name) => shown(name),
        None => "(none)".to_owned(),
    };
    let text = format!(
        "The passkey of {} has the account {} and the person {} now.",
        shown(passkey.rp_id()),
        name(&user.name),
        name(&user.display_name)
    );
    let document = json!({"passkey": json_of(&key.identity.name, &passkey)});
    args.common.say(&text, &document)
}

fn of_id<'a>(state: &'a KeyState, id: &CredentialId) -> Result<Passkey<'a>, Failure> {
    let passkeys = state.passkeys().into_iter();
    let found = passkeys.into_iter().find(|passkey| passkey.id() == id);
    found.ok_or_else(|| Failure::Failed("the passkey is gone".to_owned()))
}

fn delete(args: &Delete) -> Result<(), Failure> {
    let mut open = args.common.open()?;
    let keys = load(&open, args.which.key.as_deref())?;
    let (key, passkey) = find(&keys, &args.which)?;
    let what = format!(
        "the passkey of {} as {} in the key {}",
        shown(passkey.rp_id()),
        shown(&account(&passkey)),
        shown(&key.identity.name)
    );
    let lost = format!(
        "Deleting {what} cannot be undone. The site still has its half, and asks for a passkey \
         that is not there: remove it there, too."
    );
    args.confirm.ask(&lost, "Delete it?")?;
    let changes = key.state.delete_passkey(passkey.id());
    open.store_mut().change_key(key.number, changes)?;
    open.close();
    let document = json!({"deleted": json_of(&key.identity.name, &passkey)});
    args.common.say(&format!("Deleted {what}."), &document)
}
