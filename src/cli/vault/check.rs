//! `roamkey vault check`: looks all of the vault through and lists everything that is wrong,
//! with exit code 1, or says that all is well.
//!
//! The document: `ok`; `damage`, sentences for a person; `keys` and `passkeys`, how many were
//! found well (null where there are none); `older_copy`, null or `commit` (the file's last) and
//! `seen` (the last that this machine has seen); `accepted`, whether `--accept-older` took it.

use std::path::Path;

use serde_json::json;

use crate::{
    cli::{Failure, common::Common, output::shown, table::count},
    profile::Profile,
    vault::{Damage, LockedVault, OlderCopy, OpenVault, VaultError, guarded, unlock::Unlock},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take an older copy of the vault for the vault: signature counters go on far above where
    /// they were, PIN retries as they were then.
    #[arg(long)]
    accept_older: bool,
    /// What this command does in a process of its own with a file that was changed.
    #[arg(long, hide = true)]
    as_it_is: bool,
    #[command(flatten)]
    common: Common,
}

/// How it came out.
enum Outcome {
    Well {
        keys: usize,
        passkeys: usize,
        /// It was one, and is no longer.
        older: Option<OlderCopy>,
    },
    Damaged,
    /// It was not looked through.
    Older(OlderCopy),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.as_it_is {
        return damaged(args, &as_it_is(args)?);
    }
    let mut damage = Vec::new();
    // What was found stays found if letting go of a damaged file fails.
    match guarded(|| check(args, &mut damage)) {
        Ok(outcome) => match outcome? {
            Outcome::Well {
                keys,
                passkeys,
                older,
            } => well(args, (keys, passkeys), older),
            Outcome::Damaged => damaged(args, &damage),
            Outcome::Older(older) => refused(args, older),
        },
        Err(structure) => {
            let structure = structure.to_string();
            if !damage.contains(&structure) {
                damage.push(structure);
            }
            damaged(args, &damage)
        }
    }
}

fn check(args: &Args, damage: &mut Vec<String>) -> Result<Outcome, Failure> {
    let path = args.common.vault.path()?;
    let locked = match LockedVault::open(&path) {
        Ok(locked) => locked,
        Err(why @ VaultError::Changed { .. }) => {
            damage.extend(args.common.vault.look_into_changed(why));
            return Ok(Outcome::Damaged);
        }
        Err(why @ (VaultError::Damaged(_) | VaultError::NotAVault { .. })) => {
            damage.push(why.to_string());
            return Ok(Outcome::Damaged);
        }
        Err(other) => return Err(other.into()),
    };
    let with = args.common.vault.way(&locked)?;
    match locked.unlock(&with) {
        Ok(open) => look_through(open, None, damage),
        Err(VaultError::OlderCopy { commit, seen }) => {
            let older = OlderCopy { commit, seen };
            if !args.accept_older {
                return Ok(Outcome::Older(older));
            }
            let open = LockedVault::open(&path)?.unlock_older(&with)?;
            look_through(open, Some(older), damage)
        }
        Err(VaultError::Damaged(first)) => {
            damage.extend(texts(&survey(&path, &with, first)));
            Ok(Outcome::Damaged)
        }
        Err(other) => Err(other.into()),
    }
}

/// What is wrong with a file that was changed, as far as it can be read.
fn as_it_is(args: &Args) -> Result<Vec<String>, Failure> {
    let found = guarded(|| {
        let locked = LockedVault::open_as_it_is(&args.common.vault.path()?)?;
        let with = args.common.vault.way(&locked)?;
        Ok::<_, Failure>(locked.survey(&with)?)
    });
    let damage = found.unwrap_or_else(|structure| Ok(vec![structure]))?;
    match damage.is_empty() {
        true => Ok(texts(&[Damage::Structure])),
        false => Ok(texts(&damage)),
    }
}

/// Looks at every key, and accepts an older copy if all is well.
fn look_through(
    mut open: OpenVault,
    older: Option<OlderCopy>,
    damage: &mut Vec<String>,
) -> Result<Outcome, Failure> {
    damage.extend(texts(&open.check()?));
    if damage.is_empty() {
        damage.extend(unknown_profiles(&open)?);
    }
    if !damage.is_empty() {
        return Ok(Outcome::Damaged);
    }
    let states = open.key_states()?;
    if let Some(older) = older {
        open.accept_older(older)?;
    }
    open.close();
    Ok(Outcome::Well {
        keys: states.len(),
        passkeys: states.iter().map(|(_, state)| state.passkey_count()).sum(),
        older,
    })
}

fn well(
    args: &Args,
    (keys, passkeys): (usize, usize),
    older: Option<OlderCopy>,
) -> Result<(), Failure> {
    let mut text = format!(
        "All is well: {} and {} are as they were written.",
        count(keys, "key"),
        count(passkeys, "passkey")
    );
    if let Some(older) = older {
        text.push_str(&format!(
            "\nThis copy ended at commit {}, and this machine had seen commit {}: it is accepted \
             now, and the later state is no longer. Every signature counter goes on 65536 above \
             where it was. PINs and their retries are those of then: change a PIN that somebody \
             may have been guessing.",
            older.commit, older.seen
        ));
    } else if args.accept_older {
        text.push_str(" This is no older copy, so nothing was changed.");
    }
    let document = json!({
        "ok": true, "damage": [], "keys": keys, "passkeys": passkeys,
        "older_copy": older.map(|older| json!({"commit": older.commit, "seen": older.seen})),
        "accepted": older.is_some(),
    });
    args.common.say(&text, &document)
}

/// What else is wrong with a vault that did not unlock for `first`.
fn survey(path: &Path, with: &Unlock, first: Damage) -> Vec<Damage> {
    let found = guarded(|| LockedVault::open(path)?.survey(with));
    let mut damage = match found {
        Ok(Ok(found)) => found,
        // It could not even be opened again after the first time.
        Ok(Err(_)) => Vec::new(),
        Err(structure) => vec![structure],
    };
    if !damage.contains(&first) {
        damage.insert(0, first);
    }
    damage
}

fn texts(damage: &[Damage]) -> Vec<String> {
    damage.iter().map(ToString::to_string).collect()
}

/// An older copy is looked through when it is to be accepted.
fn refused(args: &Args, older: OlderCopy) -> Result<(), Failure> {
    let OlderCopy { commit, seen } = older;
    let document = json!({
        "ok": false, "damage": [], "keys": null, "passkeys": null,
        "older_copy": {"commit": commit, "seen": seen}, "accepted": false,
    });
    let text = "This is an older copy of the vault, and was not looked through.";
    args.common.say(text, &document)?;
    Err(VaultError::OlderCopy { commit, seen }.into())
}

/// Keys that are whole, and of a kind that this version cannot serve.
fn unknown_profiles(open: &OpenVault) -> Result<Vec<String>, VaultError> {
    let keys = open.store().keys()?;
    let unknown = keys.iter().filter_map(|(_, key)| {
        let why = Profile::stored(&key.profile).err()?;
        Some(format!("key {}: {why}", key.name))
    });
    Ok(unknown.collect())
}

fn damaged(args: &Args, damage: &[String]) -> Result<(), Failure> {
    let document = json!({
        "ok": false, "damage": damage, "keys": null, "passkeys": null,
        "older_copy": null, "accepted": false,
    });
    let lines: Vec<_> = damage
        .iter()
        .map(|found| format!("- {}", shown(found)))
        .collect();
    let text = format!("Damage to the vault:\n{}", lines.join("\n"));
    args.common.say(&text, &document)?;
    let things = match damage.len() {
        1 => "1 thing is".to_owned(),
        many => format!("{many} things are"),
    };
    Err(Failure::Failed(format!(
        "{things} wrong with the vault, and nothing was changed. Restore a backup with `roamkey \
         vault restore`"
    )))
}
