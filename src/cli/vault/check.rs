//! `roamkey vault check`: looks all of the vault through and lists everything that is wrong,
//! with exit code 1, or says that all is well.
//!
//! The document: `ok`; `damage`, sentences for a person; `keys` and `passkeys`, how many were
//! found well (null where there is damage); `older_copy`, null or `commit` (the file's last) and
//! `seen` (the last that this machine has seen); `accepted`, whether `--accept-older` took it.

use serde_json::json;

use crate::{
    cli::{Failure, common::Common, output::shown, table::count},
    profile::Profile,
    vault::{Checked, LockedVault, OpenVault, VaultError},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take an older copy of the vault for the vault: signature counters go on far above where
    /// they were, PIN retries as they were then.
    #[arg(long)]
    accept_older: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let locked = match LockedVault::open(&args.common.vault.path()?) {
        Ok(locked) => locked,
        Err(VaultError::Damaged(found)) => return damaged(args, &[found.to_string()]),
        Err(other) => return Err(other.into()),
    };
    let with = args.common.vault.way(&locked)?;
    let Checked {
        damage,
        open,
        older,
    } = locked.check(&with)?;
    let mut damage: Vec<_> = damage.iter().map(ToString::to_string).collect();
    let Some(mut open) = open else {
        return damaged(args, &damage);
    };
    damage.extend(unknown_profiles(&open)?);
    if !damage.is_empty() {
        return damaged(args, &damage);
    }
    let keys = open.key_states()?;
    let passkeys = keys.iter().map(|(_, state)| state.passkey_count()).sum();
    if let (Some(older), true) = (older, args.accept_older) {
        open.accept_older(older)?;
    }
    let accepted = older.is_some() && args.accept_older;
    let document = json!({
        "ok": older.is_none() || accepted, "damage": [],
        "keys": keys.len(), "passkeys": passkeys,
        "older_copy": older.map(|older| json!({"commit": older.commit, "seen": older.seen})),
        "accepted": accepted,
    });
    let well = format!(
        "{} and {} are as they were written",
        count(keys.len(), "key"),
        count(passkeys, "passkey")
    );
    let text = match older {
        None if args.accept_older => {
            format!("All is well: {well}. This is no older copy, so nothing was changed.")
        }
        None => format!("All is well: {well}."),
        Some(older) if accepted => format!(
            "All is well: {well}.\nThis copy ended at commit {}, and this machine had seen commit \
             {}: it is accepted now, and the later state is not any more. Every signature counter \
             goes on 65536 above where it was. PINs and their retries are those of then: change a \
             PIN that somebody may have been guessing.",
            older.commit, older.seen
        ),
        Some(_) => format!("{well}, but not the last: this is an older copy of the vault."),
    };
    // A copy that is not accepted stays unknown to this machine.
    if older.is_none() || accepted {
        open.close();
    }
    args.common.say(&text, &document)?;
    match older {
        Some(older) if !accepted => Err(VaultError::OlderCopy {
            commit: older.commit,
            seen: older.seen,
        }
        .into()),
        Some(_) | None => Ok(()),
    }
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
