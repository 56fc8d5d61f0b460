//! `roamkey key`: the keys of the vault.
//!
//! The documents: of `list` `keys`; of `add` and `rename` the key as `key`; of `remove` and `wipe`
//! the key as it was as `key`, and as `lost` its `passkeys` (as in `passkey list`) and `pin`
//! (whether one was set). A key has `bus_id`, `name`, `id`, `serial`, `profile`, `created` in
//! seconds since 1970, `passkeys` (how many) and `pin_is_set`.

use clap::{Parser, Subcommand};
use roamkey_ctap::KeyState;
use serde_json::{Value, json};

use super::{
    Failure,
    access::now,
    clone,
    common::Common,
    confirm::Confirm,
    output::shown,
    passkey,
    table::{Fit, Table, count, date},
};
use crate::{
    key::Seed,
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
    /// List the keys.
    List(Common),
    /// Make a key.
    Add(Add),
    /// Make a key that has all that another has.
    Clone(clone::Args),
    /// Give a key another name.
    Rename(Rename),
    /// Remove a key with everything in it.
    Remove(Lose),
    /// Make a key as good as new: what a browser's "reset your security key" does.
    Wipe(Lose),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What it is called.
    name: String,
    /// What it is: default, u2f-only, fido-2.0, fido-2.1-pin, no-prf, uv-not-required, tiny,
    /// passkey-provider, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    profile: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Rename {
    /// Its name, or its bus id.
    name: String,
    /// What it is called from now on.
    new: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Lose {
    /// Its name, or its bus id.
    name: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(common) => list(&common),
        Command::Add(args) => add(&args),
        Command::Clone(args) => clone::run(&args),
        Command::Rename(args) => rename(&args),
        Command::Remove(args) => remove(&args),
        Command::Wipe(args) => wipe(&args),
    }
}

fn list(common: &Common) -> Result<(), Failure> {
    let open = common.open()?;
    let mut table = Table::new(&[
        ("BUS ID", Fit::Whole),
        ("NAME", Fit::Cut),
        ("PROFILE", Fit::Cut),
        ("SERIAL", Fit::Whole),
        ("PASSKEYS", Fit::Whole),
        ("PIN", Fit::Whole),
        ("MADE", Fit::Whole),
    ]);
    let mut documents = Vec::new();
    let none = open.store().keys()?.is_empty();
    for (number, identity) in open.store().keys()? {
        let state = open.store().key_state(number)?;
        table.row([
            number.to_string(),
            identity.name.clone(),
            identity.profile.name.clone(),
            identity.serial.clone(),
            state.passkey_count().to_string(),
            pin_word(&identity, &state).to_owned(),
            date(identity.created),
        ]);
        documents.push(key_json(number, &identity, &state));
    }
    open.close();
    let text = match none {
        true => "The vault has no keys: make one with `roamkey key add NAME`.".to_owned(),
        false => table.to_string(),
    };
    common.say(&text, &json!({"keys": documents}))
}

fn pin_word(identity: &Identity, state: &KeyState) -> &'static str {
    // A profile that this version does not know hides nothing else of a key.
    let Ok(profile) = Profile::stored(&identity.profile) else {
        return "?";
    };
    let pin = state.pin_status(&profile.ctap);
    match (pin.is_set, pin.retries, pin.must_change) {
        (false, ..) => "none",
        (true, 0, _) => "blocked",
        (true, _, true) => "change",
        (true, _, false) => "set",
    }
}

fn key_json(number: KeyNumber, identity: &Identity, state: &KeyState) -> Value {
    json!({
        "bus_id": number.to_string(), "name": identity.name, "id": identity.id.to_string(),
        "serial": identity.serial, "profile": identity.profile.name,
        "created": identity.created, "passkeys": state.passkey_count(),
        "pin_is_set": state.pin_is_set(),
    })
}

fn add(args: &Add) -> Result<(), Failure> {
    let profile = Profile::to_store(&args.profile);
    let (_, profile) = profile.map_err(|why| Failure::Usage(why.to_string()))?;
    let mut open = args.common.open()?;
    let number = open.store_mut().add_key(&args.name, profile, now())?;
    let identity = open.store().identity(number)?;
    let state = open.store().key_state(number)?;
    open.close();
    let text = format!(
        "Made the key {}, bus id {number}, with the profile {}. `roamkey run` serves it.",
        shown(&identity.name),
        shown(&identity.profile.name)
    );
    let document = json!({"key": key_json(number, &identity, &state)});
    args.common.say(&text, &document)
}

fn rename(args: &Rename) -> Result<(), Failure> {
    let mut open = args.common.open()?;
    let (number, before) = open.store().find_key(&args.name)?;
    open.store_mut().rename_key(number, &args.new)?;
    let identity = open.store().identity(number)?;
    let state = open.store().key_state(number)?;
    open.close();
    let text = format!(
        "The key {}, bus id {number}, is called {} now.",
        shown(&before.name),
        shown(&identity.name)
    );
    let document = json!({"key": key_json(number, &identity, &state)});
    args.common.say(&text, &document)
}

/// A key that is about to lose what is in it.
struct Losing {
    open: OpenVault,
    number: KeyNumber,
    identity: Identity,
    state: KeyState,
}

impl Losing {
    fn find(args: &Lose) -> Result<Self, Failure> {
        let open = args.common.open()?;
        let (number, identity) = open.store().find_key(&args.name)?;
        let state = open.store().key_state(number)?;
        Ok(Self {
            open,
            number,
            identity,
            state,
        })
    }

    fn name(&self) -> String {
        shown(&self.identity.name)
    }

    /// Everything that is lost, for a person.
    fn list(&self, what: &str) -> String {
        let mut lines = vec![format!("{what} the key {} loses for good:", self.name())];
        let passkeys = self.state.passkeys();
        match passkeys.len() {
            0 => lines.push("- no passkey: it has none".to_owned()),
            many => {
                lines.push(format!("- {}:", count(many, "passkey")));
                let mut table = Table::new(&[("SITE", Fit::Cut), ("ACCOUNT", Fit::Cut)]);
                for passkey in &passkeys {
                    table.row([passkey.rp_id().to_owned(), passkey::account(passkey)]);
                }
                lines.push(table.to_string());
            }
        }
        lines.push(match self.state.pin_is_set() {
            true => "- its PIN".to_owned(),
            false => "- no PIN: none is set".to_owned(),
        });
        lines.push(
            "- every registration as a second factor (a credential that is not discoverable, or \
             U2F): the sites keep those, not the key, so they cannot be counted or listed"
                .to_owned(),
        );
        lines.join("\n")
    }

    fn document(&self) -> Value {
        let passkeys = self.state.passkeys();
        let passkeys = passkeys
            .iter()
            .map(|passkey| passkey::json_of(&self.identity.name, passkey));
        json!({
            "key": key_json(self.number, &self.identity, &self.state),
            "lost": {
                "passkeys": passkeys.collect::<Vec<_>>(), "pin": self.state.pin_is_set(),
            },
        })
    }

    fn summary(&self) -> String {
        let passkeys = match self.state.passkey_count() {
            0 => "no passkeys".to_owned(),
            many => count(many, "passkey"),
        };
        match self.state.pin_is_set() {
            true => format!("{passkeys} and its PIN"),
            false => passkeys,
        }
    }
}

fn remove(args: &Lose) -> Result<(), Failure> {
    let mut losing = Losing::find(args)?;
    let lost = losing.list("Removing");
    args.confirm
        .ask(&lost, &format!("Remove the key {}?", losing.name()))?;
    losing.open.store_mut().remove_key(losing.number)?;
    let text = format!(
        "Removed the key {} with {}.",
        losing.name(),
        losing.summary()
    );
    let document = losing.document();
    losing.open.close();
    args.common.say(&text, &document)
}

fn wipe(args: &Lose) -> Result<(), Failure> {
    let mut losing = Losing::find(args)?;
    let lost = format!(
        "{}\nIt keeps its name, its serial number, its attestation certificate and its signature \
         counter.",
        losing.list("Wiping")
    );
    args.confirm
        .ask(&lost, &format!("Wipe the key {}?", losing.name()))?;
    let mut seed = Seed::random().map_err(|why| Failure::failed("no randomness", why))?;
    let changes = losing.state.wipe(seed.rng());
    losing.open.store_mut().change_key(losing.number, changes)?;
    let text = format!(
        "Wiped the key {}: it lost {}.",
        losing.name(),
        losing.summary()
    );
    let document = losing.document();
    losing.open.close();
    args.common.say(&text, &document)
}
