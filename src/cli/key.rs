//! `roamkey key`: keys, in a vault or where they run.
//!
//! The documents: of `list` `keys`; of `add`, `clone`, `rename`, `plug`, `unplug`, `replug` and
//! `power-cycle` the key as `key`; of `remove` and `wipe` the key as it was as `key`, and as `lost`
//! its `passkeys` (as in `passkey list`) and `pin` (whether one was set); of `touch` how its
//! touches are decided as `touch`. A key is a [`KeyView`]; one that nobody
//! runs is not `plugged`.

mod lose;
mod running;

use clap::{Parser, Subcommand};
use serde_json::{Map, Value, json};

use super::{
    Failure, clone,
    desk::{Desk, DeskArgs, called},
    output::shown,
    table::{Fit, Table, date},
};
use crate::{
    profile::Profile,
    rig::{KeyView, NewKey, PinView},
};

#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the keys.
    List(DeskArgs),
    /// Make a key.
    Add(Add),
    /// Make a key that has all that another has.
    Clone(clone::Args),
    /// Give a key another name.
    Rename(Rename),
    /// Remove a key with everything in it.
    Remove(lose::Args),
    /// Make a key as good as new: what a browser's "reset your security key" does.
    Wipe(lose::Args),
    /// Let hosts see a running key again.
    Plug(running::Which),
    /// Pull a running key out of its host.
    Unplug(running::Which),
    /// Pull a running key out and plug it in again.
    Replug(running::Which),
    /// Take a running key's power for a moment, while its host keeps the device.
    PowerCycle(running::Which),
    /// Show or change how the touches of a running key are decided.
    Touch(running::Touch),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What it is called.
    #[arg(required_unless_present = "ephemeral")]
    name: Option<String>,
    /// What it is: default, u2f-only, fido-2.0, fido-2.1-pin, no-prf, uv-not-required, tiny,
    /// passkey-provider, full, bio, enterprise, pqc, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    profile: String,
    /// A member of the profile that is to be different, such as options.alwaysUv=true; what is
    /// behind the = is JSON, or else a text. May be repeated.
    #[arg(long = "override", value_name = "MEMBER=VALUE", value_parser = member)]
    overrides: Vec<(String, Value)>,
    /// Make it in a running roamkey, which forgets it when it ends.
    #[arg(long)]
    ephemeral: bool,
    #[command(flatten)]
    desk: DeskArgs,
}

#[derive(Debug, clap::Args)]
struct Rename {
    /// Its name, or its bus id.
    name: String,
    /// What it is called from now on.
    new: String,
    #[command(flatten)]
    desk: DeskArgs,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(desk) => list(&desk),
        Command::Add(args) => add(args),
        Command::Clone(args) => clone::run(&args),
        Command::Rename(args) => rename(&args),
        Command::Remove(args) => lose::remove(&args),
        Command::Wipe(args) => lose::wipe(&args),
        Command::Plug(which) => running::act(&which, "plug", "is plugged in"),
        Command::Unplug(which) => running::act(&which, "unplug", "is unplugged"),
        Command::Replug(which) => running::act(&which, "replug", "was unplugged and plugged in"),
        Command::PowerCycle(which) => running::act(&which, "power-cycle", "was without power"),
        Command::Touch(args) => running::touch(args),
    }
}

fn list(args: &DeskArgs) -> Result<(), Failure> {
    let desk = args.open()?;
    let keys = desk.keys()?;
    let runs = matches!(desk, Desk::There(_));
    let mut table = Table::new(&[
        ("BUS ID", Fit::Whole),
        ("NAME", Fit::Cut),
        ("PROFILE", Fit::Cut),
        ("SERIAL", Fit::Whole),
        ("PASSKEYS", Fit::Whole),
        ("PIN", Fit::Whole),
        (if runs { "STATE" } else { "MADE" }, Fit::Whole),
    ]);
    for key in &keys {
        table.row([
            key.bus_id.clone(),
            key.name.clone().unwrap_or_else(|| "-".to_owned()),
            key.profile.clone(),
            key.serial.clone(),
            key.passkeys.to_string(),
            pin_word(&desk.pin(&key.bus_id)?).to_owned(),
            match runs {
                true => state_word(key).to_owned(),
                false => date(key.created),
            },
        ]);
    }
    drop(desk);
    let text = match (keys.is_empty(), runs) {
        (true, false) => "The vault has no keys: make one with `roamkey key add NAME`.".to_owned(),
        (true, true) => "There are no keys: make one with `roamkey key add`.".to_owned(),
        (false, _) => table.to_string(),
    };
    args.say(&text, &json!({"keys": keys}))
}

fn pin_word(pin: &PinView) -> &'static str {
    match (pin.is_set, pin.blocked, pin.must_change) {
        (false, ..) => "none",
        (true, true, _) => "blocked",
        (true, false, true) => "change",
        (true, false, false) => "set",
    }
}

fn state_word(key: &KeyView) -> &'static str {
    match (key.plugged, &key.host) {
        (_, Some(_)) => "attached",
        (true, None) => "plugged",
        (false, None) => "unplugged",
    }
}

/// `options.alwaysUv=true`.
fn member(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.split('.').any(str::is_empty))
        .ok_or("a member and a value are wanted, like options.alwaysUv=true")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

/// The members as one object, tables within tables.
fn overrides(members: Vec<(String, Value)>) -> Result<Map<String, Value>, Failure> {
    let mut all = Map::new();
    for (path, value) in members {
        let mut table = &mut all;
        let mut names: Vec<_> = path.split('.').collect();
        let last = names.pop().unwrap_or_default();
        for name in names {
            let inner = table.entry(name).or_insert_with(|| json!({}));
            table = inner.as_object_mut().ok_or_else(|| {
                Failure::Usage(format!("--override {path}: {name} is a value above"))
            })?;
        }
        table.insert(last.to_owned(), value);
    }
    Ok(all)
}

fn add(args: Add) -> Result<(), Failure> {
    let profile = Profile::to_store(&args.profile);
    let (_, profile) = profile.map_err(|why| Failure::Usage(why.to_string()))?;
    let overrides = overrides(args.overrides)?;
    let desk = match args.ephemeral {
        true => Desk::There(args.desk.control.running()?),
        false => args.desk.open()?,
    };
    let key = desk.add_key(NewKey {
        name: args.name,
        profile: Some(profile.name),
        profile_toml: profile.text,
        overrides: (!overrides.is_empty()).then_some(overrides),
        stored: !args.ephemeral,
        ..NewKey::default()
    })?;
    let next = match desk {
        Desk::Here(_) => "`roamkey run` serves it.",
        Desk::There(_) => "It is plugged in.",
    };
    drop(desk);
    let name = match &key.name {
        Some(name) => format!("the key {},", shown(name)),
        None => "a key,".to_owned(),
    };
    let text = format!(
        "Made {name} bus id {}, with the profile {}. {next}",
        key.bus_id,
        shown(&key.profile)
    );
    args.desk.say(&text, &json!({"key": key}))
}

fn rename(args: &Rename) -> Result<(), Failure> {
    let desk = args.desk.open()?;
    let before = desk.key(&args.name)?;
    let key = desk.rename_key(&before.bus_id, &args.new)?;
    drop(desk);
    let text = format!(
        "The key {}, bus id {}, is called {} now.",
        called(&before),
        key.bus_id,
        called(&key)
    );
    args.desk.say(&text, &json!({"key": key}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_tables_within_tables() {
        let given = [
            "options.alwaysUv=true",
            "options.ep=false",
            "usb.product=My key",
            "a.b.c=[1]",
        ];
        let members = given.map(|text| member(text).expect("a member"));
        let expected = json!({
            "options": {"alwaysUv": true, "ep": false},
            "usb": {"product": "My key"},
            "a": {"b": {"c": [1]}},
        });
        let all = overrides(members.to_vec()).expect("an object");
        assert_eq!(Value::from(all), expected);
    }

    #[test]
    fn override_that_is_none_is_refused() {
        for bad in ["", "options", "=1", "options.=1", ".a=1"] {
            assert!(member(bad).is_err(), "{bad}");
        }
        let members = ["a=1", "a.b=1"].map(|text| member(text).expect("a member"));
        assert!(overrides(members.to_vec()).is_err());
    }
}
